"""Arrays of synthesised elements: energy of products and of idle elements, area, clock, and what is refused."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from command import error

from hwsim.cost import Design, accelerator, sweep
from hwsim.cost.gates import find_gates
from hwsim.cost.technology import MissingConstantError
from hwsim.synthesis.circuits import Circuit
from hwsim.workload import Layer, Workload
from hwsim.workloads import Precision, quantized

KINDS = ("pot", "uniform")
DESIGN = Design(4, 8, arithmetic="gates")


def linear(name: str, circuit: Circuit | None = None) -> Layer:
    """Return a layer of 3 sums of 5 products, all at once on 4 x 8 elements: 5 + 4 + 8 - 2 = 15 cycles."""
    layer = Layer(name, "linear", K=3, C=5, has_weight=True)
    if circuit is None:
        return layer
    multiplier = circuit.multiplier
    return replace(layer, weight=multiplier.weight, activation=multiplier.activation, multiplier=multiplier)


def mixed() -> Workload:
    return Workload("mixed", tuple(linear(kind, Circuit(kind, 4, 4)) for kind in KINDS))


def plain() -> Workload:
    return Workload("plain", (linear("a"), linear("b")))


def measures(kind: str) -> Mapping[str, float]:
    return find_gates(Circuit(kind, 4, 4).multiplier, "pe").measures


def test_products_cost_what_their_own_element_does() -> None:
    table = accelerator(mixed(), DESIGN)
    assert DESIGN.name == "4x8-os-native-gates"
    for kind in KINDS:
        [entry] = table.filter(layer=kind, part="arithmetic")
        assert entry.value == pytest.approx(15 * measures(kind)["energy"] / 1000)
        assert entry.source.startswith(f"{kind}4a4 pe with a ")
        assert entry.source.endswith("equally likely; memories are of another technology")


@pytest.mark.parametrize(("dram_bits", "cycles"), [(128, 15), (1, 92)])  # 5 inputs, 15 weights, 3 outputs of 4 bits
def test_the_clock_of_idle_elements_costs_too(dram_bits: int, cycles: int) -> None:
    table = accelerator(mixed(), Design(4, 8, arithmetic="gates", dram_bits_per_cycle=dram_bits))
    clocks = {kind: measures(kind)["clock_energy"] for kind in KINDS}
    for kind in KINDS:
        expected = (32 * cycles * sum(clocks.values()) - 15 * clocks[kind]) / 1000
        assert table.value("energy", layer=kind, part="idle elements") == pytest.approx(expected)


def test_an_array_that_is_always_busy_has_no_idle_clock() -> None:
    layer = replace(linear("a", Circuit("pot", 4, 4)), K=1)
    table = accelerator(Workload("one", (layer,)), Design(1, 1, arithmetic="gates"))
    assert table.value("energy", part="idle elements") == pytest.approx(0, abs=1e-9)


def test_every_place_has_an_element_for_each_multiplier() -> None:
    table = accelerator(mixed(), DESIGN)
    assert table.value("area") == pytest.approx(32 * sum(measures(kind)["area"] for kind in KINDS))
    for kind in KINDS:
        [entry] = table.filter(quantity="area", part=f"{kind}4a4 pe")
        assert entry.value == 32 * measures(kind)["area"]
        assert "bits; bare elements, without the registers of an array's cells" in entry.source
        assert entry.source.endswith("nothing shared: an upper bound")


def test_one_multiplier_for_several_layers_is_there_once() -> None:
    layers = tuple(linear(name, Circuit("pot", 4, 4)) for name in "ab")
    [entry] = accelerator(Workload("same", layers), DESIGN).filter(quantity="area")
    assert entry.value == 32 * measures("pot")["area"]
    assert "upper bound" not in entry.source


def test_the_clock_is_the_slowest_elements() -> None:
    delay = max(measures(kind)["delay"] for kind in KINDS)
    assert delay == measures("pot")["delay"]
    table = accelerator(mixed(), DESIGN)
    assert table.value("clock") == pytest.approx(1e6 / delay)
    assert table.value("time") == pytest.approx(table.value("total_cycles") * delay * 1e-12)
    assert "the slowest element, pot4a4 pe" in next(iter(table.filter(quantity="time"))).source
    slow = accelerator(mixed(), Design(4, 8, arithmetic="gates", clock_mhz=100))
    assert slow.value("time") == pytest.approx(slow.value("total_cycles") / 100e6)
    with pytest.raises(ValueError, match=r"at most that of the slowest element, pot4a4 pe, whose .* MHz, got 500"):
        accelerator(mixed(), Design(4, 8, arithmetic="gates", clock_mhz=500))


def test_a_sweep_over_gates_gives_what_each_array_gives_alone() -> None:
    designs = [DESIGN, Design(8, 2, arithmetic="gates"), Design(4, 8, arithmetic="gates", clock_mhz=100)]
    for point in sweep(plain(), [Precision("uniform", 4)], designs, first_last=None):
        table = accelerator(quantized(plain(), point.precision, None), point.design)
        assert point.totals["energy_pj"] == pytest.approx(table.value("energy"))
        assert point.totals["time_s"] == pytest.approx(table.value("time"))


def test_energies_on_own_operands_take_the_tables_place() -> None:
    table = accelerator(mixed(), DESIGN, {"pot": 100.0})
    assert table.value("energy", layer="pot", part="arithmetic") == pytest.approx(1.5)
    uniform = table.value("energy", layer="uniform", part="arithmetic")
    assert uniform == pytest.approx(15 * measures("uniform")["energy"] / 1000)
    sources = {entry.layer: entry.source for entry in table.filter(part="arithmetic")}
    assert "on the layer's own operands" in sources["pot"]
    assert "on independent operands" in sources["uniform"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arithmetic": "gate"}, "unknown arithmetic 'gate'; did you mean 'gates'"),
        ({"arithmetic": "gates", "style": "bitfusion"}, "one product per cycle, style native, got bitfusion"),
        ({"arithmetic": "gates", "dataflow": "is"}, r"dataflow os and ws \(hwsim.rtl.systolic\), got is"),
    ],
)
def test_designs_without_such_gates_are_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Design(**fields)  # type: ignore[arg-type]


def test_what_gates_cannot_price_is_refused() -> None:
    with pytest.raises(MissingConstantError, match="computes in floating point"):
        accelerator(plain(), DESIGN)
    with pytest.raises(ValueError, match="own_energy_fj belongs to arithmetic gates, got operations"):
        accelerator(mixed(), Design(), {"pot": 100.0})
    with pytest.raises(ValueError, match="there is none called 'conv1'"):
        accelerator(mixed(), DESIGN, {"conv1": 100.0})


def test_the_command_refuses_other_styles() -> None:
    options = ("--bits", 4, "--first-last", "same", "--arithmetic", "gates", "--style", "native,bitfusion")
    assert "style native, got bitfusion" in error("accelerator", "resnet18", *options)

"""The circuits of the table of gates: which there are, what they multiply, how they are checked."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from needs import needs_yosys
from random_networks import random_images, random_network

from hwsim.accumulator import Accumulator, exact_bits
from hwsim.engines import simulate
from hwsim.formats import Format, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import LookupTableMultiplier, ShiftMultiplier, multiplier_for
from hwsim.synthesis import measure
from hwsim.synthesis.cells import FLIP_FLOP, SUPPLY_V, load_cells
from hwsim.synthesis.check import WrongNetlistError, check_netlist
from hwsim.synthesis.circuits import KINDS, LAYOUTS, Circuit, all_circuits, multiplier_id
from hwsim.synthesis.codes import are_codes_of
from hwsim.synthesis.exponents import power_multiplier
from hwsim.synthesis.flows import standard_cell_netlist
from hwsim.synthesis.hardware import TOP, CustomCircuit, circuit_rtlil
from hwsim.synthesis.layer_operands import Streams, layer_operands
from hwsim.synthesis.mapping import synthesise
from hwsim.synthesis.measure import random_operands
from hwsim.synthesis.netlist import Gate, Netlist


def test_every_kind_is_there_at_every_width_alone_and_in_an_element() -> None:
    circuits = list(all_circuits())
    assert len(set(circuits)) == len(circuits)
    for unit in ("multiplier", "pe"):
        for bits in range(2, 9):
            kinds = {circuit.kind for circuit in circuits if (circuit.bits, circuit.unit) == (bits, unit)}
            assert kinds == set(KINDS) - (set() if bits <= 5 else {"mitchell"})
    settings = {(c.layout, c.fraction_bits) for c in circuits if c.kind == "post" and c.bits == 4}
    assert settings == {(layout, k) for layout, bits in LAYOUTS.items() for k in bits}


# 4608 products: of -8 .. 7 with 0 .. 15, from -552,960 on: 21 bits; of POT at 3 bits, ±4 x 7: ±129,024: 18 bits; of
# POST at 3 bits, ±2 x 7 with 2 fraction bits, ±56: ±258,048: 19 bits.
@pytest.mark.parametrize(
    ("circuit", "bits"),
    [
        (Circuit("uniform", 4, 4, "pe"), 21),
        (Circuit("pot", 3, 3, "pe"), 18),
        (Circuit("post", 3, 3, "pe", 2, "shared"), 19),
        (Circuit("uniform", 4, 4), None),
    ],
)
def test_the_accumulator_holds_every_sum_of_4608_products(circuit: Circuit, bits: int | None) -> None:
    assert circuit.accumulator_bits == bits


def test_one_product_less_than_a_bit_more_needs() -> None:
    multiplier = multiplier_for(Uniform(2), Uniform(2, signed=False))  # -6 .. 3
    assert exact_bits(multiplier, 21) == 8  # -126
    assert exact_bits(multiplier, 22) == 9  # -132


def test_circuits_multiply_as_the_simulator_does() -> None:
    activation = Uniform(6, signed=False)
    assert Circuit("pot", 6, 6).multiplier == ShiftMultiplier(PowerOfTwo(6, 15), activation)
    assert Circuit("pot", 6, 6, exponents=9).used_exponents == 9
    shared = LookupTableMultiplier(PowerOfSqrtTwo(4), Uniform(4, signed=False), 2, "shared")
    assert Circuit("post", 4, 4, "multiplier", 2, "shared").multiplier == shared
    literal, full = (Circuit("post", 4, 4, "multiplier", 2, layout).multiplier for layout in ("literal", "full"))
    assert multiplier_id(literal) == multiplier_id(full) != multiplier_id(shared)
    assert Circuit("post", 4, 4, "pe", 2, "shared").name == "post4a4 pe, k=2, shared"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unifrom", 4, 4), "unknown kind of circuit 'unifrom'; did you mean 'uniform'"),
        (("uniform", 4, 4, "array"), "unknown unit 'array'"),
        (("uniform", 9, 4), r"bits must be an integer in 2\.\.8 for a circuit, got 9"),
        (("uniform", 4, 1), r"act_bits must be an integer in 2\.\.8 for a circuit, got 1"),
        (("post", 4, 4), "post has a layout and fraction_bits, other kinds have none; got post with layout=None"),
        (("pot", 4, 4, "pe", 2, "shared"), "other kinds have none; got pot with layout=shared and fraction_bits=2"),
        (
            ("uniform", 4, 4, "pe", None, None, 3),
            "pot and post have exponents, other kinds have none; got uniform with",
        ),
        (("pot", 4, 4, "pe", None, None, 8), r"exponents must be an integer in 1\.\.7 for 4-bit pot, got 8"),
        (("pot", 4, 4, "pe", None, None, 0), r"exponents must be an integer in 1\.\.7 for 4-bit pot, got 0"),
        (("post", 4, 4, "pe", 2, "shard"), "unknown table layout 'shard'; did you mean 'shared'"),
    ],
)
def test_circuits_that_there_are_not_are_refused(arguments: tuple[str, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Circuit(*arguments)


@pytest.mark.parametrize(("bits", "meant"), [(8, 15), (4, 7)])
def test_the_exponents_that_are_meant_anyway_are_the_same_circuit(bits: int, meant: int) -> None:
    assert Circuit("pot", bits, bits, exponents=meant) == Circuit("pot", bits, bits)
    fewer = Circuit("pot", bits, bits, exponents=meant - 1)
    assert fewer != Circuit("pot", bits, bits)
    assert fewer.name == f"pot{bits}a{bits} multiplier, {meant - 1} exponents"


@pytest.mark.parametrize(
    ("ours", "theirs", "is_same"),
    [
        (Uniform(4), Uniform(4), True),
        (Uniform(4, narrow=True), Uniform(4), True),
        (Uniform(4), Uniform(4, narrow=True), False),  # -8 is no level of it
        (Uniform(3, signed=False), Uniform(4, signed=False), True),
        (Uniform(3), Uniform(4), False),
        (Uniform(4, signed=False), Uniform(3, signed=False), False),
        (Uniform(4), PowerOfTwo(4), False),
        (PowerOfTwo(4), PowerOfTwo(4, 7), True),
        (PowerOfTwo(4, 3), PowerOfTwo(4), True),  # smaller by a scale
        (PowerOfTwo(4), PowerOfTwo(4, 3), False),
        (PowerOfTwo(4), PowerOfSqrtTwo(4), False),
        (PowerOfSqrtTwo(4, 4), PowerOfSqrtTwo(4), True),
    ],
)
def test_codes_are_compared_by_their_levels(ours: Format, theirs: Format, is_same: bool) -> None:
    assert are_codes_of(ours, theirs) is is_same


# 8-bit activations and 127 exponents: 255 x 2^126, 134 bits. A sum of 4608 x 255 x 2^41 is the last below 2^62.
@pytest.mark.parametrize(("unit", "most"), [("multiplier", 55), ("pe", 42)])
def test_too_many_exponents_are_refused_with_how_many_fit(unit: str, most: int) -> None:
    message = rf"makes products of 134 bits and a sign with 8-bit activations, .*; at most exponents={most} fit"
    with pytest.raises(ValueError, match=message):
        _ = Circuit("pot", 8, 8, unit, exponents=127).multiplier
    with pytest.raises(ValueError, match=f"at most exponents={most} fit"):
        _ = Circuit("pot", 8, 8, unit, exponents=most + 1).multiplier
    assert Circuit("pot", 8, 8, unit, exponents=most).accumulator_bits in (None, 63)


@pytest.mark.parametrize(("kind", "signed", "most"), [("pot", True, 55), ("post", False, 97), ("post", True, 97)])
def test_as_many_exponents_as_are_said_to_fit_do(kind: str, signed: bool, most: int) -> None:
    activation = Uniform(8, signed)
    with pytest.raises(ValueError, match=f"; at most exponents={most} fit"):
        power_multiplier(kind, 8, None, activation, (6, "full"))
    assert exact_bits(power_multiplier(kind, 8, most, activation, (6, "full")), 1) <= 63


def test_operands_are_used_codes_and_the_same_each_time() -> None:
    multiplier = Circuit("pot", 4, 4).multiplier
    (w, a), again = random_operands(multiplier), random_operands(multiplier)
    assert set(w.flat) == set(multiplier.weight.codes)
    assert set(a.flat) == set(range(16))
    np.testing.assert_array_equal(w, again[0])


def and_of_signs(product: tuple[int, ...]) -> Netlist:
    """Return a 2 x 2-bit netlist without a gate that is right: its product is what `product` says."""
    return Netlist({"w": (2, 3), "a": (4, 5)}, {"product": product}, (), ())


def test_a_wrong_product_is_found_and_named() -> None:
    with pytest.raises(WrongNetlistError, match=r"uniform2a2 multiplier: .* first at w=1, a=1: 0 instead of 1"):
        check_netlist(and_of_signs((-1, -1, -1, -1)), Circuit("uniform", 2, 2))


def test_a_wrong_sum_is_found_and_named() -> None:
    gates = (Gate("inv_1", {"A": 6}, 7),)
    toggling = Netlist(
        {"clk": (8,), "clear": (9,), "w": (2, 3), "a": (4, 5)},
        {"sum": (6, 6)},
        gates,
        (Gate(FLIP_FLOP, {"CLK": 8, "D": 7}, 6),),
    )
    with pytest.raises(WrongNetlistError, match="uniform2a2 pe: the netlist differs from the simulator in"):
        check_netlist(toggling, Circuit("uniform", 2, 2, "pe"))


def test_an_element_on_a_layers_operands_clears_its_sum_at_each_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the clear changes, in every third of nine cycles: 5 of 8 steps charge the inverter that it drives."""
    inverter = Netlist({"w": (2, 3), "a": (4, 5), "clear": (6,)}, {}, (Gate("inv_1", {"A": 6}, 7),), ())
    monkeypatch.setattr(measure, "circuit_rtlil", lambda _circuit: "")
    monkeypatch.setattr(measure, "synthesise", lambda *_, **__: SimpleNamespace(netlist=""))
    monkeypatch.setattr(measure, "standard_cell_netlist", lambda *_: inverter)
    still, clear = np.zeros((9, 1), dtype=np.int64), np.array([[1], [0], [0]] * 3)
    found = measure.mapped_energy(Circuit("uniform", 2, 2, "pe"), Streams(still, still, clear))
    capacitance = load_cells()["inv_1"].capacitance_ff("A")
    assert found == {"energy": round(5 / 8 * capacitance * SUPPLY_V**2 / 2, 3), "clock_energy": 0}


ELEMENTS = {
    "saturate": CustomCircuit("small", Circuit("pot", 2, 2).multiplier, Accumulator(4, "saturate")),
    "wrap": CustomCircuit("small", Circuit("pot", 2, 2).multiplier, Accumulator(4, "wrap")),
}


@pytest.fixture(scope="module", params=ELEMENTS)
def element(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[CustomCircuit, str]:
    """An element whose 4-bit sum overflows, and its netlist as Yosys writes it."""
    pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")
    circuit = ELEMENTS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWSIM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return circuit, synthesise(circuit_rtlil(circuit), TOP, "sky130", language="rtlil").netlist


@pytest.mark.rtl
@needs_yosys
def test_an_element_is_right_in_every_mode(element: tuple[CustomCircuit, str]) -> None:
    circuit, text = element
    check_netlist(standard_cell_netlist(text, TOP), circuit)
    for overflow, other in ELEMENTS.items():
        if overflow != circuit.accumulator.overflow:  # type: ignore[union-attr]
            with pytest.raises(WrongNetlistError, match=r"first at w=\d, a=\d, enable=[01], clear=[01], rst=[01]: "):
                check_netlist(standard_cell_netlist(text, TOP), other)


@pytest.mark.rtl
@needs_yosys
@pytest.mark.parametrize(("port", "value"), [("enable", "1"), ("clear", "0"), ("rst", "0"), ("rst", "1")])
def test_a_control_input_that_is_not_heard_is_found(element: tuple[CustomCircuit, str], port: str, value: str) -> None:
    circuit, text = element
    design = json.loads(text)
    module = design["modules"][TOP]
    net = module["ports"][port]["bits"]
    for cell in module["cells"].values():
        cell["connections"] = {pin: [value] if bits == net else bits for pin, bits in cell["connections"].items()}
    with pytest.raises(WrongNetlistError, match="the netlist differs from the simulator"):
        check_netlist(standard_cell_netlist(json.dumps(design), TOP), circuit)


@pytest.mark.parametrize("seed", range(6))
def test_a_stream_of_a_layer_sums_to_outputs_of_the_layer(seed: int) -> None:
    network = random_network(seed, blocks=1).with_accumulator(Accumulator(63, "wrap"))
    images = random_images(network, seed)
    trace = simulate(network, images, "reference", trace=True).trace
    assert trace is not None
    for layer in network.layers:
        terms = layer.weight[0].size
        w, a, clear = layer_operands(network, layer.name, images, cycles=2 * terms, streams=5)
        assert np.argwhere(clear).tolist() == [[cycle, stream] for cycle in (0, terms) for stream in range(5)]
        assert w.shape == a.shape == (2 * terms, 5)
        products = layer.multiplier.multiply(w, a)
        sums = [products[:terms].sum(axis=0), products[terms:].sum(axis=0)]
        assert set(np.concatenate(sums).tolist()) <= set(trace[layer.name].flat)
        kernels = {tuple(kernel.flat) for kernel in layer.weight}
        assert {tuple(stream) for stream in w[:terms].T} <= kernels


def test_a_stream_may_end_within_an_output() -> None:
    network = random_network(1, blocks=1)
    layer = network.layers[0]
    streams = layer_operands(network, layer.name, random_images(network, 1), cycles=3, streams=2)
    assert {part.shape for part in streams} == {(3, 2)}


def test_only_layers_with_products_have_operands() -> None:
    network = random_network(0, blocks=1)
    with pytest.raises(ValueError, match="has no products; layers that have: "):
        layer_operands(network, network.input.name, random_images(network, 0), 4, 1)

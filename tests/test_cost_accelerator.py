"""The array of processing elements: known cycle counts, the closed forms against a walk through the folds, sweeps."""

import importlib
import itertools
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.cost import Design, accelerator, bops, parameter_storage, sweep
from hwsim.cost.accelerator import Execution, Hardware, Widths, execute
from hwsim.cost.design import parse_array
from hwsim.cost.systolic import DATAFLOWS, dram_bits, gemms
from hwsim.cost.throughput import STYLES
from hwsim.workload import Layer, Workload, WorkloadError
from hwsim.workloads import Precision, literature, quantized

INT8 = Precision("uniform", 8)


# SCALE-Sim 3.0.0, given extents (O-1)S+F instead of its own padding rule, counts these cycles for the 21 layers.
@pytest.mark.parametrize(("dataflow", "cycles"), [("os", 2_133_315), ("ws", 2_855_031)])
def test_resnet18_on_32_x_32(dataflow: str, cycles: int) -> None:
    assert accelerator(literature("resnet18"), Design(dataflow=dataflow)).value("cycles") == cycles


def walked(layer: Layer, design: Design) -> int:
    """Return the cycles of one layer, fold by fold: what stays is loaded, the rest streams through, skewed."""
    m, n, k = layer.N * layer.OY * layer.OX, layer.K // layer.groups, layer.terms
    first, second, stream = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[design.dataflow]
    load = 0 if design.dataflow == "os" else design.rows
    skew = design.rows + design.columns - 2
    folds = product(range(layer.groups), range(0, first, design.rows), range(0, second, design.columns))
    return sum(load + stream + skew for _ in folds) - 1


LAYERS = st.builds(
    lambda k, c, x, f, g: Layer(
        "l", "conv", K=k * g, C=c * g, groups=g, OY=1, OX=x, IY=1, IX=x + f - 1, FX=f, has_weight=True
    ),
    *(*(st.integers(1, 60) for _ in range(3)), st.integers(1, 5), st.sampled_from([1, 2, 4])),
)
DESIGNS = st.builds(
    Design, rows=st.integers(1, 20), columns=st.integers(1, 20), dataflow=st.sampled_from(sorted(DATAFLOWS))
)


@given(LAYERS, DESIGNS)
def test_the_closed_form_is_the_walk_through_the_folds(layer: Layer, design: Design) -> None:
    table = accelerator(Workload("net", (layer,)), design)
    assert table.value("cycles") == walked(layer, design)
    assert 0 < table.value("utilization", layer="l") <= 1


@given(LAYERS, DESIGNS)
def test_the_array_reads_every_operand_and_writes_every_sum(layer: Layer, design: Design) -> None:
    def accesses(part: str) -> float:
        return accelerator(Workload("net", (layer,)), design).value("sram_accesses", part=part)

    across = -(-layer.K // layer.groups // design.columns)
    if design.dataflow != "is":
        assert accesses("input buffer reads") == layer.OX * layer.groups * layer.terms * across
    assert accesses("output buffer writes") - accesses("output buffer reads") == layer.outputs
    assert accesses("weight buffer reads") >= layer.weights


def test_output_stationary_traffic_of_one_layer() -> None:
    """M = 196, N = 256, K = 2304 on 32 x 32: inputs M K ceil(N/C), weights N K ceil(M/R), sums M N."""
    layer = literature("resnet18").layer("layer3.1.conv1")
    table = accelerator(Workload("one", (Layer(**{**layer.__dict__, "inputs": ()}),)))
    assert table.value("sram_accesses", part="input buffer reads") == 196 * 2304 * 8
    assert table.value("sram_accesses", part="weight buffer reads") == 256 * 2304 * 7
    assert table.value("sram_accesses", part="output buffer writes") == 196 * 256


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((10, 10, 16, 16), (10, 10)),  # both fit
        ((40, 10, 16, 16), (40, 10)),  # the weights fit: inputs stream through once
        ((10, 40, 16, 16), (10, 40)),
        ((40, 100, 16, 16), (40, 300)),  # 3 and 7 tiles: 40 + 3*100 against 7*40 + 100
    ],
)
def test_tiles_of_the_memory(sizes: tuple[int, int, int, int], expected: tuple[int, int]) -> None:
    found = tuple(int(x) for x in dram_bits(*(np.array(size) for size in sizes)))
    assert found == expected


def test_low_bits_pay_where_the_hardware_was_built_for_them() -> None:
    """Bit Fusion: 1, 4 and 16 products a cycle at 8, 4 and 2 bits; Stripes 16 / b_a; both serial 64 / (b_w b_a)."""
    bits = np.array([8, 4, 2, 3])
    rates = {name: style(bits, bits)[0] / style(bits, bits)[1] for name, style in STYLES.items()}
    assert rates["native"].tolist() == [1, 1, 1, 1]
    assert rates["fixed8"].tolist() == [1, 1, 1, 1]
    assert rates["bitfusion"].tolist() == [1, 4, 16, 4]
    assert rates["stripes"].tolist() == [2, 4, 8, 16 / 3]
    assert rates["bitsystolic"].tolist() == [1, 4, 16, 64 / 9]


def test_wide_operands_go_in_pieces() -> None:
    sixteen = np.array([16])
    assert STYLES["fixed8"](sixteen, sixteen)[1].tolist() == [4]
    assert STYLES["bitfusion"](sixteen, sixteen)[1].tolist() == [64]


def test_bit_fusion_is_faster_at_4_bits_and_fixed8_is_not() -> None:
    def cycles(style: str, bits: int) -> float:
        workload = quantized(literature("resnet18"), Precision("uniform", bits), None)
        return accelerator(workload, Design(style=style)).value("cycles")

    assert cycles("fixed8", 4) == cycles("fixed8", 8) == cycles("bitfusion", 8) == 2_133_315
    assert cycles("bitfusion", 4) < cycles("bitfusion", 8)


def test_the_roofline_is_peak_or_bandwidth() -> None:
    table = accelerator(quantized(literature("resnet18"), INT8), Design(dram_bits_per_cycle=8))
    layer = {"layer": "fc"}
    assert table.value("roofline", **layer) == 8 * table.value("intensity", **layer) < 1024
    assert table.value("total_cycles", **layer) > table.value("cycles", **layer)
    assert table.value("roofline", layer="layer1.0.conv1") <= 1024


def test_energy_has_a_part_for_every_level() -> None:
    table = accelerator(quantized(literature("resnet18"), INT8))
    parts = {entry.part for entry in table if entry.quantity == "energy"}
    assert parts == {
        *("arithmetic", "dram", "input buffer", "weight buffer", "output buffer reads", "output buffer writes")
    }
    # DRAM: 1300 pJ per 64 bits (Horowitz), every bit that crosses
    assert table.value("energy", part="dram") == pytest.approx(table.value("dram_bits") * 1300 / 64, rel=1e-12)
    assert all(entry.source for entry in table)


def test_time_is_cycles_over_clock() -> None:
    table = accelerator(literature("resnet20_a"), Design(clock_mhz=250))
    assert table.value("time") == pytest.approx(table.value("total_cycles") / 250e6, rel=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": 0}, "rows of an array must be an integer of at least 1, got 0"),
        ({"columns": -1}, "columns of an array must be an integer of at least 1, got -1"),
        ({"dataflow": "rs"}, "unknown dataflow 'rs'"),
        ({"style": "bitfusio"}, "unknown style of processing element 'bitfusio'; did you mean 'bitfusion'"),
        ({"technology": "horowitz"}, "unknown technology 'horowitz'; did you mean 'horowitz2014'"),
        ({"clock_mhz": 0.0}, "clock_mhz must be above 0 and finite, got 0.0"),
        ({"input_kib": 0}, "input_kib of an array must be an integer of at least 1, got 0"),
    ],
)
def test_a_design_that_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Design(**fields)  # type: ignore[arg-type]


def test_arrays_are_written_rows_x_columns() -> None:
    assert parse_array("32x16") == (32, 16)
    with pytest.raises(ValueError, match=r"an array is written ROWSxCOLUMNS, e.g. 32x32, got '32'"):
        parse_array("32")


def test_a_technology_without_memories_is_refused() -> None:
    with pytest.raises(ValueError, match=r"aladdin has no row for sram_read; those with one: horowitz2014, jouppi2021"):
        accelerator(quantized(literature("resnet18"), INT8), Design(technology="aladdin"))


def test_a_workload_without_products_is_refused() -> None:
    with pytest.raises(WorkloadError, match="no layer with products"):
        accelerator(Workload("relu", (Layer("a", "relu"),)))


PRECISIONS = [Precision("uniform", 8), Precision("uniform", 3, act_bits=4), Precision("pot", 4), Precision("post", 3)]


def test_a_sweep_gives_what_each_metric_gives_alone() -> None:
    workload = literature("resnet20_b")
    designs = [
        Design(rows=r, columns=c, dataflow=d, style=s, dram_bits_per_cycle=b)
        for r, c, b in ((8, 16, 32), (32, 8, 512))
        for d in DATAFLOWS
        for s in STYLES
    ]
    points = list(sweep(workload, PRECISIONS, designs))
    assert [(p.precision, p.design) for p in points] == list(product(PRECISIONS, designs))
    for point in points[::7]:
        chosen = quantized(workload, point.precision)
        table = accelerator(chosen, point.design)
        assert point.totals["bops"] == bops(chosen, "macs_bits").value("bops")
        codes = parameter_storage(chosen).value("storage_bits", part="codes")
        assert point.totals["weight_storage_bits"] == codes
        for quantity in ("cycles", "total_cycles", "dram_bits"):
            assert point.totals[quantity] == table.value(quantity)
        assert point.totals["energy_pj"] == pytest.approx(table.value("energy"), rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.lists(LAYERS, min_size=1, max_size=4), DESIGNS)
def test_cycles_and_traffic_are_additive(layers: list[Layer], design: Design) -> None:
    hardware = Hardware.of([design])

    def run(part: list[Layer]) -> Execution:
        return execute(gemms(part), Widths.of(part), hardware, design.dataflow, "native")

    runs, whole = [run([layer]) for layer in layers], run(layers)
    assert whole.cycles.sum() == sum(run.cycles.sum() for run in runs)
    assert whole.dram.sum() == sum(run.dram.sum() for run in runs)


def test_a_sweep_holds_one_precision_at_a_time() -> None:
    """It takes the next precision only when all points of the last were taken: memory does not grow with the sweep."""
    taken = 0

    def precisions() -> Iterator[Precision]:
        nonlocal taken
        for bits in itertools.cycle(range(2, 9)):
            taken += 1
            yield Precision("uniform", bits)

    points = sweep(literature("resnet20_a"), precisions(), [Design(), Design(rows=8)])
    for count in range(1, 41):
        next(points)
        assert taken == (count + 1) // 2


def test_a_long_list_of_designs_is_evaluated_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    designs = [Design(rows=rows) for rows in range(1, 20)]
    whole = list(sweep(literature("resnet20_a"), PRECISIONS[:1], designs))
    monkeypatch.setattr(importlib.import_module("hwsim.cost.sweep"), "CHUNK", 4)
    assert list(sweep(literature("resnet20_a"), PRECISIONS[:1], designs)) == whole


def test_the_largest_array_has_a_utilization_within_its_peak() -> None:
    """One fold: M x N x K = 4 x 2 x 3 products over 2^40 elements and K + 2 * 2^20 - 2 cycles."""
    layer = Layer("c", "linear", N=4, K=2, C=3, has_weight=True)
    table = accelerator(Workload("x", (layer,)), Design(rows=2**20, columns=2**20))
    expected = 24 / (2**40 * (3 + 2**21 - 2))
    assert [entry.value for entry in table.filter(quantity="utilization")] == [expected, expected]


@pytest.mark.parametrize("style", STYLES)
def test_only_one_product_per_cycle_is_said_to_equal_scale_sim(style: str) -> None:
    table = accelerator(quantized(literature("resnet20_a"), INT8), Design(style=style))
    sources = {entry.source for entry in table.filter(quantity="cycles")}
    scaled = "closed form of SCALE-Sim 3.0.0, streams scaled by the products per cycle of style"
    assert sources == {"closed form, equal to SCALE-Sim 3.0.0" if style == "native" else f"{scaled} {style}"}

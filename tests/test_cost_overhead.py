"""ASQ's Table 1, number by number, and the same count for networks that the paper leaves out."""

import pytest

from hwsim.cost.adapter import adapter_layers, with_adapters
from hwsim.cost.overhead import extra_parameters, overhead, overhead_rows
from hwsim.workload import Layer, Workload, WorkloadError
from hwsim.workloads import literature

BITS = (8, 4, 3, 2)


def percents(name: str, quantity: str, convention: str) -> list[float]:
    table = overhead(literature(name), BITS)
    return [table.value(quantity, convention=convention, part=f"{bits} bits") for bits in BITS]


# Derivation: 311,846 values more than the float model, at 8 bits, over its 11,689,512 at B bits; 2 x 306,112 adapter
# weights at 8 bits over 1,695,547,392 multiplications of the inner convolutions at B bits.
def test_all_eight_numbers_of_table_1() -> None:
    assert [f"{x:.2f}" for x in percents("resnet18", "parameters_overhead", "asq_table1")] == [
        *("2.67", "5.34", "7.11", "10.67")
    ]
    assert [f"{x:.2f}" for x in percents("resnet18", "compute_overhead", "asq_table1")] == [
        *("0.04", "0.07", "0.10", "0.14")
    ]


def test_the_same_count_with_the_adapter_at_the_32_bits_that_it_has() -> None:
    found = percents("resnet18", "parameters_overhead", "asq_table1_at_32_bits")
    assert [f"{x:.1f}" for x in found] == ["10.7", "21.3", "28.5", "42.7"]


@pytest.mark.parametrize(
    ("name", "values", "percent"),
    [
        ("resnet18", 311_846, ["2.67", "5.34", "7.11", "10.67"]),
        ("resnet34", 598_022, ["2.74", "5.49", "7.32", "10.97"]),
        ("resnet20_a", 8_124, ["3.01", "6.02", "8.03", "12.05"]),
        ("resnet20_b", 8_568, ["3.14", "6.29", "8.39", "12.58"]),
        ("mobilenetv2", 2_338_070, ["66.71", "133.42", "177.89", "266.84"]),
    ],
)
def test_networks_that_the_paper_leaves_out(name: str, values: int, percent: list[str]) -> None:
    assert extra_parameters(literature(name)) == values
    assert [f"{x:.2f}" for x in percents(name, "parameters_overhead", "asq_table1")] == percent


def test_the_adapter_more_than_doubles_a_4_bit_mobilenetv2() -> None:
    assert percents("mobilenetv2", "parameters_overhead", "asq_table1")[1] > 100


def test_the_adapters_of_resnet18() -> None:
    """307,091 parameters in 19 adapters, of which 306,112 are weights; pooling reads 2,032,128 values."""
    layers = [layer for layer in with_adapters(literature("resnet18")) if layer.part.startswith("adapter.")]
    assert sum(layer.parameters for layer in layers) == 307_091
    assert sum(layer.weights for layer in layers) == 306_112
    pools = [layer for layer in layers if layer.kind == "avg_pool"]
    assert (len(pools), sum(layer.elements_in for layer in pools)) == (19, 2_032_128)


def test_few_channels_get_a_single_linear_layer() -> None:
    def linear(channels: int) -> list[tuple[int, int]]:
        layer = Layer("c", "conv", C=channels, K=4, has_weight=True)
        return [(part.C, part.K) for part in adapter_layers(layer) if part.kind == "linear"]

    assert linear(7) == [(7, 1)]
    assert linear(8) == [(8, 2), (2, 1)]


def test_what_runs_costs_more_than_what_the_paper_charges() -> None:
    for quantity in ("parameters_overhead", "compute_overhead"):
        paper, honest = (percents("resnet18", quantity, how) for how in ("asq_table1", "as_it_runs"))
        assert all(ours > theirs for ours, theirs in zip(honest, paper, strict=True))


def inner_convolutions_of_resnet18() -> list[tuple[int, int, int, int]]:
    """Return (channels in, channels out, window, width of the input) after He et al., arXiv:1512.03385, Table 1."""
    convolutions = [(64, 64, 3, 56)] * 4
    for channels, width in ((128, 28), (256, 14), (512, 7)):
        convolutions += [(channels // 2, channels, 3, 2 * width), (channels // 2, channels, 1, 2 * width)]
        convolutions += [(channels, channels, 3, width)] * 3
    return convolutions


def test_what_runs_at_4_bits_is_the_count_by_hand() -> None:
    """Inner layers at 4 bits, the first and the last at 8; 4,800 channels with two batch norm values, 1,000 biases.

    An adapter of C channels, P positions and h = C/4 takes C P operations to pool (P - 1 sums, 1 product), 2 C h and
    2 h for its linear layers with bias, h + 1 comparisons, the product with the step and a reciprocal.
    """
    inner = inner_convolutions_of_resnet18()
    weights = sum(c * k * f * f for c, k, f, _ in inner)
    assert weights + 64 * 147 + 512_000 + 1_000 + 2 * 4_800 == 11_689_512
    stored = 4 * weights + 8 * (64 * 147 + 512_000) + 32 * (1_000 + 2 * 4_800)
    macs, ends = 1_695_547_392, 118_013_952 + 512_000
    hidden = [(c, c // 4, width * width, k) for c, k, _, width in inner]
    added = sum(c * h + h + h + 1 + k + 1 for c, h, _, k in hidden)
    operations = sum(c * p + 2 * c * h + 2 * h + h + 1 + 1 + 1 for c, h, p, _ in hidden)
    products = sum(c * h + h for c, h, _, _ in hidden)
    assert (added, products) == (311_846, 306_112)
    expected = {
        "parameters_overhead": 100 * 32 * added / stored,
        "compute_overhead": 100 * operations / (2 * (4 * macs + 8 * ends) / 32),
        "bops_overhead": 100 * 1024 * products / (16 * macs + 64 * ends),
    }
    found = overhead(literature("resnet18"), [4]).filter(convention="as_it_runs")
    assert {entry.quantity: entry.value for entry in found} == pytest.approx(expected, rel=1e-12)


def test_every_number_that_is_not_the_papers_says_what_is_divided_by_what() -> None:
    for entry in overhead(literature("resnet18"), [4]):
        assert entry.source.startswith("ASQ," if entry.convention == "asq_table1" else "own count: ")
        assert entry.convention == "asq_table1" or " over " in entry.source


def test_the_table_that_is_printed_has_a_row_per_network_and_width() -> None:
    rows = overhead_rows({name: overhead(literature(name), (4, 3)) for name in ("resnet18", "resnet34")})
    assert [(row["network"], row["bits"]) for row in rows] == [
        *(("resnet18", 4), ("resnet18", 3), ("resnet34", 4), ("resnet34", 3))
    ]


def test_a_network_without_inner_convolutions_is_refused() -> None:
    workload = Workload("mlp", tuple(Layer(f"fc{i}", "linear", K=4, C=4, has_weight=True) for i in range(3)))
    with pytest.raises(WorkloadError, match="workload mlp has no convolution between"):
        overhead(workload)


def test_a_ratio_below_1_is_refused() -> None:
    with pytest.raises(WorkloadError, match="ratio must be at least 1, got 0"):
        with_adapters(literature("resnet18"), 0)

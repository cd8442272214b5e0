"""BOPs against published numbers and against each other."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost.bops import all_bops, bops
from hwsim.cost.table import Entry
from hwsim.workload import Layer, Workload
from hwsim.workloads import Precision, literature, quantized

SAME_EVERYWHERE = None


def giga(name: str, precision: Precision, first_last: Precision | None, convention: str = "macs_bits") -> float:
    return bops(quantized(literature(name), precision, first_last), convention).value("bops") / 1e9


# Derivation for 8 bits: 1,814,073,344 MACs x 64; else inner 1,695,547,392 x b^2 + (118,013,952 + 512,000) x 64.
# HAWQ-V3's README (arXiv:2011.10680) prints 116 and 34 G for W8A8 and W4A4, and 1858 G for 32 bits.
@pytest.mark.parametrize(
    ("bits", "expected"), [(8, 116_100_694_016), (4, 34_714_419_200), (3, 22_845_587_456), (2, 14_367_850_496)]
)
def test_resnet18_with_first_and_last_layer_at_8_bits(bits: int, expected: int) -> None:
    workload = quantized(literature("resnet18"), Precision("uniform", bits))
    assert bops(workload, "macs_bits").value("bops") == expected


def test_resnet18_in_float_is_hawqs_1858_g() -> None:
    assert bops(literature("resnet18"), "macs_bits").value("bops") == 1_814_073_344 * 1024  # 1857.6 G


# MACs (of the literature's networks, tested apart) x b^2 where all layers share the bits; values to the printed digit.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet34", [234.48, 64.31, 39.49, 21.77]),
        ("resnet50", [261.71, 71.19, 43.41, 23.56]),
        ("mobilenetv2", [19.25, 5.39, 3.37, 1.93]),
        ("resnet20_b", [2.612, 0.674, 0.392, 0.190]),
    ],
)
def test_other_networks_with_first_and_last_layer_at_8_bits(name: str, expected: list[float]) -> None:
    digits = len(str(expected[0]).partition(".")[2])
    found = [round(giga(name, Precision("uniform", bits), Precision("uniform", 8)), digits) for bits in (8, 4, 3, 2)]
    assert found == expected


def test_all_layers_at_the_same_bits() -> None:
    found = [round(giga("resnet18", Precision("uniform", bits), SAME_EVERYWHERE), 2) for bits in (4, 3, 2)]
    assert found == [29.03, 16.33, 7.26]


def test_uniq_adds_the_accumulators_width() -> None:
    """Derivation: sum over layers of MACs (b^2 + 2b + log2(C FY FX)), first and last layer at 8 bits."""
    found = [round(giga("resnet18", Precision("uniform", b), Precision("uniform", 8), "uniq"), 1) for b in (8, 4, 3, 2)]
    assert found == [163.7, 68.8, 53.5, 41.7]


def test_asq_counts_linear_layers_twice_and_one_width_only() -> None:
    workload = quantized(literature("resnet18"), Precision("uniform", 4, act_bits=8), SAME_EVERYWHERE)
    expected = (1_814_073_344 - 512_000 + 2 * 512_000) * 4 / 32
    assert bops(workload, "asq_linear").value("bops") == expected


def test_conventions_that_need_weights_are_silent_without_them() -> None:
    found = {entry.convention for entry in all_bops(literature("resnet20_a"))}
    assert found == {"macs_bits", "uniq", "qonnx", "asq_linear"}


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown BOPs convention 'macs'; did you mean 'macs_bits'"):
        bops(literature("resnet18"), "macs")


BITS = st.integers(2, 8)
LAYERS = st.builds(
    lambda i, k, c, x, f: Layer(f"l{i}", "conv", K=k, C=c, OY=1, OX=x, IY=1, IX=x + f - 1, FX=f, has_weight=True),
    *(st.integers(0, 10**6), *(st.integers(1, 40) for _ in range(4))),
)
WORKLOADS = st.lists(LAYERS, min_size=1, max_size=6, unique_by=lambda layer: layer.name).map(
    lambda layers: Workload("net", tuple(layers))
)


@given(WORKLOADS, BITS, st.sampled_from(["macs_bits", "uniq", "qonnx", "asq_linear"]))
def test_bops_are_additive_and_do_not_depend_on_the_order(workload: Workload, bits: int, convention: str) -> None:
    def entries(layers: Iterable[Layer]) -> list[Entry]:
        chosen = quantized(workload.with_layers(layers), Precision("uniform", bits), SAME_EVERYWHERE)
        return sorted(bops(chosen, convention))

    parts = sorted(entry for layer in workload for entry in entries([layer]))
    assert parts == entries(workload.layers) == entries(reversed(workload.layers))


@given(WORKLOADS, BITS, BITS, st.sampled_from(["macs_bits", "uniq", "asq_linear"]))
def test_bops_grow_with_the_bits(workload: Workload, bits: int, act_bits: int, convention: str) -> None:
    def total(b: int, a: int) -> float:
        chosen = quantized(workload, Precision("uniform", b, act_bits=a), SAME_EVERYWHERE)
        return bops(chosen, convention).value("bops")

    assert total(bits, act_bits) < total(bits + 1, act_bits)
    assert total(bits, act_bits) <= total(bits, act_bits + 1)


@given(WORKLOADS, BITS, BITS)
def test_conventions_agree_where_they_must(workload: Workload, bits: int, act_bits: int) -> None:
    chosen = quantized(workload, Precision("uniform", bits, act_bits=act_bits), SAME_EVERYWHERE)
    assert bops(chosen, "macs_bits").value("bops") == bops(chosen, "qonnx").value("bops")
    assert bops(chosen, "uniq").value("bops") > bops(chosen, "macs_bits").value("bops")

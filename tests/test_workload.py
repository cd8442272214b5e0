"""Layers and workloads: sizes, totals, and what is refused."""

from typing import Any

import pytest

from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.workload import Layer, Workload, WorkloadError

CONV: dict[str, Any] = {"kind": "conv", "K": 8, "C": 4, "OY": 5, "OX": 5, "IY": 10, "IX": 10, "FY": 3, "FX": 3}
CONV |= {"strides": (2, 2), "padding": (1, 1, 1, 1), "has_weight": True}


def test_a_convolution_is_its_loop_nest() -> None:
    layer = Layer("c", **CONV)
    assert (layer.macs, layer.weights, layer.terms) == (8 * 4 * 25 * 9, 8 * 4 * 9, 36)
    assert (layer.elements_in, layer.outputs) == (400, 200)


def test_groups_divide_products_and_parameters() -> None:
    layer = Layer("c", **CONV | {"groups": 4})
    assert (layer.macs, layer.weights) == (8 * 1 * 25 * 9, 8 * 1 * 9)


def test_a_transposed_convolution_counts_its_input_pixels() -> None:
    sizes = CONV | {"kind": "conv_transpose", "OY": 10, "OX": 10, "IY": 5, "IX": 5, "padding": (1, 1, 0, 0)}
    layer = Layer("up", **sizes)
    assert (layer.macs, layer.weights) == (4 * 25 * 8 * 9, 8 * 4 * 9)


def test_attention_counts_heads_as_groups() -> None:
    layer = Layer("qk", "matmul", K=4 * 7, C=4 * 16, OX=7, IX=7, groups=4)  # 4 heads, 7 tokens, 16 channels a head
    assert (layer.macs, layer.parameters, layer.operand_elements) == (4 * 7 * 7 * 16, 0, 4 * 7 * 16)


def test_shared_parameters_are_counted_once() -> None:
    layer = Layer("head", "linear", K=10, C=4, has_weight=True, has_bias=True, shared=True)
    assert (layer.parameters, layer.macs) == (0, 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"K": 0}, r"layer c: K must be an integer of at least 1, got 0"),
        ({"C": -4}, r"layer c: C must be an integer of at least 1, got -4"),
        ({"N": 1.0}, r"layer c: N must be an integer of at least 1, got 1.0"),
        ({"padding": (1, -1, 1, 1)}, r"layer c: padding must be an integer of at least 0, got -1"),
        ({"groups": 3}, r"layer c: groups=3 must divide C=4 and K=8"),
        ({"OY": 6}, r"layer c: a window of 3 with stride 2 over 12 padded positions along Y gives 5 positions, got 6"),
        ({"kind": "convolution"}, r"layer c: unknown kind 'convolution'; did you mean 'conv"),
    ],
)
def test_a_layer_that_cannot_be_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        Layer("c", **CONV | change)


def test_a_multiplier_must_have_the_layers_formats() -> None:
    multiplier = multiplier_for(Uniform(4), Uniform(4, signed=False))
    with pytest.raises(WorkloadError, match="layer c: the multiplier's formats"):
        Layer("c", **CONV, weight=Uniform(3), activation=Uniform(4, signed=False), multiplier=multiplier)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((), "workload net has no layers"),
        ((Layer("a", "relu"), Layer("a", "relu")), "two layers are called a"),
        ((Layer("a", "relu", inputs=("b",)), Layer("b", "relu")), "layer a: no earlier layer is called b"),
    ],
)
def test_a_workload_that_cannot_be_is_refused(layers: tuple[Layer, ...], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        Workload("net", layers)


def test_a_layer_is_found_by_its_key() -> None:
    workload = Workload("net", (Layer("conv1", "relu"), Layer("conv1", "quantize", part="quantizer")))
    assert workload.layer("conv1/quantizer").kind == "quantize"
    with pytest.raises(WorkloadError, match="unknown layer 'conv2'; did you mean 'conv1'"):
        workload.layer("conv2")

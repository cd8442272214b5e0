"""The workload of an integer network: its nodes as layers, with what the weight codes tell."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim.arithmetic import IntArray, Requantizer
from hwsim.multipliers import Multiplier
from hwsim.network import Network
from hwsim.nodes import (
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Flatten,
    Input,
    Linear,
    Matmul,
    MaxPool,
    Node,
    PadChannels,
    Pool,
    Quantize,
    Relu,
    Rescale,
    Shape,
)
from hwsim.workload import Layer, WeightFacts, Workload

SHIFT_BITS = 6  #: A shift is 0..62.

Fields = dict[str, Any]


def workload_from_network(network: Network) -> Workload:
    """Return one layer per node, with formats, accumulators and operation counts of its real weight codes."""
    return Workload(network.name, tuple(_layer(network, node) for node in network.nodes))


def weight_facts(multiplier: Multiplier, codes: IntArray) -> WeightFacts:
    """Return what the codes tell beyond their shape; a zero in every term of the product is a zero weight."""
    factors = np.abs(multiplier.terms().weight)  # (terms, codes of the format)
    enclosed = sum(_enclosed_bits(row) for row in factors)
    return WeightFacts(
        operations=tuple(multiplier.operations(codes).items()),
        nonzero=int(np.count_nonzero(factors.max(axis=0)[codes])),
        enclosed_bits=int(np.sum(np.asarray(enclosed)[codes])),
    )


def _layer(network: Network, node: Node) -> Layer:
    shape = network.shapes[node.name]
    source = network.shapes[node.inputs[0]] if node.inputs else shape
    fields = {**_extents("C", "I", source), **_extents("K", "O", shape)}
    kind, more = _KINDS[type(node)]
    fields |= more(network, node)
    return Layer(node.name, kind, inputs=node.inputs or ("input",), op=type(node).__name__, **fields)


def _extents(channels: str, side: str, shape: Shape) -> Fields:
    size = shape if len(shape) == 3 else (shape[0], 1, 1)
    return dict(zip((channels, f"{side}Y", f"{side}X"), map(int, size), strict=True))


def _nothing(network: Network, node: Node) -> Fields:
    return {}


def _matmul(network: Network, node: Matmul) -> Fields:
    return {
        "has_weight": True,
        "weight": node.multiplier.weight,
        "activation": node.multiplier.activation,
        "multiplier": node.multiplier,
        "facts": weight_facts(node.multiplier, node.weight),
        "accumulator_bits": node.accumulator.bits,
    }


def _conv(network: Network, node: Conv) -> Fields:
    window = {"FY": node.weight.shape[2], "FX": node.weight.shape[3], "groups": node.groups}
    return _matmul(network, node) | window | _strides(node) | {"dilation": node.dilation}


def _pool(network: Network, node: Pool) -> Fields:
    return {"FY": node.kernel[0], "FX": node.kernel[1], **_strides(node)}


def _avg_pool(network: Network, node: AvgPool) -> Fields:
    return _pool(network, node) | _scales(node.requantizer)


def _strides(node: Conv | Pool) -> Fields:
    return {"strides": node.stride, "padding": node.padding * 2}


def _rescale(network: Network, node: Rescale) -> Fields:
    return _scales(node.requantizer) | {"has_bias": True, "bias_bits": network.datapath.bits}


def _quantize(network: Network, node: Quantize) -> Fields:
    return _scales(node.requantizer) | {"activation": node.format}


def _scales(requantizer: Requantizer) -> Fields:
    bits = requantizer.largest_multiplier.bit_length() + bool((requantizer.multiplier < 0).any())
    return {"scales": int(requantizer.multiplier.size), "scale_bits": bits + SHIFT_BITS}


def _enclosed_bits(magnitudes: IntArray) -> IntArray:
    """Return the bits from the first to the last set bit of each integer, 0 of zero."""
    lowest = magnitudes & -magnitudes
    shifted = magnitudes // np.maximum(lowest, 1)
    return np.array([int(value).bit_length() for value in shifted], dtype=np.int64)


_KINDS: dict[type[Node], tuple[str, Callable[[Network, Any], Fields]]] = {
    Input: ("reshape", _nothing),
    Quantize: ("quantize", _quantize),
    Conv: ("conv", _conv),
    Linear: ("linear", _matmul),
    Rescale: ("rescale", _rescale),
    Add: ("add", _nothing),
    Relu: ("relu", _nothing),
    Clip: ("clip", _nothing),
    MaxPool: ("max_pool", _pool),
    AvgPool: ("avg_pool", _avg_pool),
    Flatten: ("reshape", _nothing),
    Concat: ("reshape", _nothing),
    PadChannels: ("reshape", _nothing),
}

"""The workload of an integer network: its nodes as layers, with what the weight codes tell."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hwsim.network import Network
from hwsim.nodes import (
    Adapter,
    AdaptiveQuantize,
    AdaptiveRescale,
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
    Threshold,
)
from hwsim.workload import Layer, Workload
from hwsim.workloads.facts import Fields, scale_fields, weight_facts
from hwsim.workloads.from_adapter import adapter_layers, adaptive_layer


def workload_from_network(network: Network) -> Workload:
    """Return one layer per node, with formats, accumulators and operation counts of its real weight codes.

    ASQ's adapter is several layers, and makes one more of each node that it adapts.
    """
    return Workload(network.name, tuple(layer for node in network.nodes for layer in _layers(network, node)))


def _layers(network: Network, node: Node) -> Iterator[Layer]:
    if isinstance(node, Adapter):
        yield from adapter_layers(node, network.shapes[node.inputs[0]])
        return
    layer = _layer(network, node)
    if isinstance(node, AdaptiveQuantize | AdaptiveRescale):
        made = adaptive_layer(node)
        yield made
        layer = replace(layer, inputs=(layer.inputs[0], made.key))
    yield layer


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
    return _pool(network, node) | scale_fields(node.requantizer)


def _strides(node: Conv | Pool) -> Fields:
    return {"strides": node.stride, "padding": node.padding * 2}


def _rescale(network: Network, node: Rescale) -> Fields:
    return scale_fields(node.requantizer) | {"has_bias": True, "bias_bits": network.datapath.bits}


def _quantize(network: Network, node: Quantize) -> Fields:
    scales = scale_fields(node.requantizer)
    return scales | {"activation": node.format, "scales": scales["scales"] + bool(node.offset)}


def _threshold(network: Network, node: Threshold) -> Fields:
    return {"scales": node.format.count - 1, "scale_bits": network.datapath.bits, "activation": node.format}


_KINDS: dict[type[Node], tuple[str, Callable[[Network, Any], Fields]]] = {
    Input: ("reshape", _nothing),
    Quantize: ("quantize", _quantize),
    Threshold: ("threshold", _threshold),
    Conv: ("conv", _conv),
    Linear: ("linear", _matmul),
    Rescale: ("rescale", _rescale),
    AdaptiveQuantize: ("quantize", _quantize),
    AdaptiveRescale: ("rescale", _rescale),
    Add: ("add", _nothing),
    Relu: ("relu", _nothing),
    Clip: ("clip", _nothing),
    MaxPool: ("max_pool", _pool),
    AvgPool: ("avg_pool", _avg_pool),
    Flatten: ("reshape", _nothing),
    Concat: ("reshape", _nothing),
    PadChannels: ("reshape", _nothing),
}

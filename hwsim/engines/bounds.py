"""What values a network's tensors can take, from its weight codes and its datapath, before anything runs."""

from collections.abc import Callable

import numpy as np

from hwsim.accumulator import partial_sum_range
from hwsim.arithmetic import IntArray, register_range
from hwsim.network import Network
from hwsim.nodes import AdaptiveRescale, Add, AvgPool, Clip, Concat, Input, Matmul, Node, PadChannels, Relu, Rescale

Bound = tuple[int, int]  #: Lowest and highest value.


def register_bounds(node: Matmul) -> tuple[IntArray, IntArray]:
    """Return the lowest and highest value that each output channel's accumulator can hold, each (K,)."""
    low, high = partial_sum_range(node.multiplier, node.weight)
    lowest, highest = register_range(node.accumulator.bits)
    fits = (low >= lowest) & (high <= highest)
    return np.where(fits, low, lowest), np.where(fits, high, highest)


def overflow_excluded(node: Matmul) -> IntArray:
    """Return, per output channel, 1 if no partial sum can leave the accumulator, 0 if one might."""
    low, high = partial_sum_range(node.multiplier, node.weight)
    lowest, highest = register_range(node.accumulator.bits)
    return ((low >= lowest) & (high <= highest)).astype(np.int64)


def rescaled_bounds(node: Rescale, matmul: Matmul) -> Bound:
    """Return the lowest and highest value of a rescaling before the datapath saturates it.

    An adaptive one's multipliers are no larger, and its sums reach from 0 or less to 0 or more: it stays within.
    """
    ends = np.stack(register_bounds(matmul))
    values = node.requantizer.apply(ends) + node.bias
    return int(values.min()), int(values.max())


def fixed_bounds(network: Network) -> dict[str, Bound]:
    """Return the lowest and highest value of each fixed-point tensor before the datapath saturates it."""
    bounds: dict[str, Bound] = {}
    for node in network.nodes:
        if node.produces == "fixed":
            bounds[node.name] = _bounds_of(node, network, [_saturated(bounds, name, network) for name in node.inputs])
    return bounds


def _saturated(bounds: dict[str, Bound], name: str, network: Network) -> Bound:
    rails = network.datapath.range
    return _clipped(bounds.get(name, rails), rails)


def _clipped(bound: Bound, limits: Bound) -> Bound:
    return min(max(bound[0], limits[0]), limits[1]), min(max(bound[1], limits[0]), limits[1])


def _bounds_of(node: Node, network: Network, inputs: list[Bound]) -> Bound:
    if isinstance(node, Input):
        return network.datapath.range
    rule = _RULES.get(type(node))
    return rule(node, network, inputs) if rule else inputs[0]


def _rescaled(node: Rescale, network: Network, inputs: list[Bound]) -> Bound:
    source = network.node(node.inputs[0])
    return rescaled_bounds(node, source) if isinstance(source, Matmul) else network.datapath.range


def _added(node: Add, network: Network, inputs: list[Bound]) -> Bound:
    return sum(low for low, _ in inputs), sum(high for _, high in inputs)


def _joined(node: Node, network: Network, inputs: list[Bound]) -> Bound:
    return min(0, *(low for low, _ in inputs)), max(0, *(high for _, high in inputs))


def _averaged(node: AvgPool, network: Network, inputs: list[Bound]) -> Bound:
    requantizer, taps, bound = node.requantizer, node.kernel[0] * node.kernel[1], inputs[0]
    ends = np.array([[min(bound[0], 0) * taps], [max(bound[1], 0) * taps]])
    values = requantizer.apply(np.broadcast_to(ends, (2, max(requantizer.multiplier.size, 1))))
    return int(values.min()), int(values.max())


#: What each node kind makes of its inputs' bounds; the kinds that are missing leave the first input's as they are.
_RULES: dict[type[Node], Callable[..., Bound]] = {
    Rescale: _rescaled,
    AdaptiveRescale: _rescaled,
    Add: _added,
    Relu: lambda node, network, inputs: (max(inputs[0][0], 0), max(inputs[0][1], 0)),
    Clip: lambda node, network, inputs: _clipped(inputs[0], (node.low, node.high)),
    AvgPool: _averaged,
    Concat: _joined,
    PadChannels: _joined,
}

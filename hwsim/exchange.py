"""A network with other hardware: the same weights and scales, another multiplier or another accumulator."""

from collections.abc import Callable
from dataclasses import replace

from hwsim.accumulator import Accumulator, required_bits
from hwsim.formats import Uniform
from hwsim.multipliers import Multiplier
from hwsim.multipliers.custom_files import named_table
from hwsim.network import Network
from hwsim.nodes import Matmul


def with_table(network: Network, name: str) -> Network:
    """Return the network with a product table, a file or an example, in every layer of uniform weights.

    An accumulator that refuses overflow becomes as wide as the new products need.

    Raises:
        FileNotFoundError, ValueError: no such table, one of another size, or a layer whose weights are not uniform.
    """
    return _with_layers(network, lambda node: _with_multiplier(node, _table_for(node, name)))


def with_accumulator(network: Network, bits: int, overflow: str) -> Network:
    """Return the network with the same accumulator in every layer.

    Raises:
        ValueError: it is impossible, or overflow is "error" and the weights could overflow it.
    """
    accumulator = Accumulator(bits, overflow)
    return _with_layers(network, lambda node: replace(node, accumulator=accumulator))


def _with_layers(network: Network, change: Callable[[Matmul], Matmul]) -> Network:
    nodes = tuple(change(node) if isinstance(node, Matmul) else node for node in network.nodes)
    return replace(network, nodes=nodes)


def _table_for(node: Matmul, name: str) -> Multiplier:
    weight = node.multiplier.weight
    if not isinstance(weight, Uniform):
        raise ValueError(f"layer {node.name!r} has {weight.name} weights; a product table replaces uniform ones")
    return named_table(name, weight, node.multiplier.activation)


def _with_multiplier(node: Matmul, multiplier: Multiplier) -> Matmul:
    accumulator = node.accumulator
    if accumulator.overflow == "error":
        accumulator = replace(accumulator, bits=max(accumulator.bits, required_bits(multiplier, node.weight)))
    return replace(node, multiplier=multiplier, accumulator=accumulator)

"""Which nodes run together: rescaling, clipping, pooling, a residual addition, clipping again."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from hwsim.engines.bounds import Bound, fixed_bounds, register_bounds
from hwsim.network import Network
from hwsim.nodes import Add, Clip, Matmul, MaxPool, Node, Relu, Rescale

FLOAT64_BITS = 53


@dataclass(frozen=True)
class Chain:
    """A rescaling and what is done to its result alone.

    followers: the nodes after the rescaling, in order; the last node's tensor is the result. A clip is (low, high), or
    None. saturates: whether a value on the way, that before the bias included, might not fit the datapath. A pooling
    comes before the addition and only where the rescaling cannot saturate, so it may as well be done first.
    """

    rescale: Rescale
    followers: tuple[Node, ...]
    first_clip: Bound | None
    add: Add | None
    last_clip: Bound | None
    saturates: bool

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes in order."""
        return self.rescale, *self.followers

    @property
    def pool(self) -> MaxPool | None:
        """The pooling."""
        return next((node for node in self.followers if isinstance(node, MaxPool)), None)

    @property
    def addend(self) -> str | None:
        """Name of the tensor that is added."""
        if self.add is None:
            return None
        inside = {node.name for node in self.nodes}
        return next(name for name in self.add.inputs if name not in inside)


def find_chains(network: Network, kept: Collection[str]) -> dict[str, Chain]:
    """Return the chains by the name of their last node; tensors in `kept` are needed outside, so they end a chain."""
    readers = Counter(name for node in network.nodes for name in node.inputs)
    private = {name for name, count in readers.items() if count == 1 and name not in kept}
    bounds, taken, chains = fixed_bounds(network), set[str](), {}
    for node in network.nodes_of(Rescale):
        if exact_in_float64(node, network):
            exact = not _leaves(bounds[node.name], network)
            chain = _chain(node, _followers(node, network, private, taken, exact), network, bounds)
            taken |= {member.name for member in chain.nodes}
            chains[chain.nodes[-1].name] = chain
    return chains


def exact_in_float64(node: Rescale, network: Network) -> bool:
    """Return whether floor(sum * scale + half) + bias is exact in float64, for a rounding that has this form."""
    source, requantizer = network.node(node.inputs[0]), node.requantizer
    if not isinstance(source, Matmul) or requantizer.rounding not in ("half_up", "floor"):
        return False
    largest = np.abs(np.stack(register_bounds(source))).max(axis=0).astype(object)
    products = largest * np.abs(requantizer.multiplier) + (1 << requantizer.shift.astype(object))
    return bool(
        (products < 1 << FLOAT64_BITS).all() and int(np.abs(node.bias).max(initial=0)) < 1 << (FLOAT64_BITS - 1)
    )


def _followers(
    node: Node, network: Network, private: Collection[str], taken: Collection[str], pools: bool
) -> tuple[Node, ...]:
    """Return what is done to the node's tensor alone; pools: whether a pooling may be among it."""
    followers: list[Node] = []
    kinds: tuple[type[Node], ...] = (Relu, Clip, Add, MaxPool) if pools else (Relu, Clip, Add)
    while node.name in private:
        node = next(other for other in network.nodes if node.name in other.inputs)
        if node.name in taken or not isinstance(node, kinds):
            break
        followers.append(node)
        once = {Add: (Add, MaxPool), MaxPool: (MaxPool,)}.get(type(node), ())
        kinds = tuple(kind for kind in kinds if kind not in once)
    return tuple(followers)


def _chain(rescale: Rescale, followers: tuple[Node, ...], network: Network, bounds: dict[str, Bound]) -> Chain:
    add = next((node for node in followers if isinstance(node, Add)), None)
    split = followers.index(add) if add else len(followers)
    saturates = any(_leaves(bounds[node.name], network) for node in (rescale, add) if node)
    saturates |= any(_leaves(bound, network) for bound in _before_bias(rescale, bounds[rescale.name]))
    high = network.datapath.range[1]
    clips = _joint_clip(followers[:split], high), _joint_clip(followers[split:], high)
    return Chain(rescale, followers, clips[0], add, clips[1], saturates)


def _before_bias(rescale: Rescale, bound: Bound) -> tuple[Bound, Bound]:
    """Return the bounds of the bias, and of what it is added to."""
    low, high = int(rescale.bias.min()), int(rescale.bias.max())
    return (low, high), (bound[0] - high, bound[1] - low)


def _leaves(bound: Bound, network: Network) -> bool:
    low, high = network.datapath.range
    return bound[0] < low or bound[1] > high


def _joint_clip(nodes: tuple[Node, ...], highest: int) -> Bound | None:
    """Return the one clip that does what these nodes do one after another."""
    low, high, clips = -highest - 1, highest, [node for node in nodes if isinstance(node, Relu | Clip)]
    for node in clips:
        floor, ceiling = (0, highest) if isinstance(node, Relu) else (node.low, node.high)
        low, high = min(max(low, floor), ceiling), min(max(high, floor), ceiling)
    return (low, high) if clips else None

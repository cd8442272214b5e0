"""The integer network: a straight-line program over integer tensors that any engine can run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from hwsim.accumulator import MAX_BITS, Accumulator
from hwsim.arithmetic import largest_magnitude, register_range
from hwsim.errors import check_integer, unknown_name
from hwsim.nodes import Adapter, AdaptiveRescale, AvgPool, Clip, Encode, Input, Matmul, Node, Quantize, Rescale, Shape

_N = TypeVar("_N", bound=Node)


@dataclass(frozen=True)
class Datapath:
    """The fixed-point format of values between convolutions: two's complement, saturating.

    Raises:
        ValueError: bits outside 2..48 or frac_bits outside 0..bits.
    """

    bits: int = 32
    frac_bits: int = 20

    def __post_init__(self) -> None:
        check_integer("datapath bits", self.bits, 2, 48)
        check_integer("datapath frac_bits", self.frac_bits, 0, self.bits)

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest integer."""
        return register_range(self.bits)


@dataclass(frozen=True, eq=False)
class Network:
    """A straight-line program: nodes in the order in which they run, the last one's tensor is the result.

    metadata: JSON values that say where the network comes from; engines ignore them.

    Raises:
        ValueError: the program is not well formed: names, kinds of tensors, shapes, codes, accumulators or requantizers
            that do not fit; the message names the node.
    """

    nodes: tuple[Node, ...]
    datapath: Datapath = Datapath()
    name: str = "network"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_graph()
        _ = self.shapes
        for node in self.nodes:
            self._check_arithmetic(node)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shape of each node's tensor, per sample."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            shapes[node.name] = node.output_shape(*(shapes[name] for name in node.inputs))
        return shapes

    @property
    def input(self) -> Input:
        """The node that takes the images."""
        return self.nodes_of(Input)[0]

    @property
    def output(self) -> Node:
        """The node whose tensor is the result."""
        return self.nodes[-1]

    def node(self, name: str) -> Node:
        """Return the node of that name.

        Raises:
            ValueError: there is none.
        """
        by_name = {node.name: node for node in self.nodes}
        if name not in by_name:
            raise unknown_name("node", name, by_name)
        return by_name[name]

    def nodes_of(self, kind: type[_N]) -> list[_N]:
        """Return the nodes of one kind, in order."""
        return [node for node in self.nodes if isinstance(node, kind)]

    @property
    def layers(self) -> list[Matmul]:
        """The convolution and linear nodes, in order."""
        return [node for node in self.nodes if isinstance(node, Matmul)]

    def with_accumulator(self, accumulator: Accumulator) -> "Network":
        """Return the same network with this accumulator in every layer.

        Raises:
            ValueError: its overflow mode is "error" and some layer's weights could overflow it.
        """
        swapped = (replace(n, accumulator=accumulator) if isinstance(n, Matmul) else n for n in self.nodes)
        return replace(self, nodes=tuple(swapped))

    def _check_graph(self) -> None:
        if sum(isinstance(node, Input) for node in self.nodes) != 1:
            raise ValueError("a network needs exactly one input node")
        produced: dict[str, str] = {}
        for node in self.nodes:
            _check_inputs(node, produced)
            produced[node.name] = node.produces
        if self.nodes[-1].produces != "fixed":
            raise ValueError(
                f"the last node must make fixed-point values, {self.nodes[-1].name!r} makes {self.nodes[-1].produces}"
            )

    def _check_arithmetic(self, node: Node) -> None:
        largest = -self.datapath.range[0]
        if isinstance(node, Matmul):
            self._check_matmul(node)
        elif isinstance(node, Quantize):
            if abs(node.offset) > largest:
                raise ValueError(f"node {node.name!r} has an offset of {node.offset}, beyond the datapath")
            node.requantizer.check_range(largest + abs(node.offset), f"node {node.name!r}")
        elif isinstance(node, Adapter):
            node.check_widths(largest, math.prod(self.shapes[node.inputs[0]][1:]))
        elif isinstance(node, AvgPool):
            node.requantizer.check_range(largest * node.kernel[0] * node.kernel[1], f"node {node.name!r}")
        elif isinstance(node, Rescale):
            self._check_rescale(node)
        elif isinstance(node, Clip) and (node.low > self.datapath.range[1] or node.high < self.datapath.range[0]):
            raise ValueError(f"node {node.name!r} clips to {node.low}..{node.high}, beyond the datapath")

    def _check_matmul(self, node: Matmul) -> None:
        source = self.node(node.inputs[0])
        if isinstance(source, Encode) and source.format != node.multiplier.activation:
            raise ValueError(f"node {node.name!r} multiplies {node.multiplier.activation}, but gets {source.format}")
        try:
            node.multiplier.weight.decode(node.weight)
            node.check_accumulator()
        except ValueError as error:
            raise ValueError(f"node {node.name!r}: {error}") from error

    def _check_rescale(self, node: Rescale) -> None:
        source = self.node(node.inputs[0])
        if isinstance(node, AdaptiveRescale):
            self._check_beta(node)
        bias = largest_magnitude(node.bias)
        if bias >= 1 << (MAX_BITS - 1):
            raise ValueError(f"node {node.name!r} has a bias beyond {MAX_BITS - 1} bits")
        if isinstance(source, Matmul):
            node.requantizer.check_range(source.largest_sum, f"node {node.name!r}")
            product = source.largest_sum * node.requantizer.largest_multiplier >> int(node.requantizer.shift.min())
            if product + bias >= 1 << MAX_BITS:
                raise ValueError(
                    f"node {node.name!r}: rescaled sums up to {product} plus the bias exceed {MAX_BITS} bits"
                )

    def _check_beta(self, node: AdaptiveRescale) -> None:
        adapter = self.node(node.inputs[1])
        if isinstance(adapter, Adapter) and adapter.bits != node.beta_bits:
            raise ValueError(f"node {node.name!r} takes a beta of {node.beta_bits} bits, got {adapter.bits}")


def _check_inputs(node: Node, produced: Mapping[str, str]) -> None:
    if node.name in produced:
        raise ValueError(f"two nodes are named {node.name!r}")
    wanted = "two or more inputs" if node.arity is None else f"{node.arity} inputs"
    if len(node.inputs) != node.arity and not (node.arity is None and len(node.inputs) > 1):
        raise ValueError(f"node {node.name!r} takes {wanted}, got {len(node.inputs)}")
    for place, name in enumerate(node.inputs):
        if name not in produced:
            raise ValueError(f"node {node.name!r} reads {name!r}, which no earlier node makes")
        kind = (node.consumes_second if place else None) or node.consumes
        if produced[name] != kind:
            raise ValueError(f"node {node.name!r} takes {kind}, but {name!r} makes {produced[name]}")

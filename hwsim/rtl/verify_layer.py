"""Proof on a trained network: a layer streamed through a systolic array, its sums rescaled, all equal to the engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hwsim.arithmetic import IntArray
from hwsim.cost.systolic import DATAFLOWS, Gemms
from hwsim.engines import simulate as simulate_network
from hwsim.errors import check_integer, naming
from hwsim.network import Network
from hwsim.nodes import Adapter, AdaptiveRescale, Matmul, Rescale
from hwsim.rtl.adapt import betas_by_circuit
from hwsim.rtl.from_network import adapter_circuit, layer_adapter, layer_named
from hwsim.rtl.layer_operands import Operands, by_position, layer_operands
from hwsim.rtl.requantize import rescaled_by_circuit
from hwsim.rtl.systolic import systolic_array
from hwsim.rtl.systolic.stream import stream

Progress = Callable[[int, int], None]  #: Gets the busy cycles so far, and those that the model expects.


@dataclass(frozen=True)
class Comparison:
    """What hardware computed beside what the engine did, of one node.

    first: where the first difference is, and both values; "" if there is none.
    """

    node: str
    values: int
    differing: int
    first: str = ""


@dataclass(frozen=True)
class LayerCheck:
    """The result of one layer on an array: M x K x N in so many groups; cycles count from 0, as the model's do."""

    layer: Matmul
    size: tuple[int, int, int]
    groups: int
    cycles: int
    model_cycles: int
    sums: Comparison
    rescaled: tuple[Comparison, ...]  #: Of each node that rescales the sums.
    beta: Comparison | None  #: Of ASQ's adapter in front of the layer, if it has one.

    @property
    def passed(self) -> bool:
        """Whether everything is equal."""
        return self.cycles == self.model_cycles and not any(c.differing for c in self.values)

    @property
    def values(self) -> tuple[Comparison, ...]:
        """Everything that was compared but the cycles."""
        return (self.sums, *self.rescaled, *([self.beta] if self.beta else []))


@dataclass(frozen=True)
class ArrayChoice:
    """An array to build, and the simulator to run it in."""

    rows: int = 4
    columns: int = 4
    dataflow: str = "os"
    simulator: str = "amaranth"
    style: str | None = None


DEFAULT_CHOICE = ArrayChoice()


def verify_layer(
    network: Network,
    name: str,
    images: ArrayLike,
    positions: int | None = None,
    choice: ArrayChoice = DEFAULT_CHOICE,
    progress: Progress = lambda cycles, expected: None,
) -> LayerCheck:
    """Run a layer on a simulated array, then its sums through the requantizer; compare with the reference engine.

    images: shape (N, *network.input.shape). positions: how many of the layer's outputs' positions to take, spread
    evenly over all images (default: all).

    Raises:
        ValueError: no such layer, one without products, or an array that cannot be built; the message names the layer.
        OSError: the simulator needs a program that is absent or failed.
    """
    layer = layer_named(network, name)
    rescales = [node for node in network.nodes_of(Rescale) if node.inputs[0] == name]
    adapter = layer_adapter(network, layer)
    wanted = {name, layer.inputs[0], *(tensor for node in rescales for tensor in (node.name, *node.inputs[1:]))}
    wanted |= {adapter.name, adapter.inputs[0]} if adapter else set()
    trace = simulate_network(network, images, "reference", trace=wanted).trace or {}
    products = layer_operands(layer, trace[layer.inputs[0]])
    expected = by_position(trace[name])
    bits = layer.accumulator.bits, network.datapath.bits
    chosen = _spread(name, len(expected), positions)
    with naming(f"layer {name!r}, multiplier {layer.multiplier.name}"):
        sums, cycles, model = _stream_groups(layer, products, chosen, choice, progress)
        samples = chosen // (len(expected) // len(trace[name]))
        rescaled = []
        for node in rescales:
            beta = trace[node.inputs[1]][samples, 0] if isinstance(node, AdaptiveRescale) else None
            got = rescaled_by_circuit(node, sums, beta, bits, choice.simulator)
            rescaled.append(_compare(node.name, got, by_position(trace[node.name])[chosen]))
        beta = _compare_beta(network, adapter, trace, choice.simulator) if adapter else None
    size = len(chosen), products[0].activation.shape[1], len(products[0].weight)
    equal = _compare(name, sums, expected[chosen])
    return LayerCheck(layer, size, len(products), cycles, model, equal, tuple(rescaled), beta)


@dataclass(frozen=True)
class LayerPlan:
    """What `verify_layer` would simulate: M x K x N in so many groups, and the cycles that the model expects."""

    layer: Matmul
    size: tuple[int, int, int]
    groups: int
    model_cycles: int


def plan_layer(
    network: Network, name: str, images: int, positions: int | None = None, choice: ArrayChoice = DEFAULT_CHOICE
) -> LayerPlan:
    """Return what `verify_layer` would simulate of so many images, with nothing simulated.

    Raises:
        ValueError: as `verify_layer`.
    """
    layer = layer_named(network, name)
    products = layer_operands(layer, np.zeros((images, *network.shapes[layer.inputs[0]]), dtype=np.int64))
    chosen = _spread(name, len(products[0].activation), positions)
    with naming(f"layer {name!r}, multiplier {layer.multiplier.name}"):
        systolic_array(layer.multiplier, layer.accumulator, choice.rows, choice.columns, choice.dataflow, choice.style)
        cycles = model_cycles(products, len(chosen), choice)
    size = len(chosen), products[0].activation.shape[1], len(products[0].weight)
    return LayerPlan(layer, size, len(products), cycles)


def _spread(name: str, count: int, positions: int | None) -> IntArray:
    if positions is None:
        return np.arange(count)
    check_integer(f"positions of layer {name!r}", positions, 1, count)
    return np.arange(positions) * count // positions


def _stream_groups(
    layer: Matmul, products: list[Operands], chosen: IntArray, choice: ArrayChoice, progress: Progress
) -> tuple[IntArray, int, int]:
    """Return the sums (M, N of all groups), the cycles, and the model's; both count from 0."""
    sides = choice.rows, choice.columns, choice.dataflow, choice.style
    arrays = [systolic_array(layer.multiplier, layer.accumulator, *sides) for _ in products]
    expected = model_cycles(products, len(chosen), choice)
    sums, cycles = [], 0

    def advance(busy: int) -> None:
        progress(cycles + busy, expected + 1)

    for array, group in zip(arrays, products, strict=True):
        result = stream(array, group.activation[chosen], group.weight, choice.simulator, advance)
        sums.append(result.sums)
        cycles += result.cycles
    return np.concatenate(sums, axis=1), cycles - 1, expected


def model_cycles(products: list[Operands], positions: int, choice: ArrayChoice) -> int:
    """Return the cycles that the accelerator model gives the products, of which so many positions are computed."""
    weight = products[0].weight
    sizes = (positions, *weight.shape, len(products), 0, 0, 0)
    gemm = Gemms(*(np.array([size], dtype=np.int64) for size in sizes))
    rows, columns = np.array([choice.rows]), np.array([choice.columns])
    return int(DATAFLOWS[choice.dataflow](gemm, rows, columns, lambda length: length)[0][0])


def _compare_beta(network: Network, adapter: Adapter, trace: Mapping[str, IntArray], simulator: str) -> Comparison:
    """Compare the adapter's beta of each image."""
    values = trace[adapter.inputs[0]]
    sums = values.sum(axis=tuple(range(2, values.ndim)))
    got = betas_by_circuit(adapter_circuit(network, adapter), sums, simulator)
    return _compare(adapter.name, got, trace[adapter.name], "image")


def _compare(node: str, got: IntArray, expected: IntArray, place: str = "position") -> Comparison:
    differing = np.argwhere(got != expected)
    if not len(differing):
        return Comparison(node, got.size, 0)
    m, n = differing[0].tolist()
    first = f"{place} {m}, channel {n}: {got[m, n]} instead of {expected[m, n]}"
    return Comparison(node, got.size, len(differing), first)

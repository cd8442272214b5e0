"""Cycles and traffic of matrix products on an array of processing elements, in closed form.

A layer is `groups` products of (M x K) by (K x N): M output pixels, N output channels, K terms. All functions take
int64 arrays that broadcast: (layers,) for one design, (designs, layers) for a sweep. The cycle counts equal SCALE-Sim
3.0.0's where a product takes one cycle; groups follow each other without a gap.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from hwsim.arithmetic import IntArray
from hwsim.workload import Layer


@dataclass(frozen=True, eq=False)
class Gemms:
    """The matrix products of layers; each field has shape (layers,).

    inputs, weights, outputs: elements that are stored (not im2col's copies).
    """

    M: IntArray
    N: IntArray
    K: IntArray
    groups: IntArray
    inputs: IntArray
    weights: IntArray
    outputs: IntArray

    @property
    def macs(self) -> IntArray:
        """Multiply-accumulates."""
        return self.groups * self.M * self.N * self.K


@dataclass(frozen=True, eq=False)
class SramTraffic:
    """Elements that move between the array and its buffers."""

    input_reads: IntArray
    weight_reads: IntArray
    sum_reads: IntArray
    sum_writes: IntArray


def gemms(layers: Iterable[Layer]) -> Gemms:
    """Return the matrix products of layers that multiply and accumulate."""
    rows = [_sizes(layer) for layer in layers]
    return Gemms(*np.array(rows, dtype=np.int64).reshape(-1, 7).T)


def _sizes(layer: Layer) -> tuple[int, ...]:
    stored = layer.elements_in, layer.operand_elements, layer.outputs
    channels_in, channels_out = layer.C // layer.groups, layer.K // layer.groups
    if layer.kind == "conv_transpose":
        pixels = layer.N * layer.IY * layer.IX
        return pixels, channels_out * layer.FY * layer.FX, channels_in, layer.groups, *stored
    return layer.N * layer.OY * layer.OX, channels_out, layer.terms, layer.groups, *stored


def ceil_div(a: IntArray, b: IntArray) -> IntArray:
    """Return a / b, rounded up."""
    return -(-a // b)


#: Cycles to stream that many products through one processing element.
Beats = Callable[[IntArray], IntArray]


def output_stationary(g: Gemms, rows: IntArray, columns: IntArray, beats: Beats) -> tuple[IntArray, SramTraffic]:
    """Return cycles ceil(M/R) ceil(N/C) (K + R + C - 2) - 1, the folds times the groups, and the traffic."""
    down, across = ceil_div(g.M, rows), ceil_div(g.N, columns)
    cycles = g.groups * down * across * (beats(g.K) + rows + columns - 2) - 1
    reads = g.groups * g.M * g.K * across, g.groups * g.N * g.K * down
    return cycles, SramTraffic(*reads, np.zeros_like(cycles), g.groups * g.M * g.N + np.zeros_like(cycles))


def weight_stationary(g: Gemms, rows: IntArray, columns: IntArray, beats: Beats) -> tuple[IntArray, SramTraffic]:
    """Return cycles ceil(K/R) ceil(N/C) (M + 2R + C - 2) - 1, the folds times the groups, and the traffic."""
    down, across = ceil_div(g.K, rows), ceil_div(g.N, columns)
    cycles = g.groups * down * across * (beats(g.M) + 2 * rows + columns - 2) - 1
    sums = g.groups * g.M * g.N
    reads = g.groups * g.M * g.K * across, g.groups * g.N * g.K + np.zeros_like(cycles)
    return cycles, SramTraffic(*reads, sums * (down - 1) + np.zeros_like(cycles), sums * down + np.zeros_like(cycles))


def input_stationary(g: Gemms, rows: IntArray, columns: IntArray, beats: Beats) -> tuple[IntArray, SramTraffic]:
    """Return cycles ceil(K/R) ceil(M/C) (N + 2R + C - 2) - 1, the folds times the groups, and the traffic."""
    down, across = ceil_div(g.K, rows), ceil_div(g.M, columns)
    cycles = g.groups * down * across * (beats(g.N) + 2 * rows + columns - 2) - 1
    sums = g.groups * g.M * g.N
    reads = g.groups * g.M * g.K + np.zeros_like(cycles), g.groups * g.N * g.K * across
    return cycles, SramTraffic(*reads, sums * (down - 1) + np.zeros_like(cycles), sums * down + np.zeros_like(cycles))


def dram_bits(
    inputs: IntArray, weights: IntArray, input_buffer: IntArray, weight_buffer: IntArray
) -> tuple[IntArray, IntArray]:
    """Return (input bits read, weight bits read) from DRAM, all sizes in bits.

    The tiling: inputs and weights are cut into buffer-sized tiles; one of the two is read once, the other again for
    each tile of the first, unless it fits its buffer whole. The cheaper of the two orders is taken. Sums stay on chip,
    the overlap of neighbouring windows is not read twice.
    """
    input_tiles, weight_tiles = ceil_div(inputs, input_buffer), ceil_div(weights, weight_buffer)
    weights_again = weights * np.where(weight_tiles > 1, input_tiles, 1)
    inputs_again = inputs * np.where(input_tiles > 1, weight_tiles, 1)
    inputs_once = inputs + weights_again <= weights + inputs_again
    return np.where(inputs_once, inputs, inputs_again), np.where(inputs_once, weights_again, weights)


Dataflow = Callable[[Gemms, IntArray, IntArray, Beats], tuple[IntArray, SramTraffic]]

DATAFLOWS: dict[str, Dataflow] = {"os": output_stationary, "ws": weight_stationary, "is": input_stationary}

"""A matrix product streamed through a systolic array in simulation: the memories around it, and what it put out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.errors import check_integer
from hwsim.rtl.simulators import simulate
from hwsim.rtl.systolic.array import SystolicArray
from hwsim.rtl.systolic.controller import SIZE_BITS
from hwsim.rtl.systolic.weight_stationary import WeightStationaryArray

Words = NDArray[np.object_]  #: Python integers: several codes in each.


@dataclass(frozen=True, eq=False)
class Streamed:
    """sums: shape (M, N); cycles: in which the array was busy."""

    sums: IntArray
    cycles: int


def stream(
    array: SystolicArray,
    activation: IntArray,
    weight: IntArray,
    simulator: str = "amaranth",
    progress: Callable[[int], None] = lambda cycles: None,
) -> Streamed:
    """Return sums[m, n] = sum over k of weight[n, k] * activation[m, k], as the simulated array computes them.

    activation: codes, shape (M, K). weight: codes, shape (N, K). progress gets the number of busy cycles so far.

    Raises:
        ValueError: an empty operand, shapes that do not fit, a size beyond 2^20 - 1, or an unknown simulator.
        OSError: the simulator needs a program that is absent or failed.
    """
    if activation.ndim != 2 or weight.ndim != 2 or activation.shape[1] != weight.shape[1]:
        raise ValueError(f"operands must have shapes (M, K) and (N, K), got {activation.shape} and {weight.shape}")
    for name, size in zip("MKN", (*activation.shape, len(weight)), strict=True):
        check_integer(f"{name} of a matrix product", size, 1, (1 << SIZE_BITS) - 1)
    memory = memory_of(array, activation, weight, progress)
    simulate(array, memory.respond, simulator)
    return Streamed(memory.sums, memory.cycles)


def memory_of(
    array: SystolicArray,
    activation: IntArray,
    weight: IntArray,
    progress: Callable[[int], None] = lambda cycles: None,
) -> "Memory":
    """Return what surrounds this array: it answers what the array asks for, and takes its sums."""
    kind = _WeightStationaryMemory if isinstance(array, WeightStationaryArray) else Memory
    return kind(array, activation, weight, progress)


class Memory:
    """What surrounds an output-stationary array: operands, sums (M, N), and a count of busy cycles."""

    visits = 1  #: How often each sum is put out.

    def __init__(
        self, array: SystolicArray, activation: IntArray, weight: IntArray, progress: Callable[[int], None]
    ) -> None:
        self.array, self.progress = array, progress
        self.M, self.K, self.N = (*activation.shape, len(weight))
        self.sums = np.zeros((self.M, self.N), dtype=np.int64)
        self.counts = [0] * array.columns  #: Sums that each column has put out.
        self.cycles, self.started = 0, False
        self.a = self.rows_of(activation)
        self.w = packed(weight, array.columns, array.w_bits)

    def rows_of(self, activation: IntArray) -> Words:
        """Return a word for each row tile and streamed step."""
        return packed(activation, self.array.rows, self.array.a_bits)

    def respond(self, outputs: Mapping[str, int]) -> Mapping[str, int] | None:
        """Take sums, answer what the array asks for."""
        if outputs["valid"]:
            self._take(outputs["valid"], outputs["sums"])
        if not outputs["busy"] and self.started:
            return None
        if not self.started:
            self.started = True
            return {"start": 1, "size_m": self.M, "size_n": self.N, "size_k": self.K}
        self.cycles += 1
        self.progress(self.cycles)
        answers = {"start": 0}
        if outputs["loading"] or outputs["feeding"]:
            tile, column_tile = outputs["row_base"] // self.array.rows, outputs["column_base"] // self.array.columns
            answers |= self.answer(outputs, tile, column_tile)
        return answers

    def answer(self, outputs: Mapping[str, int], tile: int, column_tile: int) -> dict[str, int]:
        """Return the operands of this step."""
        return {"a": self.a[tile, outputs["index"]], "w": self.w[column_tile, outputs["index"]]}

    def _take(self, valid: int, sums: int) -> None:
        bits = self.array.accumulator.bits
        for column in range(self.array.columns):
            if valid >> column & 1:
                place, m = divmod(self.counts[column], self.M)
                n = place // self.visits * self.array.columns + column
                self.sums[m, n] = _signed(sums >> (column * bits), bits)
                self.counts[column] += 1


class _WeightStationaryMemory(Memory):
    """What surrounds a weight-stationary array; `sums` holds partial sums until the last tile of rows."""

    def rows_of(self, activation: IntArray) -> Words:
        """Return a word for each row tile, which is one of terms, and streamed position."""
        self.visits = -(-self.K // self.array.rows)
        return packed(activation.T, self.array.rows, self.array.a_bits)

    def answer(self, outputs: Mapping[str, int], tile: int, column_tile: int) -> dict[str, int]:
        """Return weights to load, or activations and partial sums."""
        if outputs["loading"]:
            term = outputs["row_base"] + outputs["index"]
            return {"w": self.w[column_tile, term] if term < self.K else 0}
        columns, bits = self.array.columns, self.array.accumulator.bits
        first = column_tile * columns
        before = self.sums[outputs["index"], first : first + columns].tolist() if tile else []
        mask = (1 << bits) - 1
        sums_in = sum((total & mask) << (place * bits) for place, total in enumerate(before))
        return {"a": self.a[tile, outputs["index"]], "sums_in": sums_in}


def packed(codes: IntArray, lanes: int, bits: int) -> Words:
    """Return words of `lanes` codes from neighbouring rows, the first row lowest: shape (ceil(rows / lanes), columns).

    codes: shape (rows, columns); rows that are missing in the last word are 0.
    """
    tiles = -(-len(codes) // lanes)
    padded = np.zeros((tiles * lanes, codes.shape[1]), dtype=object)
    padded[: len(codes)] = codes
    shifts = np.array([1 << (bits * lane) for lane in range(lanes)], dtype=object)
    return np.asarray((padded.reshape(tiles, lanes, -1) * shifts[:, None]).sum(axis=1))


def _signed(word: int, bits: int) -> int:
    """Return the two's complement value of the lowest bits."""
    value = word & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value

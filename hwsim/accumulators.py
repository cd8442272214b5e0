"""How wide accumulators must be, how wide the data makes them, and what fewer bits do to accuracy."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import bits_for
from hwsim.engines import simulate
from hwsim.network import Network
from hwsim.output import Row

BATCH = 64


def layer_rows(network: Network, images: ArrayLike) -> list[Row]:
    """Return a row per layer: its accumulator, the bits that are always enough, the bits that final sums needed."""
    pixels = np.asarray(images, dtype=np.float64)
    wide = network.with_accumulator(Accumulator(63, "wrap"))
    seen = {layer.name: (0, 0) for layer in network.layers}
    for start in range(0, len(pixels), BATCH):
        trace = simulate(wide, pixels[start : start + BATCH], trace=True).trace or {}
        for name, (low, high) in seen.items():
            seen[name] = min(low, int(trace[name].min())), max(high, int(trace[name].max()))
    return [
        {
            "layer": layer.name,
            "terms": int(layer.weight[0].size),
            "product_bits": layer.multiplier.product_bits,
            "accumulator_bits": layer.accumulator.bits,
            "overflow": layer.accumulator.overflow,
            "bits_worst_case": layer.required_bits,
            "bits_seen": bits_for(*seen[layer.name]),
        }
        for layer in network.layers
    ]


def accuracy_rows(network: Network, images: ArrayLike, labels: ArrayLike, widths: Iterable[int]) -> list[Row]:
    """Return a row per width and overflow mode: accuracy with that accumulator in every layer, and its overflows."""
    truth = np.asarray(labels)
    return [_accuracy_row(network, images, truth, bits, mode) for bits in widths for mode in ("wrap", "saturate")]


def _accuracy_row(network: Network, images: ArrayLike, truth: np.ndarray, bits: int, overflow: str) -> Row:
    result = simulate(network.with_accumulator(Accumulator(bits, overflow)), images)
    correct = int((result.predictions == truth).sum())
    layers = {layer.name for layer in network.layers}
    return {
        "bits": bits,
        "overflow": overflow,
        "correct": correct,
        "accuracy": correct / len(truth),
        "overflows": sum(count for name, count in result.overflows.items() if name in layers),
    }

"""How wide accumulators must be, how wide the data makes them, and what fewer bits do to accuracy."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.accumulator import Accumulator, partial_sum_range
from hwsim.arithmetic import IntArray, bits_for
from hwsim.engines import simulate
from hwsim.engines.simulate import checked_images, prepare_engine
from hwsim.network import Network
from hwsim.nodes import Matmul
from hwsim.output import Row
from hwsim.partial_sums import partial_sum_extremes

BATCH = 64
MODES = ("wrap", "saturate")
FEWER_BITS = 6  #: Widths below the widest that was seen, unless asked for others.

Progress = Callable[[int], None]  #: Gets how many images are done.


def layer_rows(network: Network, images: ArrayLike, progress: Progress = lambda done: None) -> list[Row]:
    """Return a row per layer: its accumulator, the bits that are always enough, and the bits that the images need.

    bits_worst_case: of the output channel that needs most, `worst_channel`, by the proof of `partial_sum_range`.
    bits_seen: for every partial sum in the accumulator's order, lowest_seen .. highest_seen, without overflow.

    Raises:
        ValueError: images that do not fit the network.
    """
    seen = {layer.name: (0, 0) for layer in network.layers}
    for done, inputs in _inputs(network, np.asarray(images)):
        for layer in network.layers:
            low, high = partial_sum_extremes(layer, inputs[layer.name])
            lowest, highest = seen[layer.name]
            seen[layer.name] = min(lowest, int(low.min())), max(highest, int(high.max()))
        progress(done)
    return [_layer_row(layer, *seen[layer.name]) for layer in network.layers]


def _inputs(network: Network, images: NDArray[Any]) -> Iterator[tuple[int, dict[str, IntArray]]]:
    """Yield, batch by batch, how many images are done and each layer's input codes; no accumulator overflows."""
    wide = network.with_accumulator(Accumulator(63, "wrap"))
    engine = prepare_engine(wide, "tensor", [layer.inputs[0] for layer in wide.layers])
    for first in range(0, len(images), BATCH):
        batch = checked_images(images[first : first + BATCH], network.input.shape)
        values = engine.run(batch).values
        yield first + len(batch), {layer.name: engine.to_numpy(values[layer.inputs[0]]) for layer in wide.layers}


def _layer_row(layer: Matmul, lowest: int, highest: int) -> Row:
    low, high = partial_sum_range(layer.multiplier, layer.weight)
    return {
        "layer": layer.name,
        "terms": int(layer.weight[0].size),
        "product_bits": layer.multiplier.product_bits,
        "accumulator_bits": layer.accumulator.bits,
        "overflow": layer.accumulator.overflow,
        "bits_worst_case": layer.required_bits,
        "worst_channel": int(np.argmax(np.maximum(high, ~low))),
        "bits_seen": max(2, bits_for(lowest, highest)),
        "lowest_seen": lowest,
        "highest_seen": highest,
    }


def default_widths(layers: Iterable[Row]) -> range:
    """Return the widths worth trying: up to the widest that was seen, from where nothing changes any more."""
    widest = max(int(str(row["bits_seen"])) for row in layers)
    return range(max(2, widest - FEWER_BITS), widest + 1)


def accuracy_rows(
    network: Network,
    images: ArrayLike,
    labels: ArrayLike,
    widths: Iterable[int],
    progress: Progress = lambda done: None,
) -> list[Row]:
    """Return a row per width and overflow mode: accuracy with that accumulator in every layer, and its overflows.

    Raises:
        ValueError: images that do not fit the network, or a width outside 2..63.
    """
    pixels, truth, rows = np.asarray(images), np.asarray(labels), list[Row]()
    for accumulator in [Accumulator(bits, mode) for bits in widths for mode in MODES]:
        rows.append(_accuracy_row(network, pixels, truth, accumulator))
        progress(len(rows) * len(pixels))
    return rows


def _accuracy_row(network: Network, images: ArrayLike, truth: NDArray[np.int64], accumulator: Accumulator) -> Row:
    result = simulate(network.with_accumulator(accumulator), images)
    correct = int((result.predictions == truth).sum())
    return {
        "bits": accumulator.bits,
        "overflow": accumulator.overflow,
        "correct": correct,
        "accuracy": correct / len(truth),
        "overflows": sum(result.overflows.get(layer.name, 0) for layer in network.layers),
    }

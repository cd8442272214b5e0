"""How precise POST's product table must be: the accuracy of a trained network with tables of other fraction bits."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.accumulator import Accumulator, required_bits
from hwsim.arithmetic import MAX_SHIFT, Requantizer, shift_right
from hwsim.engines import simulate
from hwsim.multipliers import LAYOUTS, LookupTableMultiplier
from hwsim.network import Network
from hwsim.nodes import Matmul, Node, Rescale
from hwsim.output import Row

FRACTION_BITS = range(9)

Progress = Callable[[int], None]  #: Gets how many images are done.


def has_table(network: Network) -> bool:
    """Return whether a layer multiplies by POST's product table."""
    return any(isinstance(layer.multiplier, LookupTableMultiplier) for layer in network.layers)


def with_table(network: Network, fraction_bits: int, layout: str) -> Network:
    """Return the same network with such a product table in every layer with POST weights.

    A product's unit is 2^-fraction_bits of what it was without fraction bits, so the rescaling behind it shifts by as
    much more. Accumulators that refuse overflow become as wide as the sums can need. Codes and all else stay.

    Raises:
        ValueError: the network has no such layer, fraction_bits outside 0..12, or an unknown layout.
    """
    if not has_table(network):
        raise ValueError(f"network {network.name!r} has no layer with POST weights, so no table whose bits can change")
    added, nodes = dict[str, int](), list[Node]()
    for node in network.nodes:
        changed = node
        if isinstance(node, Matmul) and isinstance(node.multiplier, LookupTableMultiplier):
            added[node.name] = fraction_bits - node.multiplier.fraction_bits
            changed = _with_multiplier(node, replace(node.multiplier, fraction_bits=fraction_bits, layout=layout))
        elif isinstance(node, Rescale) and node.inputs[0] in added:
            changed = replace(node, requantizer=_divided(node.requantizer, added[node.inputs[0]]))
        nodes.append(changed)
    return replace(network, nodes=tuple(nodes))


def _with_multiplier(node: Matmul, multiplier: LookupTableMultiplier) -> Matmul:
    accumulator = node.accumulator
    if accumulator.overflow == "error":
        accumulator = Accumulator(required_bits(multiplier, node.weight))
    return replace(node, multiplier=multiplier, accumulator=accumulator)


def _divided(requantizer: Requantizer, bits: int) -> Requantizer:
    """Return the requantizer of 2^-bits times the scale; exact unless a shift would exceed the largest there is."""
    shift = requantizer.shift + bits
    kept = shift_right(requantizer.multiplier, np.maximum(shift - MAX_SHIFT, 0))
    return replace(requantizer, multiplier=kept << np.maximum(-shift, 0), shift=shift.clip(0, MAX_SHIFT))


def accuracy_rows(
    network: Network,
    images: ArrayLike,
    labels: ArrayLike,
    fraction_bits: Iterable[int] = FRACTION_BITS,
    progress: Progress = lambda done: None,
) -> list[Row]:
    """Return a row per layout and number of fraction bits: the accuracy of the network with that table.

    Raises:
        ValueError: as `with_table`, or images that do not fit the network.
    """
    pixels, truth, rows = np.asarray(images), np.asarray(labels), list[Row]()
    for layout, bits in [(layout, bits) for layout in LAYOUTS for bits in fraction_bits]:
        rows.append(_accuracy_row(network, pixels, truth, bits, layout))
        progress(len(rows) * len(pixels))
    return rows


def _accuracy_row(
    network: Network, images: NDArray[Any], truth: NDArray[np.int64], fraction_bits: int, layout: str
) -> Row:
    predictions = simulate(with_table(network, fraction_bits, layout), images).predictions
    correct = int((predictions == truth).sum())
    return {"layout": layout, "fraction_bits": fraction_bits, "correct": correct, "accuracy": correct / len(truth)}

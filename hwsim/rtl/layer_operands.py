"""A layer of a network as matrix products: what an array of processing elements is given."""

from dataclasses import dataclass

import numpy as np

from hwsim.arithmetic import IntArray
from hwsim.engines.reference import pad, strided
from hwsim.nodes import Conv, Matmul


@dataclass(frozen=True, eq=False)
class Operands:
    """activation: codes, shape (M, K). weight: codes, shape (N, K)."""

    activation: IntArray
    weight: IntArray


def layer_operands(layer: Matmul, codes: IntArray) -> list[Operands]:
    """Return the matrix product of each group of the layer.

    codes: the layer's input, (N, C, H, W) or (N, C). M counts samples, rows and columns of the output, in this order; K
    input channels of the group, kernel rows and kernel columns.
    """
    if not isinstance(layer, Conv):
        return [Operands(codes, layer.weight)]
    padded = pad(codes, layer.padding, layer.multiplier.activation.zero_code or 0)
    size = layer.output_shape(codes.shape[1:])[1:]
    offsets = [
        (row * layer.dilation[0], column * layer.dilation[1]) for row, column in np.ndindex(layer.weight.shape[2:])
    ]
    taps = np.stack([strided(padded, offset, layer.stride, size) for offset in offsets])
    columns = taps.transpose(1, 3, 4, 2, 0).reshape(-1, codes.shape[1], len(offsets))
    weights = layer.weight.reshape(len(layer.weight), -1)
    return [
        Operands(part.reshape(len(part), -1), weight)
        for part, weight in zip(np.split(columns, layer.groups, axis=1), np.split(weights, layer.groups), strict=True)
    ]


def by_position(values: IntArray) -> IntArray:
    """Return a layer's output, (N, K, OY, OX) or (N, K), with a row for each position: (M, K)."""
    return np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])

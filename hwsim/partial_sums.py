"""The lowest and highest value that an accumulator passes through on its way, on given images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.engines.jit import kernel
from hwsim.engines.reference import pad, product_table
from hwsim.engines.threads import share_out
from hwsim.nodes import Conv, Matmul

Array = NDArray[Any]
Geometry = tuple[int, int, int, int, int]  #: Stride and dilation of rows, of columns; kernels per group.


def partial_sum_extremes(node: Matmul, codes: IntArray) -> tuple[IntArray, IntArray]:
    """Return the lowest and highest partial sum of each output channel over all images and positions, each (K,).

    codes: the layer's input, (N, C, H, W) or (N, C). Products are added in the accumulator's order, from 0 on, without
    overflow.
    """
    conv = node if isinstance(node, Conv) else None
    weight = node.weight if conv else node.weight[:, :, None, None]
    image = pad(codes, conv.padding, 0) if conv else codes[:, :, None, None]
    stride, dilation = (conv.stride, conv.dilation) if conv else ((1, 1), (1, 1))
    size = node.output_shape(codes.shape[1:])[1:] or (1, 1)
    kernels_per_group = len(weight) // (conv.groups if conv else 1)
    geometry = (*stride, *dilation, kernels_per_group)
    low, high = np.zeros(len(weight), np.int64), np.zeros(len(weight), np.int64)
    table = product_table(node.multiplier)

    def run(first: int, last: int) -> None:
        _extremes(image, weight, table, geometry, (size[0], size[1]), first, last, low, high)

    share_out(run, len(weight), len(image) * weight.size * size[0] * size[1])
    return low, high


@kernel
def _extremes(
    image: Array,
    weight: Array,
    table: Array,
    geometry: Geometry,
    size: tuple[int, int],
    first: int,
    last: int,
    low: Array,
    high: Array,
) -> None:
    """Widen low and high of output channels first .. last - 1 by every partial sum; a row of positions at a time."""
    depth = weight.shape[1]
    stride_y, stride_x, dilation_y, dilation_x, kernels_per_group = geometry
    sums = np.empty(size[1], np.int64)
    for k in range(first, last):
        channel = k // kernels_per_group * depth
        for n in range(image.shape[0]):
            for y in range(size[0]):
                sums[:] = 0
                for c in range(depth):
                    for row in range(weight.shape[2]):
                        codes = image[n, channel + c, y * stride_y + row * dilation_y]
                        for column in range(weight.shape[3]):
                            products = table[weight[k, c, row, column]]
                            for x in range(size[1]):
                                sums[x] += products[codes[x * stride_x + column * dilation_x]]
                                low[k] = min(low[k], sums[x])
                                high[k] = max(high[k], sums[x])

"""Convolutions of 8-bit integers (oneDNN through torch), believed only where they were seen to be exact.

The operators are private to torch and have had silent errors, so they are compared with floating-point convolutions
before they are used: once per processor, and once per geometry. Geometries that read stray memory in oneDNN 3.x, found
by fuzzing, are never given to them.
"""

from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hwsim.engines.staircase import Line

Pair = tuple[int, int]
Geometry = tuple[Pair, Pair, Pair, int]  #: Stride, padding, dilation, groups.

EXACT_FLOAT32 = 1 << 24


class Int8Convolution:
    """Sums of uint8 images, less a zero point, times int8 weights (K, C/groups, FY, FX)."""

    def __init__(self, weight: Tensor, zero_point: int, geometry: Geometry, line: Line | None = None) -> None:
        self.weight, self.zero_point, self.geometry, self.line = weight, zero_point, geometry, line
        self.shape = [list(pair) for pair in geometry[:3]]
        self.scales = torch.ones(len(weight)) if line is None else torch.from_numpy(line.slope)
        self.offset = None if line is None else torch.from_numpy(line.offset)
        self.zeros = torch.zeros(len(weight), dtype=torch.int64)
        self.packed: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, image: Tensor) -> Tensor:
        """Return the sums of images (N, C, H, W) as float32, exact below 2^24; along a line, uint8 codes."""
        size = tuple(image.shape)
        if size not in self.packed:
            arguments = (*self.shape, self.geometry[3], list(size))
            self.packed[size] = torch.ops.onednn.qconv_prepack(
                self.weight, self.scales, 1.0, self.zero_point, *arguments
            )
        line = self.line
        after = (torch.float32, "none", []) if line is None else (torch.uint8, "hardtanh", [0.0, float(line.top)])
        operands = (image, 1.0, self.zero_point, self.packed[size], self.scales, self.zeros, self.offset)
        result: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *operands, *self.shape, self.geometry[3], 1.0, 0, *after, ""
        )
        return result


@lru_cache(maxsize=1)
def is_exact() -> bool:
    """Return whether this torch, on this processor, has the operators and sums the largest operands exactly.

    Processors without a 32-bit dot product saturate pairs of products at 16 bits.
    """
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        return False
    return all(_agrees(groups, kernel, zero) for groups, kernel, zero in product((1, 4), (1, 3), (0, 128)))


def _agrees(groups: int, kernel: int, zero_point: int) -> bool:
    """Return whether one convolution of large operands, and its codes along a line, equal the same in float64."""
    generator = torch.Generator().manual_seed(kernel)
    weight = torch.randint(-128, 128, (32, 32 // groups, kernel, kernel), generator=generator, dtype=torch.int8)
    image = torch.randint(0, 256, (2, 32, 9, 9), generator=generator, dtype=torch.uint8)
    weight[::2], image[1] = 127, 255
    image = image.contiguous(memory_format=torch.channels_last)
    slope = (np.where(np.arange(32) % 3, 1.0, -1.0) / 2**16).astype(np.float32)
    line = Line(slope, np.arange(-8, 24).astype(np.float32), 15)
    geometry = ((1, 1), (kernel // 2, kernel // 2), (1, 1), groups)
    exact = functional.conv2d(image.double() - zero_point, weight.double(), None, *geometry)
    value = exact * torch.from_numpy(slope).double()[:, None, None]
    value += torch.from_numpy(line.offset).double()[:, None, None]
    clear = (value - value.floor() - 0.5).abs() > 2.0**-12
    sums, codes = (Int8Convolution(weight, zero_point, geometry, form)(image).double() for form in (None, line))
    return torch.equal(sums, exact) and torch.equal(codes[clear], value.round().clamp(0, line.top)[clear])


@lru_cache(maxsize=1024)
def is_exact_for(image: tuple[int, ...], weight: tuple[int, ...], geometry: Geometry, zero_point: int) -> bool:
    """Return whether oneDNN may sum images (C, H, W) with weights (K, C/groups, FY, FX) in this geometry.

    Random operands, small enough for float32, are summed by both.
    """
    if reads_stray_memory(image, weight, geometry):
        return False
    generator = torch.Generator().manual_seed(0)
    largest = max(min(127, EXACT_FLOAT32 // (256 * weight[1] * weight[2] * weight[3])), 1)
    weights = torch.randint(-largest, largest + 1, weight, generator=generator, dtype=torch.int8)
    pixels = torch.randint(0, 256, (1, *image), generator=generator, dtype=torch.uint8)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.backends.nnpack.flags(enabled=False):
        exact = functional.conv2d(pixels.float() - zero_point, weights.float(), None, *geometry)
    return torch.equal(Int8Convolution(weights, zero_point, geometry)(pixels), exact)


def reads_stray_memory(image: tuple[int, ...], weight: tuple[int, ...], geometry: Geometry) -> bool:
    """Return whether this is a geometry that oneDNN's 8-bit convolutions were seen to get wrong now and then.

    These are dilated ones, padding as large as the kernel, and strides across an output one column wide.
    """
    outside = any(p >= k for p, k in zip(geometry[1], weight[2:], strict=True))
    return geometry[2] != (1, 1) or outside or strides_to_one_column(image, weight, geometry)


def strides_to_one_column(image: tuple[int, ...], weight: tuple[int, ...], geometry: Geometry) -> bool:
    """Return whether the output is one column wide and the stride is not 1: oneDNN's float32 fails there as well."""
    stride, padding, dilation = (pair[1] for pair in geometry[:3])
    window = (weight[-1] - 1) * dilation + 1
    return stride > 1 and image[-1] + 2 * padding - window < stride

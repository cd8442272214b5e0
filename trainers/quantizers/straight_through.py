"""Rounding in the forward pass, closed-form straight-through gradients in the backward pass.

With v = x / s, q the nearest level, n and p the outermost levels, and gs a constant factor:

    y      = q * s
    dL/dx  = dL/dy                               where n <= v <= p, else 0
    dL/ds  = gs * sum dL/dy * (q - v)            where n <= v <= p
           + gs * sum dL/dy * q                  elsewhere (q is n or p there)

The backward pass never rounds: with s q = y and s v = x the second gradient is gs / s times
sum dL/dy * y - sum dL/dx * x, two inner products. Their difference loses a few digits that the gradient of a step,
a sum of rounding errors, does not have anyway. x must be finite.

This is LSQ's pair (Esser et al., arXiv:1902.08153, eq. 3 and 5), and with levels in [-1, 1] the reparameterized
clipping function of APoT (Li et al., arXiv:1909.13144, eq. 6), which POST uses as well. The sum runs over all
elements that share a scale.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from trainers.quantizers.base import keep_nan, positive, spread

MOST_COMPARISONS = 32  #: More thresholds are searched, as each one makes the compiled code longer.
BEYOND = np.array([-np.inf, np.inf], np.float32)


class RoundToInteger(Function):
    """Nearest integer of `low..high`, ties to even: the levels of a uniform format."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, step: Tensor, low: float, high: float, factor: float) -> Tensor:
        """Return the integers times the scale of `step`; `factor` scales the gradient of `step`."""
        scale = spread(positive(step), x)
        return (x / scale).clamp(low, high).round_().mul_(scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        x, step, low, high, ctx.factor = inputs
        ctx.ends = low, high
        ctx.save_for_backward(x, output, step)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of `x` and `step`."""
        x, y, step = ctx.saved_tensors
        return *gradients(grad, x, y, step, ctx.ends, ctx.factor), None, None, None


class RoundToLevel(Function):
    """Nearest of a few levels, by comparison with a format's float32 thresholds."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, step: Tensor, thresholds: Tensor, levels: Tensor, ends: tuple[float, float], factor: float
    ) -> Tensor:
        """Return the levels times the scale of `step`; `ends` are the outermost levels, `factor` is as above."""
        scale = spread(positive(step), x)
        return keep_nan(nearest_level(x / scale, thresholds, levels).mul_(scale), x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        x, step, _, _, ctx.ends, ctx.factor = inputs
        ctx.save_for_backward(x, output, step)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        """Return the gradients of `x` and `step`."""
        x, y, step = ctx.saved_tensors
        return *gradients(grad, x, y, step, ctx.ends, ctx.factor), None, None, None, None


def round_to_integer(x: Tensor, step: Tensor, low: float, high: float, factor: float) -> Tensor:
    """Return `RoundToInteger` of `x`, typed."""
    out: Tensor = RoundToInteger.apply(x, step, low, high, factor)  # type: ignore[no-untyped-call]
    return out


def round_to_level(
    x: Tensor, step: Tensor, thresholds: Tensor, levels: Tensor, ends: tuple[float, float], factor: float
) -> Tensor:
    """Return `RoundToLevel` of `x`, typed."""
    out: Tensor = RoundToLevel.apply(x, step, thresholds, levels, ends, factor)  # type: ignore[no-untyped-call]
    return out


def nearest_level(ratio: Tensor, thresholds: Tensor, levels: Tensor) -> Tensor:
    """Return the level whose place is the number of thresholds that do not exceed the ratio, in the shape of `ratio`.

    A compiler makes one pass of a few comparisons, but has to leave a search to PyTorch.
    """
    if torch.compiler.is_compiling() and len(thresholds) <= MOST_COMPARISONS:
        out = levels[0].expand_as(ratio)
        for threshold, level in zip(thresholds.unbind(), levels[1:].unbind(), strict=True):
            out = torch.where(ratio >= threshold, level, out)
        return out
    places = torch.bucketize(ratio.contiguous(), thresholds, right=True)
    return levels.index_select(0, places.flatten()).view(ratio.shape)


def gradients(
    grad: Tensor, x: Tensor, y: Tensor, step: Tensor, ends: tuple[float, float], factor: float
) -> tuple[Tensor, Tensor]:
    """Return dL/dx and dL/dstep, given dL/dy, x and y."""
    scale = positive(step)
    passed = inside(grad, x / spread(scale, x), ends)
    sums = row_products if step.dim() else inner_product
    terms = (sums(grad, y) - sums(passed, x)) / scale
    return passed, torch.where(step < 0, -factor, factor) * terms


def inner_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of a * b, a scalar, without a product as large as the tensors if they lie in one piece.

    A compiler makes no product, may change the order in memory (convolutions get channels last), and would then have
    to gather a view that it saw here.
    """
    if not torch.compiler.is_compiling() and a.is_contiguous() and b.is_contiguous():
        return torch.dot(a.view(-1), b.view(-1))
    return (a * b).sum()


def row_products(a: Tensor, b: Tensor) -> Tensor:
    """Return the sums of a * b along all dimensions but the first, `[K]`."""
    return (a * b).flatten(1).sum(1)


def inside(values: Tensor, ratio: Tensor, ends: tuple[float, float]) -> Tensor:
    """Return the values where the ratio lies between the ends or on one, 0 elsewhere.

    PyTorch's derivative of a clamp does this in one pass, but leaves out the ends: it gets the next float32 beyond.
    """
    out: Tensor = torch.ops.aten.hardtanh_backward(values, ratio, *beyond(ends))
    return out


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # its annotations are missing
def beyond(ends: tuple[float, float]) -> tuple[float, float]:
    """Return the next float32 below the first and above the second end."""
    low, high = np.nextafter(np.array(ends, np.float32), BEYOND).tolist()
    return low, high

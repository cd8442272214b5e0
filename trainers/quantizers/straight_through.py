"""Rounding in the forward pass, closed-form straight-through gradients in the backward pass.

With v = x / s, q the nearest level, n and p the outermost levels, and gs a constant factor:

    y      = q * s
    dL/dx  = dL/dy                               where n <= v <= p, else 0
    dL/ds  = gs * sum dL/dy * (q - v)            where n <= v <= p
           + gs * sum dL/dy * q                  elsewhere (q is n or p there)

This is LSQ's pair (Esser et al., arXiv:1902.08153, eq. 3 and 5), and with levels in [-1, 1] the reparameterized
clipping function of APoT (Li et al., arXiv:1909.13144, eq. 6), which POST uses as well. The sum runs over all
elements that share a scale.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from trainers.quantizers.base import positive, spread


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
        x, step, ctx.low, ctx.high, ctx.factor = inputs
        ctx.save_for_backward(x, step)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of `x` and `step`."""
        x, step = ctx.saved_tensors
        ratio = x / spread(positive(step), x)
        clamped = ratio.clamp(ctx.low, ctx.high)
        outside = clamped != ratio
        grad_step = scale_gradient(grad, ratio, clamped.round_(), outside, step, ctx.factor)
        return grad.masked_fill(outside, 0), grad_step, None, None, None


class RoundToLevel(Function):
    """Nearest of a few levels, by comparison with a format's float32 thresholds."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, step: Tensor, thresholds: Tensor, levels: Tensor, factor: float) -> Tensor:
        """Return the levels times the scale of `step`; `factor` scales the gradient of `step`."""
        scale = spread(positive(step), x)
        return levels[torch.bucketize(x / scale, thresholds, right=True)] * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        *tensors, ctx.factor = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of `x` and `step`."""
        x, step, thresholds, levels = ctx.saved_tensors
        ratio = x / spread(positive(step), x)
        nearest = levels[torch.bucketize(ratio, thresholds, right=True)]
        outside = (ratio < levels[0]) | (ratio > levels[-1])
        grad_step = scale_gradient(grad, ratio, nearest, outside, step, ctx.factor)
        return grad.masked_fill(outside, 0), grad_step, None, None, None


def round_to_integer(x: Tensor, step: Tensor, low: float, high: float, factor: float) -> Tensor:
    """Return `RoundToInteger` of `x`, typed."""
    out: Tensor = RoundToInteger.apply(x, step, low, high, factor)  # type: ignore[no-untyped-call]
    return out


def round_to_level(x: Tensor, step: Tensor, thresholds: Tensor, levels: Tensor, factor: float) -> Tensor:
    """Return `RoundToLevel` of `x`, typed."""
    out: Tensor = RoundToLevel.apply(x, step, thresholds, levels, factor)  # type: ignore[no-untyped-call]
    return out


def scale_gradient(
    grad: Tensor, ratio: Tensor, nearest: Tensor, outside: Tensor, step: Tensor, factor: float
) -> Tensor:
    """Return dL/dstep, in the shape of `step`; `ratio` may be infinite outside."""
    terms = grad * (nearest - ratio.masked_fill(outside, 0))
    sums = terms.flatten(1).sum(1) if step.dim() else terms.sum()
    return torch.where(step < 0, -factor, factor) * sums

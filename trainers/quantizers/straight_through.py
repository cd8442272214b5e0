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

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from trainers.quantizers.base import positive, spread

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
        x, step, ctx.low, ctx.high, ctx.factor = inputs
        ctx.save_for_backward(x, step)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of `x` and `step`."""
        x, step = ctx.saved_tensors
        ratio = x / spread(positive(step), x)
        nearest = ratio.clamp(ctx.low, ctx.high).round_()
        grads = gradients(grad, ratio, nearest, (ctx.low, ctx.high), step, ctx.factor)
        return *grads, None, None, None


class RoundToLevel(Function):
    """Nearest of a few levels, by comparison with a format's float32 thresholds."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, step: Tensor, thresholds: Tensor, levels: Tensor, ends: tuple[float, float], factor: float
    ) -> Tensor:
        """Return the levels times the scale of `step`; `ends` are the outermost levels, `factor` is as above."""
        scale = spread(positive(step), x)
        return levels[torch.bucketize(x / scale, thresholds, right=True)] * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        *tensors, ctx.ends, ctx.factor = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        """Return the gradients of `x` and `step`."""
        x, step, thresholds, levels = ctx.saved_tensors
        ratio = x / spread(positive(step), x)
        nearest = levels[torch.bucketize(ratio, thresholds, right=True)]
        return *gradients(grad, ratio, nearest, ctx.ends, step, ctx.factor), None, None, None, None


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


def gradients(
    grad: Tensor, ratio: Tensor, nearest: Tensor, ends: tuple[float, float], step: Tensor, factor: float
) -> tuple[Tensor, Tensor]:
    """Return dL/dx and dL/dstep, given dL/dy, v and q. The ratio may be infinite; `nearest` is used up."""
    terms = grad * nearest.sub_(inside(ratio, ratio, ends))
    sums = terms.flatten(1).sum(1) if step.dim() else terms.sum()
    return inside(grad, ratio, ends), torch.where(step < 0, -factor, factor) * sums


def inside(values: Tensor, ratio: Tensor, ends: tuple[float, float]) -> Tensor:
    """Return the values where the ratio lies between the ends or on one, 0 elsewhere.

    PyTorch's derivative of a clamp does this in one pass, but leaves out the ends: it gets the next float32 beyond.
    """
    low, high = np.nextafter(np.array(ends, np.float32), BEYOND).tolist()
    out: Tensor = torch.ops.aten.hardtanh_backward(values, ratio, low, high)
    return out

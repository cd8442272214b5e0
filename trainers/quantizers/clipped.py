"""Uniform rounding whose gradient is that of a clip: nothing is learned from the rounding errors.

With v = x / s and the integers n .. p:

    y      = s * round(clip(v, n, p))
    dL/dx  = dL/dy                      where n <= v <= p, else 0
    dL/ds  = sum dL/dy * end            where v is beyond an end (n or p), no term from inside the range

This is PACT's pair (Choi et al., arXiv:1805.06085, eq. 3, with s = alpha / p), and the plain straight-through
estimator of methods that set s by other means.
"""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from trainers.quantizers.base import keep_nan, spread
from trainers.quantizers.straight_through import inner_product, inside, row_products


class RoundClipped(Function):
    """Nearest integer of `low..high` times a positive scale, ties to even."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, scale: Tensor, low: float, high: float) -> Tensor:
        """Return the integers times the scale, a scalar or `[K]`."""
        scale = spread(scale, x)
        return (x / scale).clamp_(low, high).round_().mul_(scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        x, scale, low, high = inputs
        ctx.ends = low, high
        ctx.save_for_backward(x, scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """Return the gradients of `x` and, where it is asked for, of `scale`."""
        x, scale = ctx.saved_tensors
        ratio = x / spread(scale, x)
        passed = inside(grad, ratio, ctx.ends)
        if not ctx.needs_input_grad[1]:
            return passed, None, None, None
        sums = row_products if scale.dim() else inner_product
        return passed, sums(grad - passed, ratio.clamp_(*ctx.ends)), None, None


def round_clipped(x: Tensor, scale: Tensor, low: float, high: float) -> Tensor:
    """Return `RoundClipped` of `x`, typed."""
    out: Tensor = RoundClipped.apply(x, scale, low, high)  # type: ignore[no-untyped-call]
    return out


class PassThrough(Function):
    """One tensor forward, another's gradient backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(relaxed: Tensor, value: Tensor) -> Tensor:
        """Return `value`, and NaN where `relaxed` is."""
        return keep_nan(value.clone(), relaxed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient for `relaxed`."""
        return grad, None


def pass_through(relaxed: Tensor, value: Tensor) -> Tensor:
    """Return `value` (NaN where `relaxed` is), differentiated as if it were `relaxed`, which has the same shape."""
    out: Tensor = PassThrough.apply(relaxed, value.detach())  # type: ignore[no-untyped-call]
    return out

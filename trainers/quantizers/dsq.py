"""DSQ: differentiable soft quantization, a tanh in every interval whose slope is the gradient.

Gong et al., "Differentiable Soft Quantization: Bridging Full-Precision and Low-Bit Neural Networks", arXiv:1908.05033.
The range [l, u] is cut into p = 2^b - 1 intervals of Delta = (u - l) / p; in interval i, with mid point m_i:

    phi(x) = s tanh(k (x - m_i)),  s = 1 / (1 - alpha),  k = ln(2 / alpha - 1) / Delta                  (eq. 4 to 7)
    Q_S(x) = l below l, u above u, l + Delta (i + (phi(x) + 1) / 2) inside                              (eq. 5)
    Q(x)   = the same with sgn(phi), which is rounding to the nearest level                             (eq. 9)

Forward is Q; backward takes the derivative of sgn as 1, so what remains is Q_S's slope. With v = (x - l) / Delta,
t = v - i - 1/2, T = tanh(Delta k t) and g = s Delta k (1 - T^2) / 2:

    dQ/dx = g              dQ/du = (q - v g) / p          dQ/dl = 1 - g - (q - v g) / p
    dQ/dalpha = Delta (s^2 T - 2 s t (1 - T^2) / (alpha (2 - alpha))) / 2

inside, q being the code; below dQ/dl is 1, above dQ/du is 1, and the others are 0. l, u and alpha are learned, for
weights and activations alike.

Differs: l is rounded to whole steps, so that zero is a level (`trainers.quantizers.affine`). The gradients of l, u and
alpha are scaled by LSQ's 1 / sqrt(N p), of which the paper says nothing. alpha is the sigmoid of the parameter, held in
0.001 .. 0.999, and starts at 0.2 as in public code. [l, u] starts with the least squared error on the calibration data,
which is ours.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import Function

from trainers.quantizers.affine import AffineQuantizer, round_affine, zero_point
from trainers.quantizers.base import check_bits, positive
from trainers.quantizers.calibration import best_range
from trainers.quantizers.straight_through import inner_product, inside

SMALLEST_ALPHA = 1e-3


class DsqQuantizer(AffineQuantizer):
    """Uniform levels of a learned range with soft gradients, 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    has_channel_scales: ClassVar[bool] = False

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        alpha: float = 0.2,
    ) -> None:
        """Take 2 to 8 bits, and the softness to start from: near 0 rounding is hard, near 1 it is the identity."""
        check_bits("dsq", bits)
        if not SMALLEST_ALPHA <= alpha <= 1 - SMALLEST_ALPHA:
            raise ValueError(f"alpha must be in {SMALLEST_ALPHA}..{1 - SMALLEST_ALPHA} for dsq, got {alpha}")
        super().__init__(role, bits, signed=signed, channels=channels)
        self.lower, self.upper = nn.Parameter(torch.zeros(())), nn.Parameter(torch.tensor(float(self.high)))
        self.softness = nn.Parameter(torch.tensor(math.log(alpha / (1 - alpha))))

    def grid(self) -> tuple[Tensor, Tensor]:
        """Return the step and the zero point."""
        return range_grid(self.lower, self.upper, self.high)

    def start(self, x: Tensor) -> None:
        """Start the range from calibration data; where they are all zero, at steps of 1 above 0."""
        lower, upper = best_range(x, self.high)
        self.lower.copy_(lower)
        self.upper.copy_(torch.where(upper > lower, upper, torch.full_like(upper, self.high)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels of the range."""
        factor = 1 / math.sqrt(self.count(x) * self.high)
        out: Tensor = RoundSoftly.apply(  # type: ignore[no-untyped-call]
            x, self.lower, self.upper, self.softness, self.high, factor
        )
        return out


def range_grid(lower: Tensor, upper: Tensor, high: int) -> tuple[Tensor, Tensor]:
    """Return the step and the zero point of a range, widened where it does not hold zero."""
    lower = lower.clamp(max=0)
    step = positive((upper.clamp(min=0) - lower) / high)
    return step, zero_point(lower, step, high)


class RoundSoftly(Function):
    """Hard rounding with the slope of the soft function; `factor` scales the gradients of the parameters."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, lower: Tensor, upper: Tensor, softness: Tensor, high: int, factor: float) -> Tensor:
        """Return the nearest levels of the range."""
        return round_affine(x, *range_grid(lower, upper, high), high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        x, lower, upper, softness, ctx.high, ctx.factor = inputs
        ctx.save_for_backward(x, lower, upper, softness)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None, None]:
        """Return the gradients of `x`, `lower`, `upper` and `softness`."""
        x, lower, upper, softness = ctx.saved_tensors
        step, zero = range_grid(lower, upper, ctx.high)
        place = (x / step).add_(zero).clamp_(-1, ctx.high + 1)
        grad_inside = inside(grad, place, (0, ctx.high))
        above = inner_product(grad, (place > ctx.high).to(grad.dtype))
        below = grad.sum() - grad_inside.sum() - above
        alpha = softness.sigmoid().clamp(SMALLEST_ALPHA, 1 - SMALLEST_ALPHA)
        tanh, along = soft_parts(place, alpha)
        gain, slope = soft_gradients(tanh, along, alpha)
        by_alpha = inner_product(grad_inside, gain) * step * alpha * (1 - alpha)
        stretch = inner_product(grad_inside, place.round() - place * slope) / ctx.high
        passed = grad_inside * slope
        by_lower = grad_inside.sum() - passed.sum() - stretch + below
        factor = ctx.factor
        return passed, factor * by_lower, factor * (stretch + above), factor * by_alpha, None, None


def soft_parts(place: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return T and t of values `place`, in steps above the range's start."""
    along = place.frac().sub_(0.5)
    return torch.tanh(along * (2 / alpha - 1).log()), along


def soft_gradients(tanh: Tensor, along: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return the derivatives of (phi + 1) / 2 in alpha and in v, given T and t."""
    sharpness = 1 / (1 - alpha)
    rest = 1 - tanh.square()
    gain = tanh * (sharpness.square() / 2) - along.mul_(rest) * (sharpness / (alpha * (2 - alpha)))
    return gain, rest.mul_(sharpness * (2 / alpha - 1).log() / 2)

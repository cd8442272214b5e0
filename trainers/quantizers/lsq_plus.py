"""LSQ+: a learned step and, for activations, a learned offset.

Bhalgat et al., "LSQ+: Improving low-bit quantization through learnable offsets and better initialization",
arXiv:2004.09576: x_hat = s * round(clip((x - beta) / s, n, p)) + beta. Weights: beta = 0, signed (section 3.1), LSQ's
gradients. Activations, with codes 0 .. p = 2^b - 1 (the paper's configuration 4):

    d x_hat/ds     code - (x - beta) / s inside the range, 0 below, p above
    d x_hat/dbeta  0 inside, 1 outside

Start (section 3.2): weights s = max(|mu - 3 sigma|, |mu + 3 sigma|) / 2^(b-1); activations the s and beta of least
squared error on the calibration batch. Both gradients are scaled by LSQ's 1 / sqrt(N p), as in public code.

Differs: beta is rounded to whole steps (`trainers.quantizers.affine`), and is at least -p s and at most 0, so that zero
stays in range. Signed inputs use the same codes; the paper's signed configuration 3 is this grid with another beta. N
counts the whole batch, and weights may have one step per output channel, as `trainers.quantizers.lsq` explains.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import Function

from hwsim.formats import Format, Uniform
from trainers.quantizers.affine import AffineQuantizer, round_affine, zero_point
from trainers.quantizers.base import check_bits, positive
from trainers.quantizers.calibration import best_range
from trainers.quantizers.straight_through import inner_product, inside, round_to_integer


class LsqPlusQuantizer(AffineQuantizer):
    """Uniform levels with a learned step, and for activations a learned offset; 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")

    def __init__(self, role: str, bits: int, *, signed: bool = True, channels: int | None = None) -> None:
        """Take 2 to 8 bits; there are no options."""
        check_bits("lsq_plus", bits)
        if role == "weights" and not signed:
            raise ValueError("lsq_plus weights are signed, unsigned ones were asked for")
        super().__init__(role, bits, signed=signed, channels=channels)
        self.step = nn.Parameter(torch.ones(() if channels is None else channels))
        if role == "activations":
            self.offset = nn.Parameter(torch.zeros(()))

    def grid(self) -> tuple[Tensor, Tensor]:
        """Return the step and the zero point."""
        step = positive(self.step)
        if self.role == "weights":
            return step, step.new_tensor(2 ** (self.bits - 1))
        return step, zero_point(self.offset, step, self.high)

    @property
    def format(self) -> Format:
        """Two's complement for weights; the codes of activations count from the learned offset."""
        return Uniform(self.bits) if self.role == "weights" else super().format

    def start(self, x: Tensor) -> None:
        """Start the step, and for activations the offset, from calibration data; where they are all zero at 1 and 0."""
        if self.role == "weights":
            rows = x.reshape(self.step.numel(), -1)
            mean, deviation = rows.mean(1), rows.std(1, correction=0)
            step = (mean.abs() + 3 * deviation) / 2 ** (self.bits - 1)
        else:
            lower, upper = best_range(x, self.high)
            self.offset.copy_(lower)
            step = (upper - lower) / self.high
        step = step.reshape(self.step.shape)
        self.step.copy_(torch.where(step > 0, step, torch.ones_like(step)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels of the grid."""
        if self.role == "weights":
            half = 2 ** (self.bits - 1)
            factor = 1 / math.sqrt(max(x.numel() // self.step.numel(), 1) * (half - 1))
            return round_to_integer(x, self.step, -half, half - 1, factor)
        factor = 1 / math.sqrt(self.count(x) * self.high)
        out: Tensor = RoundWithOffset.apply(  # type: ignore[no-untyped-call]
            x, self.step, self.offset, self.high, factor
        )
        return out


class RoundWithOffset(Function):
    """The activations' quantizer; `factor` scales the gradients of step and offset."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, step: Tensor, offset: Tensor, high: int, factor: float) -> Tensor:
        """Return the levels times the scale of `step`."""
        scale = positive(step)
        return round_affine(x, scale, zero_point(offset, scale, high), high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        x, step, offset, ctx.high, ctx.factor = inputs
        ctx.save_for_backward(x, step, offset)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Return the gradients of `x`, `step` and `offset`."""
        x, step, offset = ctx.saved_tensors
        scale = positive(step)
        place = (x / scale).add_(zero_point(offset, scale, ctx.high))
        ends = (0, ctx.high)
        passed = inside(grad, place, ends)
        code = place.round().clamp_(*ends)
        by_step = inner_product(code.sub_(inside(place, place, ends)), grad)
        factor = torch.where(step < 0, -ctx.factor, ctx.factor)
        return passed, factor * by_step, ctx.factor * (grad.sum() - passed.sum()), None, None

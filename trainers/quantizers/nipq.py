"""NIPQ: noise in place of rounding, so that the range and the number of bits can be learned by gradient descent.

Park et al., "NIPQ: Noise proxy-based Integrated Pseudo-Quantization", CVPR 2023 (arXiv:2206.00820). With theta and the
range alpha = softplus(a) learned, U uniform in [-1/2, 1/2], and a straight-through gradient for the rounding of b:

    b = 2 + 6 sigmoid(theta),  b_r = round(b + U)
    Delta = alpha / n,         n = 2^(b_r-1) - 1 for signed values, 2^b_r - 1 for others
    y = v + e Delta            inside [-alpha, alpha] or [0, alpha], v clipped to it outside
    dy/dv = 1 inside, 0 outside;  dy/dalpha = e / n inside, 1 or -1 (0 at the end 0) outside;  dy/dDelta = e inside

e is drawn from the histogram, in 256 bins, of the rounding errors round(v / Delta) - v / Delta that this very tensor
has inside its range: noise with the distribution of the error, but without its staircase, so the gradient of Delta, and
by it that of b, is the derivative of the forward pass. In eval mode, and in the last epochs of training, b is rounded
and frozen and values are rounded: levels are the integers -n .. n or 0 .. n with the step alpha / n. A loss term keeps
the bits within a budget (`trainers.budget`).

Start: b is `bits`, no nearer to 2 or 8 than 0.3, and alpha that of the step of least squared error at those bits.

Differs: b ends at 8 (the paper's b = 2 + 12 sigmoid(theta) at 14), which every multiplier here takes. The histogram is
that of at most 2^14 values, evenly spaced in memory, and e is drawn from its inverse distribution in 2^12 points. The
gradient of alpha is divided by the square root of the number of values, as LSQ's is, since its learning rate is that of
the weights; that of theta is multiplied by 10, for runs of tens of epochs. The last `quantized_epochs` (3 in the paper)
are at most a quarter of all.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from hwsim.errors import check_integer
from hwsim.formats import Uniform
from trainers.quantizers.base import Quantizer, check_bits, positive
from trainers.quantizers.calibration import best_step
from trainers.quantizers.straight_through import gradients, round_to_integer
from trainers.shard import Shard, batch_sum, shard_of

LOWEST, HIGHEST = 2, 8  #: The bits that can be learned.
MARGIN = 0.05  #: sigmoid(theta) starts this far from 0 and 1.
BITS_RATE = 10.0  #: Factor of the gradient of theta.
BINS = 256  #: Bins of the histogram of rounding errors.
SAMPLE = 1 << 14  #: At most this many values enter the histogram.
POINTS = 1 << 12  #: Points of the histogram's inverse distribution.


class NipqQuantizer(Quantizer):
    """Uniform levels of a learned range and of learned bits, 2 to 8; training adds noise, inference rounds."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    has_channel_scales: ClassVar[bool] = False
    learns_bits: ClassVar[bool] = True

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        quantized_epochs: int = 3,
    ) -> None:
        """Take the bits to start from, 2 to 8, and how many epochs at the end train with rounding."""
        check_bits("nipq", bits, LOWEST, HIGHEST)
        check_integer("quantized_epochs", quantized_epochs, 0, 1000, " for nipq")
        super().__init__(role, bits, signed=signed)
        self.quantized_epochs = quantized_epochs
        self.frozen_bits: int | None = None
        self.theta = nn.Parameter(torch.zeros(()))
        self.set_bits(bits)
        self.range = nn.Parameter(inverse_softplus(torch.ones(())))

    @property
    def soft_bits(self) -> Tensor:
        """The bits before they are rounded, with their gradient; a scalar."""
        return LOWEST + (HIGHEST - LOWEST) * torch.sigmoid(scale_gradient(self.theta, BITS_RATE))

    @property
    def learned_bits(self) -> int:
        """The bits of the format, as learned so far."""
        return int(self.soft_bits.detach().round())

    @torch.no_grad()
    def set_bits(self, bits: int) -> None:
        """Put theta where the bits round to `bits`, no nearer to the ends than MARGIN; frozen bits follow."""
        share = min(max((bits - LOWEST) / (HIGHEST - LOWEST), MARGIN), 1 - MARGIN)
        self.theta.fill_(math.log(share / (1 - share)))
        if self.frozen_bits is not None:
            self.frozen_bits = self.learned_bits

    @property
    def format(self) -> Uniform:
        """Integers: -n .. n for signed values, 0 .. n for others, in the bits learned so far."""
        return Uniform(self.learned_bits, signed=self.signed, narrow=self.signed)

    @property
    def scale(self) -> Tensor:
        """The step alpha / n of the rounded bits, detached."""
        return positive(self._step(self.learned_bits).detach())

    def start(self, x: Tensor) -> None:
        """Start alpha from the step of least squared error; where the data tell nothing at 1."""
        highest = self._highest(self.learned_bits)
        alpha = best_step(x.reshape(1, -1), -highest if self.signed else 0, highest)[0] * highest
        self.range.copy_(inverse_softplus(positive(torch.where(alpha > 0, alpha, torch.ones_like(alpha)))))

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Freeze the bits and round from now on, if this is one of the last epochs."""
        last = min(self.quantized_epochs, epochs // 4)
        self.frozen_bits = self.learned_bits if epoch >= epochs - last else None

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with noise inside the range, or, in eval mode and at the end of training, rounded."""
        factor = 1 / math.sqrt(self.count(x))
        if self.training and self.frozen_bits is None:
            return self._with_noise(x, factor)
        bits = self.learned_bits if self.frozen_bits is None else self.frozen_bits
        highest = self._highest(bits)
        return round_to_integer(x, self._step(bits), -highest if self.signed else 0, highest, factor)

    def _with_noise(self, x: Tensor, factor: float) -> Tensor:
        alpha = positive(functional.softplus(self.range))
        slowed = scale_gradient(alpha, factor)
        step = slowed / (torch.exp2(dithered(self.soft_bits) - int(self.signed)) - 1)
        ends = (-1.0 if self.signed else 0.0, 1.0)
        clipped: Tensor = ClipToRange.apply(x, slowed, ends)  # type: ignore[no-untyped-call]
        return clipped + self._errors(x.detach(), step.detach(), alpha.detach(), ends) * step

    def _errors(self, x: Tensor, step: Tensor, alpha: Tensor, ends: tuple[float, float]) -> Tensor:
        return draw_errors(x, step, alpha, ends, None if self.role == "weights" else shard_of(x))

    def _step(self, bits: int) -> Tensor:
        return positive(functional.softplus(self.range)) / self._highest(bits)

    def _highest(self, bits: int) -> int:
        """Return the highest level n of so many bits."""
        return (1 << (bits - self.signed)) - 1


class ClipToRange(Function):
    """Values clipped to `ends` times alpha, a positive scalar."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, alpha: Tensor, ends: tuple[float, float]) -> Tensor:
        """Return the clipped values."""
        return x.clamp(alpha * ends[0], alpha * ends[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        x, alpha, ctx.ends = inputs
        ctx.save_for_backward(x, output, alpha)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of `x` and alpha."""
        x, y, alpha = ctx.saved_tensors
        return *gradients(grad, x, y, alpha, ctx.ends, 1.0), None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Return `x`, whose gradient is multiplied by `factor`."""
    return x.detach() + factor * (x - x.detach())


def inverse_softplus(alpha: Tensor) -> Tensor:
    """Return a with softplus(a) = alpha > 0, in float64: log(exp(alpha) - 1) without its overflow."""
    alpha = alpha.double()
    return alpha + torch.log(-torch.expm1(-alpha))


def dithered(bits: Tensor) -> Tensor:
    """Return round(bits + U) within the bits that can be learned; its mean is `bits`, whose gradient it has."""
    rounded = (bits.detach() + torch.rand_like(bits) - 0.5).round().clamp(LOWEST, HIGHEST)
    return bits + (rounded - bits.detach())


@torch.no_grad()
def draw_errors(
    x: Tensor, step: Tensor, alpha: Tensor, ends: tuple[float, float], shard: Shard | None = None
) -> Tensor:
    """Return, in the shape of `x`, draws from the rounding errors of its values inside the range; 0 outside it.

    Values and draws are those of the whole batch of which `x` is a part, if it is.
    """
    flat = x.flatten()
    start, size = (shard.start * x[0].numel(), shard.numel(x)) if shard else (0, flat.numel())
    stride = max(-(-size // SAMPLE), 1)
    values = flat[-start % stride :: stride]
    errors = (values / step).round() - values / step
    is_inside = (values >= ends[0] * alpha) & (values <= ends[1] * alpha)
    counts = torch.histc(torch.where(is_inside, errors, 2.0), BINS, -0.5, 0.5)  # ignores what is beyond
    counts = batch_sum(counts) if shard else counts
    places = torch.randint(POINTS, (size,), device=x.device).narrow(0, start, flat.numel())
    drawn = inverse_distribution(counts).index_select(0, places)
    return drawn.view(x.shape).mul_((x >= ends[0] * alpha) & (x <= ends[1] * alpha))


def inverse_distribution(counts: Tensor) -> Tensor:
    """Return POINTS equally likely values of a histogram over [-1/2, 1/2], `[BINS]`; uniform ones if it is empty."""
    shares = (counts + torch.finfo(counts.dtype).tiny) / (counts.sum() + BINS * torch.finfo(counts.dtype).tiny)
    total = shares.cumsum(0)
    points = (torch.arange(POINTS, dtype=total.dtype, device=total.device) + 0.5) / POINTS
    places = torch.searchsorted(total, points).clamp(max=BINS - 1)
    within = 1 - (total[places] - points) / shares[places]
    return (places + within.clamp(0, 1)) / BINS - 0.5

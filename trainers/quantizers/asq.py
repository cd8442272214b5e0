"""ASQ: activations whose step is adapted to each sample by a small network, the adapter.

"Adaptive step size quantization", arXiv:2504.17263. With s the layer's learned step and beta the sample's factor:

    a     = mean of x over rows and columns                                       (N, C); a linear layer's x itself
    beta  = max(relu(w2 . relu(W1 a + b1) + b2), 1e-8)    C >= 8, W1 of C/4 x C   (N,)
    beta  = max(relu(w . a + b), 1e-8)                    fewer channels
    s_a   = s * beta                                                              eq. 4
    q     = round(clip(x / s_a, n, p))                                            eq. 5
    x_hat = q * s_a                                                               eq. 6

n, p = 0, 2^b-1, or LSQ's signed range where inputs are negative. With v = x / s_a and r = q - v inside the range, q
outside, the gradients are (eq. 7 to 9; G_k the sum of dL/dx_hat * r over sample k):

    dL/dx      = dL/dx_hat inside the range, else 0, and what comes back through the adapter
    dL/ds      = gs * sum_k G_k * beta_k,   gs = 1 / sqrt(p * numel(x)), the batch counted
    dL/dbeta_k = G_k * s

The adapter is not printed in the paper: it is that of the released code, as is the missing gradient scale of beta. Its
last weights start as N(0, 0.01^2) and its last bias as 1, so that beta starts near 1; until `initialize`, beta is 1.
The adapter trains with the weights' learning rate and decay.

The option `dequantize="step"` is the other reading of eq. 6, x_hat = q * s, which one review prints; then
dL/dx = dL/dx_hat / beta inside the range, dL/ds sums dL/dx_hat * r without beta, and dL/dbeta_k = -s / beta_k times
the sum of dL/dx_hat * v inside the range.

Differs: the step starts and decays as our LSQ's (no larger than max|x| / p; no decay); s_a stays within
2^-100 .. 2^100, and means and dL/dbeta beyond 2^60 are clipped, so that no input makes a gradient infinite. Where the
last weights as drawn would move beta away from 1 by more than 1/2 on the calibration batch, they are scaled down to
that: inputs of order 100 could start with a beta below 0, which the ReLU makes a step that is as good as zero and has
no gradient. Inputs of order 1 are far from it and start as in the code.
"""

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import relu

from trainers.quantizers.base import LARGEST_SCALE, SMALLEST_SCALE, positive, spread
from trainers.quantizers.lsq import LsqQuantizer
from trainers.quantizers.straight_through import inside
from trainers.shard import batch_max

RATIO = 4  #: Input channels over hidden units.
SMALLEST_BETA = 1e-8
LAST_WEIGHT_SPREAD = 0.01
LARGEST_MEAN = 2.0**60
PEAK_MEMORY = 0.99  #: A peak shrinks by this factor per training step, so that it forgets after some hundred.

LARGEST_SWING = 0.5  #: How far beta may start from 1 on the calibration batch.

READINGS = ("adapted_step", "step")


class AsqQuantizer(LsqQuantizer):
    """Uniform activations, 2 to 8 bits, with a learned step times a factor per sample."""

    roles: ClassVar[tuple[str, ...]] = ("activations",)
    method: ClassVar[str] = "asq"
    has_channel_scales: ClassVar[bool] = False
    takes_in_channels: ClassVar[bool] = True

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        in_channels: int | None = None,
        dequantize: str = "adapted_step",
    ) -> None:
        """Take 2 to 8 bits; `in_channels` are those of x, `dequantize` is what levels are multiplied by.

        Raises:
            ValueError: no channels are given, or `dequantize` is neither "adapted_step" nor "step".
        """
        super().__init__(role, bits, signed=signed, channels=channels)
        if in_channels is None or in_channels < 1:
            raise ValueError(f"asq needs in_channels, the channels of what it quantizes, got {in_channels}")
        if dequantize not in READINGS:
            raise ValueError(f"dequantize must be one of {', '.join(READINGS)}, got {dequantize!r}")
        self.adapter = StepAdapter(in_channels)
        self.dequantize = dequantize

    def start(self, x: Tensor) -> None:
        """Start the step as LSQ does and draw the adapter's weights."""
        super().start(x)
        self.adapter.start(x.to(self.step.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return the levels times each sample's step."""
        low, high = self.format.min_level, self.format.max_level
        factor = (high * self.count(x)) ** -0.5
        return round_by_sample(x, self.step, self.adapter(x), (low, high), factor, self.dequantize == "adapted_step")

    @torch.no_grad()
    def scale_for(self, x: Tensor) -> Tensor:
        """Return what levels are multiplied by: s * beta, `[N, 1, ...]`, or s if the option says so."""
        return self.input_scale_for(x) if self.dequantize == "adapted_step" else self.scale

    @torch.no_grad()
    def input_scale_for(self, x: Tensor) -> Tensor:
        """Return what x is divided by: s * beta, `[N, 1, ...]`."""
        return spread(adapted(self.step, self.adapter(x)), x)

    @torch.no_grad()
    def ratio(self, x: Tensor) -> Tensor:
        """Return x / (s * beta).

        Raises:
            ValueError: a value is NaN.
        """
        ratio = x / self.input_scale_for(x)
        if bool(ratio.isnan().any()):
            raise ValueError(f"cannot quantize NaN to {self.format}")
        return ratio


class StepAdapter(nn.Module):
    """The network that makes one factor beta per sample from the channels' means.

    peaks: for each linear layer, the largest magnitude of its inputs in the last training steps: the range that its
    codes span in fixed point.
    """

    peaks: Tensor

    def __init__(self, in_channels: int) -> None:
        """Build one linear layer, or two from 2 * RATIO channels on; all zero but the last bias, so that beta is 1."""
        super().__init__()
        hidden = [in_channels // RATIO] if in_channels >= 2 * RATIO else []
        widths = [in_channels, *hidden, 1]
        self.layers = nn.ModuleList(nn.Linear(*size, device="meta") for size in pairwise(widths)).to_empty(device="cpu")
        self.register_buffer("peaks", torch.zeros(len(self.layers)))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.last.bias.fill_(1)

    @property
    def last(self) -> nn.Linear:
        """The layer that makes beta."""
        layer = self.layers[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Draw the weights, scale the last ones down where beta would be far from 1, and note the peaks of a batch."""
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            layer.reset_parameters()
        self.last.weight.normal_(0, LAST_WEIGHT_SPREAD)
        self.last.bias.fill_(1)
        inputs = self.inputs(x)
        swing = (self.last(inputs[-1]) - 1).abs().amax()
        self.last.weight.mul_((LARGEST_SWING / swing).clamp(max=1))
        self.peaks.zero_()
        self.remember(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return beta, shape (N,), of x, shape (N, C) or (N, C, H, W).

        Raises:
            ValueError: x has another number of channels.
        """
        inputs = self.inputs(x)
        if self.training and torch.is_grad_enabled():  # not where only codes are asked for
            self.remember(inputs)
        out: Tensor = self.last(inputs[-1])
        return out.squeeze(1).clamp(min=SMALLEST_BETA)  # a ReLU before it would change nothing

    def inputs(self, x: Tensor) -> list[Tensor]:
        """Return what each linear layer reads, each (N, C)."""
        channels = self.layers[0].in_features
        if x.dim() not in (2, 4) or x.shape[1] != channels:
            raise ValueError(f"asq's adapter takes (N, {channels}) or (N, {channels}, H, W), got {tuple(x.shape)}")
        mean = x.mean((2, 3)) if x.dim() == 4 else x
        inputs = [mean.clamp(-LARGEST_MEAN, LARGEST_MEAN)]
        for layer in self.layers[:-1]:
            inputs.append(relu(layer(inputs[-1])))
        return inputs

    @torch.no_grad()
    def remember(self, inputs: list[Tensor]) -> None:
        """Let the peaks shrink a little, and rise to those of a batch."""
        batch = batch_max(torch.stack([x.abs().amax() for x in inputs]))
        self.peaks.copy_(torch.maximum(self.peaks * PEAK_MEMORY, batch))


class RoundBySample(Function):
    """The nearest of the integers `ends[0]..ends[1]`, ties to even, times a step that is adapted to each sample."""

    @staticmethod
    def forward(
        x: Tensor, step: Tensor, beta: Tensor, ends: tuple[float, float], factor: float, adapts: bool
    ) -> Tensor:
        """Return the levels times step * beta if `adapts`, else times step; `factor` scales the step's gradient."""
        scale = spread(adapted(step, beta), x)
        levels = (x / scale).clamp(*ends).round_()
        return levels.mul_(scale if adapts else positive(step))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        x, step, beta, ctx.ends, ctx.factor, ctx.adapts = inputs
        ctx.save_for_backward(x, output, step, beta)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        """Return the gradients of `x`, `step` and `beta`."""
        x, y, step, beta = ctx.saved_tensors
        scale, own = adapted(step, beta), positive(step)
        by_x = inside(grad, not_in_advance(x, grad) / spread(scale, x), ctx.ends)
        ratios = by_sample(by_x, x) / scale
        if ctx.adapts:
            rounding = by_sample(grad, y) / scale - ratios
            by_step, by_beta = rounding * beta, rounding * own
        else:
            by_x = by_x / spread(beta, x)
            by_step, by_beta = by_sample(grad, y) / own - ratios, ratios * -own / beta
        total = by_step.sum() * ctx.factor
        by_beta = by_beta.clamp(-LARGEST_MEAN, LARGEST_MEAN)
        return by_x, torch.where(step < 0, -total, total), by_beta, None, None, None


def not_in_advance(x: Tensor, grad: Tensor) -> Tensor:
    """Return x, compiled with zeros where the gradient is zero.

    So a compiler cannot make the mask in the forward pass and keep it, which it does in another order in memory than x.
    """
    return torch.where(grad == 0, 0, x) if torch.compiler.is_compiling() else x


def by_sample(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of a * b over each sample, shape (N,); compiled without a view, as `inner_product` is."""
    if torch.compiler.is_compiling():
        return (a * b).sum(tuple(range(1, a.dim())))
    out: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return out


def adapted(step: Tensor, beta: Tensor) -> Tensor:
    """Return step * beta, shape (N,), within the range of scales."""
    return (positive(step) * beta).clamp(SMALLEST_SCALE, LARGEST_SCALE)


def round_by_sample(
    x: Tensor, step: Tensor, beta: Tensor, ends: tuple[float, float], factor: float, adapts: bool
) -> Tensor:
    """Return `RoundBySample` of `x`, typed."""
    out: Tensor = RoundBySample.apply(x, step, beta, ends, factor, adapts)  # type: ignore[no-untyped-call]
    return out

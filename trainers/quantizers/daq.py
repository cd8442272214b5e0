"""DAQ: distance-aware quantization, the gradient of a soft assignment to the two nearest levels.

Kim et al., "Distance-aware Quantization", ICCV 2021 (arXiv:2108.06983). A value v, in steps above the range's start and
clipped to 0 .. n = 2^b - 1, lies f = v - floor(v) above one level and 1 - f below the next:

    S_0 = exp(-f) k_0,  S_1 = exp(-(1 - f)) k_1        k = 1 for the nearer level, exp(-1 / sigma^2) for the other
    T*  = T / |S_0 - S_1|, a constant for the gradient                          (the temperature controller)
    v_hat = floor(v) - c + (1 + 2 c) softmax(T* S)_1,  c = 1 / (e^T - 1)

As T* (S_1 - S_0) is T or -T, v_hat is exactly the nearest level: the offset c was chosen so, and there is no gap
between training and inference. What is soft is the gradient (the derivative of the above, simplified):

    d v_hat/dv = T / (2 sinh T) coth((1 / sigma^2 + 1 - 2 d) / 2),  d = |v - nearest level|;  0 beyond the range

    weights       w_hat = beta (2 v_hat - n) / n,  v = n ((w - mean) / std - l) / (u - l);  l, u, beta learned
    activations   x_hat = a v_hat / n,             v = n x / u;                             u learned

Weights have 2^b levels without zero. T = 2; sigma is 1 for weights and 2 for activations. Start: l, u = -3, 3;
u = 3 std(x) (all as in the authors' code; mean and std are constants for the gradient there too).

Differs: the authors scale each layer's output by beta, here it multiplies the weights, which is the same product; it
starts so that the weights keep their mean magnitude (theirs: the output does). They leave activations in [0, 1], here
the constant a keeps the magnitude of the start. They learn l, u and beta by Adam at 1/1000 of the weights' learning
rate, here by the weights' optimizer at 1/100. Inputs that may be negative are refused: the paper's range starts at 0.
"""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from hwsim.formats import Format, Uniform
from trainers.quantizers.base import Quantizer, check_bits, keep_nan, positive
from trainers.quantizers.sawb import odd_integers
from trainers.quantizers.straight_through import inside

SIGMAS = {"weights": 1.0, "activations": 2.0}


class DaqQuantizer(Quantizer):
    """Uniform levels of a learned range with distance-aware gradients, 1 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    has_channel_scales: ClassVar[bool] = False
    learning_rate = 0.01

    size: Tensor
    level_table: Tensor
    threshold_table: Tensor

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        sigma: float | None = None,
        temperature: float = 2.0,
    ) -> None:
        """Take 1 to 8 bits, the kernel's width (None: 1 for weights, 2 for activations) and T."""
        check_bits("daq", bits, low=1)
        if signed != (role == "weights"):
            kind = "signed" if signed else "unsigned"
            raise ValueError(f"daq has signed weights and unsigned activations, {kind} {role} were asked for")
        sigma = SIGMAS[role] if sigma is None else sigma
        for name, value in (("sigma", sigma), ("temperature", temperature)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite for daq, got {value}")
        super().__init__(role, bits, signed=signed)
        self.sigma, self.temperature = sigma, temperature
        self._format: Format = odd_integers(bits) if signed else Uniform(bits, signed=False)
        self.upper = nn.Parameter(torch.tensor(3.0))
        if signed:
            self.lower, self.beta = nn.Parameter(torch.tensor(-3.0)), nn.Parameter(torch.ones(()))
        else:
            self.register_buffer("size", torch.ones(()))
        levels, thresholds = self._format.levels[self._format.codes], self._format.thresholds_as(np.float32)
        self.register_buffer("level_table", torch.tensor(levels, dtype=torch.float32), persistent=False)
        self.register_buffer("threshold_table", torch.tensor(thresholds, dtype=torch.float32), persistent=False)

    @property
    def format(self) -> Format:
        """Odd integers for weights, 0 .. 2^b-1 for activations."""
        return self._format

    @property
    def scale(self) -> Tensor:
        """The output's size over the highest level: |beta| / n or a / n."""
        return self.learned_scale().detach()

    def learned_scale(self) -> Tensor:
        """Return the scale with its gradient."""
        return positive(self.beta if self.signed else self.size) / self.format.max_level

    @property
    def input_scale(self) -> Tensor:
        """What the shifted input is divided by."""
        return self.input_grid()[0].detach()

    @property
    def input_offset(self) -> Tensor:
        """The middle of the weights' range; 0 for activations."""
        return self.input_grid()[1].detach()

    def input_grid(self) -> tuple[Tensor, Tensor]:
        """Return what the input is divided by, so that levels are one step of the format apart, and its offset."""
        highest = self.format.max_level
        if not self.signed:
            return positive(self.upper) / highest, torch.zeros_like(self.upper)
        return positive((self.upper - self.lower) / (2 * highest)), (self.upper + self.lower) / 2

    def start(self, x: Tensor) -> None:
        """Start the range and the output's size from calibration data; where they are all zero at 1."""
        if not self.signed:
            upper = 3 * x.std(correction=0)
            upper = torch.where(upper > 0, upper, x.abs().amax())
            self.upper.copy_(torch.where(upper > 0, upper, torch.ones_like(upper)))
            self.size.copy_(self.upper)
            return
        self.lower.fill_(-3.0)
        self.upper.fill_(3.0)
        magnitude = x.abs().mean()
        levels = self.nearest((normalized(x) / self.input_scale).to(self.upper.dtype))
        beta = magnitude * self.format.max_level / levels.abs().mean()
        self.beta.copy_(torch.where(magnitude > 0, beta, torch.ones_like(beta)))

    @torch.no_grad()
    def ratio(self, x: Tensor) -> Tensor:
        """Return what the format encodes, in units of its levels; weights are first brought to mean 0 and deviation 1.

        Raises:
            ValueError: a value is NaN, or a weight is infinite.
        """
        if self.signed and bool(x.isinf().any()):
            raise ValueError("cannot quantize infinite weights with daq: their mean and deviation make all of them NaN")
        return super().ratio(normalized(x) if self.signed else x)

    def nearest(self, ratio: Tensor) -> Tensor:
        """Return the nearest levels, without gradients."""
        if not self.signed:
            return ratio.detach().round().clamp_(0, self.format.max_level)
        return self.level_table[torch.bucketize(ratio.detach().contiguous(), self.threshold_table, right=True)]

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels of the range."""
        step, offset = self.input_grid()
        ends = (self.format.min_level, self.format.max_level)
        if not self.signed:  # beyond the range nothing changes, but the quotient stays finite
            x = x.clamp(-step.detach(), (ends[1] + 1) * step.detach())
        ratio = (normalized(x) - offset) / step if self.signed else x / step
        level: Tensor = AssignByDistance.apply(  # type: ignore[no-untyped-call]
            ratio, self.nearest(ratio), ends, 2.0 if self.signed else 1.0, self.sigma, self.temperature
        )
        return level * self.learned_scale()


def normalized(x: Tensor) -> Tensor:
    """Return `x` less its mean over its standard deviation (1 if that is 0), both constants for the gradient."""
    values = x.detach().double()
    deviation = values.std(correction=0)
    divisor = torch.where(deviation > 0, positive(deviation), torch.ones_like(deviation))
    return (x - values.mean().to(x.dtype)) / divisor.to(x.dtype)


class AssignByDistance(Function):
    """Nearest levels, `spacing` apart, with the slope of the soft assignment."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        ratio: Tensor, level: Tensor, ends: tuple[float, float], spacing: float, sigma: float, temperature: float
    ) -> Tensor:
        """Return `level`, which is the nearest to `ratio`, and NaN where that is NaN."""
        return keep_nan(level.clone(), ratio)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        ratio, level, ctx.ends, ctx.spacing, ctx.sigma, ctx.temperature = inputs
        ctx.save_for_backward(ratio, level)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        """Return the gradient of `ratio`."""
        ratio, level = ctx.saved_tensors
        logit = (ratio - level).abs_().mul_(-1 / ctx.spacing).add_((1 / ctx.sigma**2 + 1) / 2)
        gain = ctx.temperature / (2 * math.sinh(ctx.temperature))
        return inside((grad * gain).div_(logit.tanh_()), ratio, ctx.ends), None, None, None, None, None

"""APoT: additive powers of two with a learned clipping point, for weights and activations.

Li et al., "Additive Powers-of-Two Quantization", ICLR 2020 (arXiv:1909.13144): x_hat = alpha * nearest(clip(x /
alpha)) among the levels of `hwsim.formats.Apot` (eq. 5): 2^b - 1 signed ones for weights, three at 2 bits, 2^b unsigned
ones for activations. Gradients of x and alpha: the reparameterized clipping function (eq. 6), with no factor,

    dL/dx = dL/dx_hat inside, 0 outside;   dL/dalpha = sum dL/dx_hat * (x_hat - x) / alpha inside, sign(x) outside.

Weights are normalised first (eq. 9): (w - mean) / deviation, both of the layer and constants to the gradient.
`normalize=False` leaves them as they are. alpha learns at 0.5 (weights) or 2.5 (activations) of the weights' rate and
decays as they do: 0.02 and 0.1 against 0.04 in the authors' CIFAR code.

Here the parameter is `step` = alpha / the largest integer level M; a gradient factor of 1 / M^2 makes alpha move as the
paper's.

Differs: outputs are multiplied by the deviation, so that they keep the weights' size; batch norm after the layer undoes
that, in the forward pass and in every gradient. Mean and deviation are kept from the last training step, so that the
grid is fixed in eval mode. Weights beyond alpha have no gradient at any width (the authors' CIFAR code passes it at all
widths, their ImageNet code at 2 bits). alpha starts where the squared error is least among 32 fractions of the largest
magnitude, in steps of 2^(1/8), rather than at 3.0 (weights) and 8.0 or 6.0 (activations), which presume a batch norm
before; `alpha` sets a start, for weights in units of the deviation.
"""

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hwsim.formats import Apot
from trainers.quantizers.base import Quantizer, check_bits, positive
from trainers.quantizers.step import StepQuantizer
from trainers.quantizers.straight_through import round_to_level

STARTS = 32  #: Clipping points that the start is chosen among, from the largest magnitude down in steps of 2^(1/8).
RATES = {"weights": 0.5, "activations": 2.5}


class ApotQuantizer(StepQuantizer):
    """Sums of powers of two up to a learned clipping point, 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    has_channel_scales: ClassVar[bool] = False
    decays = True

    threshold_table: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        alpha: float | None = None,
        normalize: bool = True,
    ) -> None:
        """Take 2 to 8 bits; activations are not normalised."""
        check_bits("apot", bits)
        if signed != (role == "weights"):
            kind = "signed" if signed else "unsigned"
            raise ValueError(f"apot has signed weights and unsigned activations, {kind} {role} were asked for")
        if alpha is not None and not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be positive and finite for apot, got {alpha}")
        fmt = Apot(bits, signed=signed)
        super().__init__(fmt, role, bits, signed=signed)
        self.alpha, self.normalize = alpha, normalize and role == "weights"
        self.learning_rate = RATES[role]
        self.register_buffer("threshold_table", torch.from_numpy(fmt.thresholds_as(np.float32)), persistent=False)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    @property
    def scale(self) -> Tensor:
        """Alpha times the deviation, over the largest integer level."""
        return positive(self._full_step().detach())

    @property
    def input_offset(self) -> Tensor:
        """The mean of the weights; 0 for activations."""
        return self.mean

    def start(self, x: Tensor) -> None:
        """Normalise, then choose the clipping point."""
        self._observe(x)
        super().start((x.flatten() - self.mean) / self.deviation)

    def initial_scale(self, x: Tensor) -> Tensor:
        """Return the step of the given clipping point, or the one with the least squared error."""
        highest = self.format.max_level
        if self.alpha is not None:
            return torch.tensor(self.alpha / highest)
        steps = x.abs().max() / highest * 2.0 ** (-torch.arange(STARTS) / 8)
        return steps[torch.stack([self._error(x, step) for step in steps]).argmin()]

    @torch.no_grad()
    def continue_from(self, previous: Quantizer) -> None:
        """Take over the clipping point, which does not depend on the bits."""
        assert isinstance(previous, ApotQuantizer)
        self.step.copy_(previous.step * previous.format.max_level / self.format.max_level)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels up to the clipping point, in the size of `x`."""
        if self.training:
            self._observe(x.detach())
        ends = (self.format.min_level, self.format.max_level)
        centered = x - self.mean if self.normalize else x
        factor = 1 / self.format.max_level**2
        return round_to_level(centered, self._full_step(), self.threshold_table, self.level_table, ends, factor)

    def rank(self, ratio: Tensor) -> Tensor:
        """Return how many thresholds do not exceed the ratio."""
        return torch.bucketize(ratio.contiguous(), self.threshold_table, right=True)

    def _full_step(self) -> Tensor:
        return self.step * self.deviation if self.normalize else self.step

    def _observe(self, x: Tensor) -> None:
        if self.normalize:
            deviation, mean = torch.std_mean(x)
            self.mean.copy_(mean)
            self.deviation.copy_(torch.where(deviation > 0, positive(deviation), torch.ones_like(deviation)))

    def _error(self, x: Tensor, step: Tensor) -> Tensor:
        levels = self.level_table.double()[torch.bucketize(x / step, self.threshold_table.double(), right=True)]
        return (levels * step - x).square().sum()

"""LSQ: learned step size quantization, for weights and activations.

Esser et al., "Learned Step Size Quantization", arXiv:1902.08153: x_hat = s * round(clip(x / s, n, p)). Weights use
n, p = -2^(b-1), 2^(b-1)-1; activations 0, 2^b-1 if no input is negative, else the weights' range. Start:
s = 2 mean|x| / sqrt(p) (section 2.1). Gradients: `trainers.quantizers.straight_through`, with gs = 1 / sqrt(N p)
(section 2.2), N the number of values that share the step.

Differs: the step may be per output channel, then N counts the channel's weights, and for activations N counts the whole
batch (both as in the code of ASQ, arXiv:2504.17263; the paper counts one sample's features, which here made short
trainings unsteady); the range's ends pass the gradient; the step starts no larger than max|x| / p, because
2 mean|x| / sqrt(p) leaves most of an 8-bit range empty, and of a 4-bit range if a channel has few weights.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from hwsim.formats import Uniform
from trainers.quantizers.base import check_bits
from trainers.quantizers.step import StepQuantizer
from trainers.quantizers.straight_through import round_to_integer


class LsqQuantizer(StepQuantizer):
    """Uniform levels with a learned step, 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    method: ClassVar[str] = "lsq"  #: What the method, or one that builds on it, is called in messages.

    def __init__(self, role: str, bits: int, *, signed: bool = True, channels: int | None = None) -> None:
        """Take 2 to 8 bits; there are no options."""
        check_bits(self.method, bits)
        super().__init__(Uniform(bits, signed=signed), role, bits, signed=signed, channels=channels)

    def initial_scale(self, x: Tensor) -> Tensor:
        """Return min(2 mean|x| / sqrt(p), max|x| / p), of the tensor or of each output channel."""
        rows = x.abs().reshape(self.step.numel(), -1)
        highest = self.format.max_level
        return torch.minimum(2 * rows.mean(1) / math.sqrt(highest), rows.amax(1) / highest)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest multiples of the step, clipped to the range."""
        low, high = self.format.min_level, self.format.max_level
        factor = 1 / math.sqrt(max(self.count(x) // self.step.numel(), 1) * high)
        return round_to_integer(x, self.step, low, high, factor)

    def rank(self, ratio: Tensor) -> Tensor:
        """Return the place of the nearest integer in the range."""
        low = self.format.min_level
        return (ratio.clamp(low, self.format.max_level).round() - low).to(torch.int64)

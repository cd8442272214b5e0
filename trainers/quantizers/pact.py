"""PACT: activations with a learned clipping point that decays.

Choi et al., "PACT: Parameterized Clipping Activation for Quantized Neural Networks", arXiv:1805.06085:
y = clip(x, 0, alpha) (eq. 1), y_hat = round(y (2^b-1) / alpha) alpha / (2^b-1) (eq. 2), d y_hat/d alpha = 0 where
x < alpha, 1 where x >= alpha (eq. 3), no gradient scale; alpha has the weights' L2 decay. The gradients are in
`trainers.quantizers.clipped`. The paper's weights are DoReFa's, later SAWB's.

Differs: alpha starts at the largest value of the calibration batch, or at the option `alpha`; the paper says only that
it starts large, and public code uses 6 to 10. An input that may be negative is clipped to [-alpha, alpha], with
2^b - 1 levels around zero (the paper has rectified inputs only). A value equal to alpha passes its gradient.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from hwsim.formats import Uniform
from trainers.quantizers.base import Quantizer, check_bits, positive
from trainers.quantizers.clipped import round_clipped


class PactQuantizer(Quantizer):
    """Uniform activations up to a learned clipping point, 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("activations",)
    decays = True

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        alpha: float | None = None,
    ) -> None:
        """Take 2 to 8 bits, and where the clipping point starts; None: at the calibration batch's largest |x|."""
        check_bits("pact", bits)
        if alpha is not None and not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be positive and finite for pact, got {alpha}")
        super().__init__(role, bits, signed=signed, channels=channels)
        self._format = Uniform(bits, signed=signed, narrow=signed)
        self.initial_alpha = alpha
        self.alpha = nn.Parameter(torch.ones(()))

    @property
    def format(self) -> Uniform:
        """The levels and their codes."""
        return self._format

    @property
    def scale(self) -> Tensor:
        """The clipping point over the highest level, detached."""
        return self.learned_scale().detach()

    def learned_scale(self) -> Tensor:
        """Return alpha over the highest level."""
        return positive(self.alpha) / self.format.max_level

    def start(self, x: Tensor) -> None:
        """Start alpha where the option says or at the largest |x|; where that is 0, at 1."""
        alpha = x.abs().amax() if self.initial_alpha is None else x.new_tensor(self.initial_alpha)
        self.alpha.copy_(torch.where(alpha > 0, alpha, torch.ones_like(alpha)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels up to the clipping point."""
        return round_clipped(x, self.learned_scale(), self.format.min_level, self.format.max_level)

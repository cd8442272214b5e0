"""What methods with a fixed set of unequal levels in [-1, 1] share: nearest level, learned clipping point.

w_hat = alpha * nearest(clip(w / alpha, -1, 1)), nearest in the linear domain. Gradients:
`trainers.quantizers.straight_through` (the RCF form of APoT, arXiv:1909.13144, eq. 6), with gs = 1 / sqrt(N), N
the number of weights that share alpha. Start: alpha is the 0.99 quantile of |w|. Both, and no weight
normalisation, as in the code of ASQ + POST (arXiv:2504.17263).
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from hwsim.formats import make_format
from trainers.quantizers.base import Quantizer, check_bits
from trainers.quantizers.step import StepQuantizer
from trainers.quantizers.straight_through import round_to_level

START_QUANTILE = 0.99


class LevelQuantizer(StepQuantizer):
    """Nearest of a format's levels times a learned clipping point alpha (`step`); a subclass names the family."""

    roles: ClassVar[tuple[str, ...]] = ("weights",)
    family: ClassVar[str]  #: The format's name in `hwsim.formats.FORMATS`.

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        exponents: int | None = None,
        extended: bool = False,
    ) -> None:
        """Take 2 to 8 bits; the options are those of the family's format."""
        check_bits(self.family, bits)
        if not signed:
            raise ValueError(f"{self.family} levels are signed, unsigned ones were asked for")
        fmt = make_format(self.family, bits, exponents=exponents, extended=extended)
        super().__init__(fmt, role, bits, channels=channels)

    def initial_scale(self, x: Tensor) -> Tensor:
        """Return the 0.99 quantile of |x|, interpolated, of the tensor or of each output channel."""
        return x.abs().reshape(max(self.step.numel(), 1), -1).quantile(START_QUANTILE, dim=1)

    @torch.no_grad()
    def continue_from(self, previous: Quantizer) -> None:
        """Take over the clipping point, which does not depend on the bits."""
        assert isinstance(previous, LevelQuantizer)
        self.step.copy_(previous.step)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels times alpha."""
        factor = 1 / math.sqrt(max(x.numel() // self.step.numel(), 1))
        ends = (self.format.min_level, self.format.max_level)
        return round_to_level(x, self.step, self.threshold_table, self.level_table, ends, factor)

"""SAWB: statistics-aware weight binning, a clipping point from two moments of the weights.

Choi et al., "Accurate and Efficient 2-bit Quantized Neural Networks" (SysML 2019; arXiv:1807.06964):
a = c1 sqrt(E[w^2]) + c2 E|w|, fitted over several distributions to the least squared error; nothing is learned. Two
families of levels, with the coefficients of IBM's fms-model-optimizer:

    no zero, the paper's       2^b levels,     a (2 i - (2^b-1)) / (2^b-1)        2, 3, 4, 5, 8 bits
    `zero` aligned             2^b - 1 levels, a i / (2^(b-1)-1)                  2 (ternary), 4, 7, 8 bits

The gradient passes unchanged, beyond the clipping point too, as in IBM's code. a follows the weights: each forward
pass in training computes it anew; in eval mode, and at export, it is that of the last training step, as in IBM's code.

Differs: a may be per output channel. Where the formula is not positive (weights of nearly equal magnitude at 4 and 8
bits), a is max|w|. The 2-bit paper's own coefficients, (3.2, -2.1), can be given as the option `coefficients`.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from hwsim.formats import Codebook, Format, Uniform
from trainers.quantizers.base import check_bits, spread
from trainers.quantizers.clipped import pass_through
from trainers.quantizers.step import StepQuantizer

#: c1 and c2 by bits, of 2^b levels without zero.
COEFFICIENTS = {2: (3.12, -2.064), 3: (7.509, -6.892), 4: (12.68, -12.80), 5: (17.74, -18.64), 8: (31.76, -35.04)}
#: c1 and c2 by bits, of 2^b - 1 levels with zero.
ZERO_COEFFICIENTS = {2: (2.6, -1.71), 4: (12.035, -12.03), 7: (28.24, -30.81), 8: (31.76, -35.04)}


def odd_integers(bits: int) -> Codebook:
    """Return the 2^b levels without zero: the odd integers from -(2^b-1) to 2^b-1."""
    return Codebook(bits, integers=tuple(range(1 - 2**bits, 2**bits, 2)))


class SawbQuantizer(StepQuantizer):
    """Uniform weights clipped where their statistics say, 2 to 8 bits as tabled."""

    roles: ClassVar[tuple[str, ...]] = ("weights",)
    learns_step: ClassVar[bool] = False

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        zero: bool = False,
        coefficients: Sequence[float] | None = None,
    ) -> None:
        """Take the family of levels, and c1 and c2 in place of the tabled ones, which any bits may then have."""
        check_bits("sawb", bits)
        if not signed:
            raise ValueError("sawb levels are signed, unsigned ones were asked for")
        fmt: Format = Uniform(bits, narrow=True) if zero else odd_integers(bits)
        super().__init__(fmt, role, bits, channels=channels)
        self.coefficients = find_coefficients(bits, zero) if coefficients is None else tuple(coefficients)
        if len(self.coefficients) != 2:
            raise ValueError(f"coefficients of sawb must be c1 and c2, got {self.coefficients}")

    def initial_scale(self, x: Tensor) -> Tensor:
        """Return a over the highest level, of the tensor or of each output channel."""
        rows = x.abs().reshape(self.step.numel(), -1)
        c1, c2 = self.coefficients
        clip = c1 * rows.square().mean(1).sqrt() + c2 * rows.mean(1)
        return torch.where(clip > 0, clip, rows.amax(1)) / self.format.max_level

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels; in training the clipping point is first set to that of `x`."""
        if self.training:
            self.start(x.detach())
        scale = spread(self.scale, x)
        return pass_through(x, self.level_table[self.rank(x.detach() / scale)] * scale)


def find_coefficients(bits: int, zero: bool) -> tuple[float, float]:
    """Return c1 and c2.

    Raises:
        ValueError: there are none for these bits and this family.
    """
    table = ZERO_COEFFICIENTS if zero else COEFFICIENTS
    if bits not in table:
        family = "with zero" if zero else "without zero"
        raise ValueError(f"sawb {family} has coefficients for {', '.join(map(str, table))} bits, got {bits}")
    return table[bits]

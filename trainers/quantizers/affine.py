"""What methods with a learned range share: equal steps from a zero point that is a whole number of them.

With the step s, the zero point z in 0 .. p and p = 2^b - 1:  x_hat = s * clip(round(x / s), -z, p - z).

Papers write the same grid as s * clip(round((x - beta) / s), 0, p) + beta with a real offset beta. Here beta = -z s,
with z = round(-beta / s) and a straight-through gradient, so that zero is a level: a convolution pads with it, and
integer hardware needs no correction term for a fraction of a step (Jacob et al., arXiv:1712.05877, section 2.1).
"""

from abc import abstractmethod

from torch import Tensor

from hwsim.formats import Format, Offset
from trainers.quantizers.base import Quantizer


class AffineQuantizer(Quantizer):
    """Integer levels around a learned zero point times a learned step; a subclass says how they are learned."""

    @abstractmethod
    def grid(self) -> tuple[Tensor, Tensor]:
        """Return the step s and the zero point z, scalars."""

    @property
    def high(self) -> int:
        """The highest code, p."""
        return (1 << self.bits) - 1

    @property
    def format(self) -> Format:
        """The levels and their codes, as learned so far."""
        return Offset(self.bits, zero_point=int(self.grid()[1].detach()))

    @property
    def scale(self) -> Tensor:
        """The step, detached."""
        return self.grid()[0].detach()


def zero_point(lower: Tensor, step: Tensor, high: int) -> Tensor:
    """Return the code nearest to zero of a range that starts at `lower`."""
    return (-lower / step).round().clamp(0, high)


def round_affine(x: Tensor, step: Tensor, zero: Tensor, high: int) -> Tensor:
    """Return the nearest levels times the step, without gradients."""
    return (x / step).round_().clamp_(-zero, high - zero).mul_(step)

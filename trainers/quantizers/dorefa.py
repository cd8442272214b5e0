"""DoReFa: weights through tanh onto levels without zero, activations clipped to [0, 1].

Zhou et al., "DoReFa-Net", arXiv:1606.06160, with n = 2^b - 1 and quantize(r) = round(n r) / n (eq. 5):

    weights       w_hat = 2 quantize(tanh(w) / (2 max|tanh w|) + 1/2) - 1                          (eq. 9)
                  b = 1: sign(w) E|w|                                                              (eq. 7)
    activations   quantize(clip(x, 0, 1))                                                          (eq. 11)

The 2^b weight levels are (odd integer) / n. Rounding passes the gradient (eq. 6), so d w_hat/dw = (1 - tanh^2 w) /
max|tanh w|, and 1 for b = 1; activations pass it within [0, 1]. Nothing is learned besides the weights.

Differs: the maximum is a constant for the gradient, as in public code. It follows the weights in training; in eval
mode, and at export, it is that of the last training step. The option `rescale` multiplies the weights by max|tanh w|,
as some public code does, so that they keep their magnitude. Activations are never signed: the paper bounds them to
[0, 1], and an input that may be negative is refused.
"""

from typing import ClassVar

import torch
from torch import Tensor

from hwsim.formats import Format, Uniform
from trainers.quantizers.base import check_bits, positive
from trainers.quantizers.clipped import pass_through, round_clipped
from trainers.quantizers.sawb import odd_integers
from trainers.quantizers.step import StepQuantizer


class DorefaQuantizer(StepQuantizer):
    """Levels of fixed places, 1 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    has_channel_scales: ClassVar[bool] = False
    learns_step: ClassVar[bool] = False

    largest: Tensor

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        rescale: bool = False,
    ) -> None:
        """Take 1 to 8 bits, and whether weights are multiplied by max|tanh w|."""
        check_bits("dorefa", bits, low=1)
        if signed != (role == "weights"):
            rule = "signed, unsigned ones" if role == "weights" else "in [0, 1], signed ones"
            raise ValueError(f"dorefa {role} are {rule} were asked for")
        fmt: Format = odd_integers(bits) if signed else Uniform(bits, signed=False)
        super().__init__(fmt, role, bits, signed=signed, channels=channels)
        self.rescale = rescale
        self.step.fill_(1 / fmt.max_level)
        self.register_buffer("largest", torch.ones(()))

    @property
    def input_scale(self) -> Tensor:
        """What activations, or the tanh of weights, are divided by."""
        if self.role == "activations" or self.bits == 1:
            return self.scale
        return positive(self.largest) / self.format.max_level

    @torch.no_grad()
    def ratio(self, x: Tensor) -> Tensor:
        """Return what the format encodes: of weights, their tanh in units of the levels.

        Raises:
            ValueError: a value is NaN.
        """
        return super().ratio(self._relaxed(x))

    def initial_scale(self, x: Tensor) -> Tensor:
        """Return the scale of these weights; that of activations is fixed."""
        if self.role == "activations":
            return self.step
        if self.bits == 1:
            return x.abs().mean()
        return (self.largest if self.rescale else torch.ones_like(self.largest)) / self.format.max_level

    def start(self, x: Tensor) -> None:
        """Take the statistic of the weights."""
        if self.role == "weights":
            self.largest.copy_(x.abs().amax().tanh())
        super().start(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels; in training the weights' statistic is first set to that of `x`."""
        if self.role == "activations":
            return round_clipped(x, self.scale, 0.0, self.format.max_level)
        if self.training:
            self.start(x.detach())
        relaxed = self._relaxed(x)
        levels = self.level_table[self.rank(relaxed.detach() / self.input_scale)]
        return pass_through(relaxed * (self.scale / self.input_scale), levels * self.scale)

    def _relaxed(self, x: Tensor) -> Tensor:
        """Return what is rounded, before it is scaled."""
        return x.tanh() if self.role == "weights" and self.bits > 1 else x

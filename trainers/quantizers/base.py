"""What every quantizer is: levels of a format times a positive scale, and gradients of its own."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.formats import Format
from trainers.shard import shard_of

ROLES = ("weights", "activations")

SMALLEST_SCALE = 2.0**-100
LARGEST_SCALE = 2.0**100


class Quantizer(nn.Module, ABC):
    """Maps real numbers to the levels of a format times a scale, and learns how.

    The law, in eval mode: `q(x) == q.format.decode(q.codes(x)).astype(float32) * q.scale_for(x)`, equal as float32
    numbers, and the codes are `q.format.encode(q.ratio(x))`. What is trained is what is exported. Activations are
    coded in hardware, so their ratio is `(x - input_offset) / input_scale`; weights are coded once, by any function.

    A method is a subclass: its constructor takes the arguments below and the method's own options by keyword, and
    raises a ValueError for bits, a sign or an option that the method does not define.
    """

    roles: ClassVar[tuple[str, ...]]  #: What the method quantizes: "weights", "activations" or both.
    has_channel_scales: ClassVar[bool] = True  #: Whether weights may have one scale per output channel.
    takes_in_channels: ClassVar[bool] = False  #: Whether the constructor takes `in_channels`, those of activations.
    learning_rate: float = 1.0  #: Learning rate of the method's parameters relative to the weights'.
    decays: bool = False  #: Whether weight decay applies to the method's parameters.

    def __init__(self, role: str, bits: int, *, signed: bool = True, channels: int | None = None) -> None:
        """Remember the role ("weights" or "activations"), the bits, the sign, and how many channels have scales."""
        super().__init__()
        self.role, self.bits, self.signed, self.channels = role, bits, signed, channels

    @property
    @abstractmethod
    def format(self) -> Format:
        """The levels and their codes, as learned so far."""

    @property
    @abstractmethod
    def scale(self) -> Tensor:
        """What levels are multiplied by: positive, detached; a scalar, or `[K]` per output channel."""

    @abstractmethod
    def start(self, x: Tensor) -> None:
        """Set the parameters from calibration data: float64, finite, not empty; all zero tells nothing."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return `x` on the grid `level * scale`, with the method's gradients.

        Infinite values become the level at their end of the range, NaN stays NaN, so that a training run that has
        lost its way is seen to. A method that normalises by mean and deviation makes all NaN of one infinity.
        """

    def count(self, x: Tensor) -> int:
        """Return how many values `x` has, at least 1; of activations, the whole batch's (`trainers.shard`)."""
        shared = self.role == "activations" and len(x) > 0
        return shard_of(x).numel(x) if shared else max(x.numel(), 1)

    @property
    def per_channel(self) -> bool:
        """Whether each output channel has its own scale."""
        return self.channels is not None

    @property
    def input_scale(self) -> Tensor:
        """What activations are divided by before the nearest level is taken."""
        return self.scale

    @property
    def input_offset(self) -> Tensor:
        """What is taken off activations before they are divided; a scalar."""
        return torch.zeros(())

    def scale_for(self, x: Tensor) -> Tensor:
        """Return the scale in a shape that broadcasts over `x`."""
        return spread(self.scale, x)

    @torch.no_grad()
    def ratio(self, x: Tensor) -> Tensor:
        """Return what the format encodes, in units of its levels.

        Raises:
            ValueError: a value is NaN.
        """
        ratio = (x - self.input_offset) / spread(self.input_scale, x)
        if bool(ratio.isnan().any()):
            raise ValueError(f"cannot quantize NaN to {self.format}")
        return ratio

    def rank(self, ratio: Tensor) -> Tensor:
        """Return the place of the nearest level among the sorted levels, int64."""
        thresholds = torch.from_numpy(np.asarray(self.format.thresholds_as(np.float32)))
        return torch.bucketize(ratio.contiguous(), thresholds.to(ratio.device), right=True)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Start the parameters from calibration data; where the data are all zero the scale starts at 1.

        Raises:
            ValueError: `x` is empty or not finite.
        """
        if x.numel() == 0:
            raise ValueError(f"calibration of {self.role} needs at least one value, got shape {tuple(x.shape)}")
        if not bool(x.isfinite().all()):
            raise ValueError(f"calibration of {self.role} needs finite values, got NaN or infinity")
        self.start(x.double())

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Return the format's codes (bit patterns), int64, in the shape of `x`.

        Raises:
            ValueError: a value is NaN.
        """
        return torch.from_numpy(self.format.codes.copy()).to(x.device)[self.rank(self.ratio(x))]

    @torch.no_grad()
    def levels(self, x: Tensor) -> Tensor:
        """Return the nearest levels, float32: `q(x)` before the scale is put back.

        Raises:
            ValueError: a value is NaN.
        """
        fmt = self.format
        levels = torch.from_numpy(fmt.levels[fmt.codes].astype(np.float32)).to(x.device)
        return levels[self.rank(self.ratio(x))]

    def continue_from(self, previous: "Quantizer") -> None:
        """Take over, after `initialize`, what the same method learned at other bits; most take nothing."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Do what the method does before an epoch, counted from 0; most do nothing."""

    def followed(self) -> dict[str, float]:
        """Return the learned values by name that a run's record follows over the epochs; most methods name none."""
        return {}

    def extra_repr(self) -> str:
        """Show format and granularity in the module's text."""
        return f"{self.format}, {self.role}, {'per channel' if self.per_channel else 'per tensor'}"


def check_bits(method: str, bits: int, low: int = 2, high: int = 8) -> None:
    """Raise a ValueError if a method does not define this many bits."""
    if not low <= bits <= high:
        raise ValueError(f"bits must be in {low}..{high} for {method}, got {bits}")


def positive(step: Tensor) -> Tensor:
    """Return the scale that a raw parameter stands for: never negative, zero or infinite."""
    return step.abs().clamp(SMALLEST_SCALE, LARGEST_SCALE)


def keep_nan(y: Tensor, x: Tensor) -> Tensor:
    """Return `y` after writing NaN where `x` is NaN, which a search among thresholds takes for the highest level."""
    return y.masked_fill_(x.isnan(), torch.nan)


def spread(scale: Tensor, x: Tensor) -> Tensor:
    """Return the scale in a shape that broadcasts over `x`: `[K]` becomes `[K, 1, ...]`."""
    return scale.reshape(-1, *[1] * (x.dim() - 1)) if scale.dim() else scale

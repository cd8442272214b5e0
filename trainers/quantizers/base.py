"""What every quantizer is: a format, a positive scale, and a straight-through forward pass."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.formats import Format

ROLES = ("weights", "activations")

SMALLEST_SCALE = 2.0**-100
LARGEST_SCALE = 2.0**100


class Quantizer(nn.Module, ABC):
    """Maps real numbers to the levels of a format times a scale, and learns the scale.

    The law: `q(x) == q.format.decode(q.codes(x)).astype(float32) * q.scale`, equal as float32 numbers, and the
    codes are `q.format.encode(x / q.scale)`. What is trained is what is exported.

    A method is a subclass: it names its roles and its format, how the scale starts, and its gradients.
    """

    roles: ClassVar[tuple[str, ...]]  #: What the method quantizes: "weights", "activations" or both.
    learning_rate: ClassVar[float] = 1.0  #: Learning rate of the method's parameters relative to the weights'.
    decays: ClassVar[bool] = False  #: Whether weight decay applies to the method's parameters.

    step: nn.Parameter
    level_table: Tensor
    code_table: Tensor

    def __init__(self, fmt: Format, role: str, channels: int | None = None) -> None:
        super().__init__()
        self.format = fmt
        self.role = role
        self.step = nn.Parameter(torch.ones(() if channels is None else channels))
        levels = fmt.levels[fmt.codes].astype(np.float32)
        self.register_buffer("level_table", torch.from_numpy(levels), persistent=False)
        self.register_buffer("code_table", torch.from_numpy(fmt.codes.copy()), persistent=False)

    @classmethod
    @abstractmethod
    def format_for(cls, bits: int, signed: bool, **options: Any) -> Format:
        """Return the format that the method trains.

        Raises:
            ValueError: the method does not allow these bits, this sign or an option.
        """

    @abstractmethod
    def initial_scale(self, x: Tensor) -> Tensor:
        """Return the scale to start from, given calibration data; 0 where they tell nothing."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return `x` on the grid `level * scale`, with the method's gradients."""

    @abstractmethod
    def rank(self, ratio: Tensor) -> Tensor:
        """Return, for `ratio = x / scale`, the place of the nearest level among the sorted levels, int64."""

    @property
    def scale(self) -> Tensor:
        """What levels are multiplied by: `|step|` within 2^-100 .. 2^100, detached; a scalar, or `[K]` per channel."""
        return positive(self.step.detach())

    @property
    def per_channel(self) -> bool:
        """Whether each output channel has its own scale."""
        return self.step.dim() > 0

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Start the scale from calibration data; where the data are all zero it starts at 1.

        Raises:
            ValueError: `x` is empty or not finite.
        """
        if x.numel() == 0:
            raise ValueError(f"calibration of {self.role} needs at least one value, got shape {tuple(x.shape)}")
        if not bool(x.isfinite().all()):
            raise ValueError(f"calibration of {self.role} needs finite values, got NaN or infinity")
        start = self.initial_scale(x.double()).reshape(self.step.shape)
        self.step.copy_(torch.where(start > 0, start, torch.ones_like(start)))

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Return the format's codes (bit patterns), int64, in the shape of `x`.

        Raises:
            ValueError: a value is NaN.
        """
        return self.code_table[self.rank(self._ratio(x))]

    @torch.no_grad()
    def levels(self, x: Tensor) -> Tensor:
        """Return the nearest levels, float32: `q(x)` before the scale is put back.

        Raises:
            ValueError: a value is NaN.
        """
        return self.level_table[self.rank(self._ratio(x))]

    def extra_repr(self) -> str:
        """Show format and granularity in the module's text."""
        return f"{self.format}, {self.role}, {'per channel' if self.per_channel else 'per tensor'}"

    def _ratio(self, x: Tensor) -> Tensor:
        ratio = x / spread(self.scale, x)
        if bool(ratio.isnan().any()):
            raise ValueError(f"cannot quantize NaN to {self.format}")
        return ratio


def positive(step: Tensor) -> Tensor:
    """Return the scale that a raw parameter stands for: never negative, zero or infinite."""
    return step.abs().clamp(SMALLEST_SCALE, LARGEST_SCALE)


def spread(scale: Tensor, x: Tensor) -> Tensor:
    """Return the scale in a shape that broadcasts over `x`: `[K]` becomes `[K, 1, ...]`."""
    return scale.reshape(-1, *[1] * (x.dim() - 1)) if scale.dim() else scale

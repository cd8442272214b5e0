"""What methods with fixed levels and one learned scale share."""

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.formats import Format
from trainers.quantizers.base import Quantizer, positive


class StepQuantizer(Quantizer):
    """Levels of a fixed format times a learned scale (`step`); a subclass says how the scale starts."""

    step: nn.Parameter
    level_table: Tensor
    code_table: Tensor

    def __init__(self, fmt: Format, role: str, bits: int, *, signed: bool = True, channels: int | None = None) -> None:
        """Take the format besides what every quantizer takes."""
        super().__init__(role, bits, signed=signed, channels=channels)
        self._format = fmt
        self.step = nn.Parameter(torch.ones(() if channels is None else channels))
        levels = fmt.levels[fmt.codes].astype(np.float32)
        self.register_buffer("level_table", torch.from_numpy(levels), persistent=False)
        self.register_buffer("code_table", torch.from_numpy(fmt.codes.copy()), persistent=False)

    @property
    def format(self) -> Format:
        """The levels and their codes."""
        return self._format

    @property
    def scale(self) -> Tensor:
        """What levels are multiplied by: `|step|` within 2^-100 .. 2^100, detached; a scalar, or `[K]`."""
        return positive(self.step.detach())

    @abstractmethod
    def initial_scale(self, x: Tensor) -> Tensor:
        """Return the scale to start from, given calibration data; 0 where they tell nothing."""

    def start(self, x: Tensor) -> None:
        """Start the scale from calibration data; where they tell nothing it is 1."""
        start = self.initial_scale(x).reshape(self.step.shape)
        self.step.copy_(torch.where(start > 0, start, torch.ones_like(start)))

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Return the format's codes (bit patterns), int64, in the shape of `x`.

        Raises:
            ValueError: a value is NaN.
        """
        return self.code_table[self.rank(self.ratio(x))]

    @torch.no_grad()
    def levels(self, x: Tensor) -> Tensor:
        """Return the nearest levels, float32: `q(x)` before the scale is put back.

        Raises:
            ValueError: a value is NaN.
        """
        return self.level_table[self.rank(self.ratio(x))]

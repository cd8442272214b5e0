"""What methods with fixed levels and one scale share."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.formats import Format
from trainers.quantizers.base import Quantizer, positive


class StepQuantizer(Quantizer):
    """Levels of a fixed format times one scale (`step`), learned or not; a subclass says how the scale starts."""

    learns_step: ClassVar[bool] = True  #: Whether `step` is a parameter; otherwise it is a buffer that the method sets.

    step: Tensor
    level_table: Tensor
    code_table: Tensor
    threshold_table: Tensor

    def __init__(self, fmt: Format, role: str, bits: int, *, signed: bool = True, channels: int | None = None) -> None:
        """Take the format besides what every quantizer takes."""
        super().__init__(role, bits, signed=signed, channels=channels)
        self._format = fmt
        step = torch.ones(() if channels is None else channels)
        if self.learns_step:
            self.step = nn.Parameter(step)
        else:
            self.register_buffer("step", step)
        levels = fmt.levels[fmt.codes].astype(np.float32)
        self.register_buffer("level_table", torch.from_numpy(levels), persistent=False)
        thresholds = np.asarray(fmt.thresholds_as(np.float32), np.float32)
        self.register_buffer("threshold_table", torch.from_numpy(thresholds), persistent=False)
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

    def rank(self, ratio: Tensor) -> Tensor:
        """Return how many thresholds do not exceed the ratio."""
        return torch.bucketize(ratio.contiguous(), self.threshold_table, right=True)

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

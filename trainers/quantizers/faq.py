"""FAQ: calibrated uniform quantization, fine-tuned with straight-through gradients and no learned scale.

McKinstry et al., "Discovering Low-Precision Networks Close to Full-Precision Networks for Efficient Embedded
Inference", arXiv:1809.04191: x_hat = s * round(clip(x / s, n, p)) with n, p as in LSQ, and s fixed by calibration
before the fine-tuning. Activations: s = percentile(|x|) / p. Weights: s = max|w| / p at 8 bits; below 8 bits the
paper tunes the range. Gradients: `trainers.quantizers.clipped`, without one for s.

Differs: the tuning of the weights' range is a search for the least squared error, ours; the percentile is 99.99 at 8
bits and 99.9 below; weights may have one scale per output channel. The paper's gain comes from a long fine-tuning with
a matched learning-rate schedule, which is the recipe's part and not the quantizer's.
"""

import math
from typing import ClassVar

from torch import Tensor

from hwsim.formats import Uniform
from trainers.quantizers.base import check_bits
from trainers.quantizers.calibration import best_step
from trainers.quantizers.clipped import round_clipped
from trainers.quantizers.step import StepQuantizer


class FaqQuantizer(StepQuantizer):
    """Uniform levels with a calibrated step, 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    learns_step: ClassVar[bool] = False

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        percentile: float | None = None,
    ) -> None:
        """Take 2 to 8 bits, and the percentile of |x|, over 0 to 100, that the range ends at; None: as described."""
        check_bits("faq", bits)
        if percentile is not None and not 0 < percentile <= 100:
            raise ValueError(f"percentile must be over 0 and at most 100 for faq, got {percentile}")
        super().__init__(Uniform(bits, signed=signed), role, bits, signed=signed, channels=channels)
        self.percentile = percentile

    def initial_scale(self, x: Tensor) -> Tensor:
        """Return the percentile over p, or for weights below 8 bits the step of least squared error."""
        rows = x.reshape(self.step.numel(), -1)
        if self.role == "weights" and self.bits < 8 and self.percentile is None:
            return best_step(rows, self.format.min_level, self.format.max_level)
        rank = math.ceil(round(self.used_percentile * rows.shape[1] / 100, 6))
        return rows.abs().kthvalue(rank, dim=1).values / self.format.max_level

    @property
    def used_percentile(self) -> float:
        """The percentile asked for, otherwise 100 for weights and 99.99 (8 bits) or 99.9 for activations."""
        if self.percentile is not None:
            return self.percentile
        if self.role == "weights":
            return 100.0
        return 99.99 if self.bits == 8 else 99.9

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest multiples of the step, clipped to the range."""
        return round_clipped(x, self.scale, self.format.min_level, self.format.max_level)

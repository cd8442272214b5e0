"""INQ: incremental network quantization; weights are frozen at zero or a signed power of two, a portion at a time.

Zhou et al., "Incremental Network Quantization: Towards Lossless CNNs with Low-Precision Weights", ICLR 2017
(arXiv:1702.03044). Levels {0, ±2^n2, ..., ±2^n1} with n1 = floor(log2(4 max|W| / 3)) and n2 = n1 + 1 - 2^(b-1) / 2
(eq. 1 to 3): 2^(b-2) magnitudes. A weight becomes the nearest level (eq. 4).

Training in rounds: the largest of the weights that are still free are set to their levels and frozen, and the others
are trained on, as real numbers. There is no straight-through estimator: a frozen weight has no gradient, a free one has
its own. `portions` are the shares frozen after each round (the paper's 50, 75, 87.5 and 100 %); the rounds divide the
epochs evenly, and the first begins with the first epoch. In eval mode free weights are quantized as well.

Differs: after the last portion is frozen the rest of the network, such as batch norm, is trained on for one more
round; a tie between two levels goes to the even code; `exponents` keeps only that many of the largest magnitudes.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from hwsim.formats import Format, PowerOfTwo
from trainers.quantizers.base import LARGEST_SCALE, SMALLEST_SCALE, Quantizer, check_bits

FREE = -1


class InqQuantizer(Quantizer):
    """Signed powers of two that are frozen in portions, 2 to 7 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights",)
    has_channel_scales: ClassVar[bool] = False

    top: Tensor
    kept: Tensor
    done: Tensor
    level_table: Tensor

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        exponents: int | None = None,
        portions: tuple[float, ...] = (0.5, 0.75, 0.875, 1.0),
    ) -> None:
        """Take 2 to 7 bits; `portions` are shares of the weights that rise to 1."""
        check_bits("inq", bits, high=7)
        if not signed:
            raise ValueError("inq levels are signed, unsigned ones were asked for")
        portions = tuple(portions)
        if not portions or portions[-1] != 1 or list(portions) != sorted({*portions}) or portions[0] <= 0:
            raise ValueError(f"portions must be above 0 and rise to 1, got {portions}")
        super().__init__(role, bits, signed=signed)
        self.portions = portions
        self._format = PowerOfTwo(bits, exponents=2 ** (bits - 2) if exponents is None else exponents)
        self._target, self._is_due = 0.0, False
        self.register_buffer("top", torch.ones(()))
        self.register_buffer("kept", torch.empty(0, dtype=torch.int16))  # place of a frozen weight's level, or FREE
        self.register_buffer("done", torch.zeros(()))
        levels = torch.from_numpy(self._format.levels[self._format.codes]).float()
        self.register_buffer("level_table", levels, persistent=False)

    @property
    def format(self) -> Format:
        """Zero and signed powers of two up to 1."""
        return self._format

    @property
    def scale(self) -> Tensor:
        """2^n1."""
        return self.top

    def start(self, x: Tensor) -> None:
        """Choose n1 by the largest weight; all weights are free."""
        top = torch.exp2(torch.floor(torch.log2(4 * x.abs().max() / 3)))
        self.top.copy_(torch.where(top > 0, top.clamp(SMALLEST_SCALE, LARGEST_SCALE), torch.ones_like(top)))

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Say which portion the next step freezes; an interrupted epoch that is begun again freezes nothing twice."""
        rounds = len(self.portions)
        started = max(index for index in range(rounds) if index * epochs // rounds <= epoch)
        self._target = self.portions[started]
        self._is_due = self._target > float(self.done)

    def forward(self, x: Tensor) -> Tensor:
        """Return frozen weights on their levels and free ones as they are; in eval mode all on levels."""
        if not self.training:
            return torch.where(x.isnan(), x, self.level_table[self.rank(x.detach() / self.scale)] * self.scale)
        if self._is_due:
            self.freeze(x, self._target)
        if not self.kept.numel():
            return x
        frozen = self.level_table[self.kept.clamp_min(0).int()] * self.scale
        return torch.where(self.kept == FREE, x, frozen)

    @torch.no_grad()
    def freeze(self, x: Tensor, portion: float) -> None:
        """Set the largest weights to their levels for good until that share of them is frozen.

        Raises:
            ValueError: a weight is NaN.
        """
        places = self.rank(self.ratio(x)).to(torch.int16)
        if not self.kept.numel():
            self.kept = torch.full_like(places, FREE)
        free = self.kept == FREE
        count = round(portion * x.numel()) - int((~free).sum())
        order = torch.where(free, x.abs(), -1.0).flatten().argsort(descending=True, stable=True)
        chosen = torch.zeros_like(free.flatten())
        chosen[order[:count]] = True
        self.kept = torch.where(chosen.reshape(x.shape), places, self.kept)
        self.done.fill_(portion)
        self._is_due = False

    def rank(self, ratio: Tensor) -> Tensor:
        """Return the place of a frozen weight's level, or of the one nearest to a free weight, int64."""
        nearest = super().rank(ratio)
        return torch.where(self.kept == FREE, nearest, self.kept.long()) if self.kept.numel() else nearest

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the shape of `kept` from the state: empty before the first round, the weights' after it."""
        self.kept = torch.empty_like(state_dict.get(f"{prefix}kept", self.kept))
        super()._load_from_state_dict(state_dict, prefix, *rest)

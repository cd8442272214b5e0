"""LQ-Nets: learned bases; a level is a sum of basis values, so that the levels follow the data.

Zhang et al., "LQ-Nets: Learned Quantization for Highly Accurate and Compact Deep Neural Networks", ECCV 2018
(arXiv:1807.10029). A level is v^T e with a basis v of b numbers and e in {-1, 1}^b (weights) or {0, 1}^b (activations):
2^b levels (eq. 3). In training each step quantizes with the basis as it is, then improves it by one round of QEM
(section 3.2): given the codes B that the step chose, v = (B^T B)^-1 B^T x is the least-squares basis, and the kept
basis moves a tenth of the way to it (the code's moving average, 0.9). No parameter has a gradient. That of x passes
unchanged for weights, and up to the largest level for activations.

Integers: the basis is kept relative to its largest number and rounded to `basis_bits` bits before it makes the levels,
which are thus integers times one scale. Eval mode uses the kept basis.

Start: v_i in the ratio 1, 2, 4, ..., scaled to the mean square of the data, then 20 rounds of QEM on them.

Differs: the paper has a basis per output channel; here a layer has one, with a scale per channel, so that a layer has
one set of levels. Channel scales are improved by least squares too, with the same moving average. The code's 1e-4 on
the diagonal of B^T B is relative to the number of values, draws towards the kept basis rather than towards zero, and is
there for activations too, so that codes that do not occur leave their part of the basis as it is. Activations are
fitted on the first samples of a batch that hold 2^17 values, not on all. No basis number gets negative, and activations
must not be.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function

from hwsim.errors import check_integer
from hwsim.formats import Codebook, Format
from trainers.quantizers.base import Quantizer, check_bits, keep_nan, positive
from trainers.quantizers.half_steps import half_steps, representatives
from trainers.shard import batch_sum, shard_of

KEPT = 0.9  #: Share of the old basis in the moving average.
DIAGONAL = 1e-4
START_ROUNDS = 20
SEEN = 2**17  #: Activations that a step fits its basis to.
MOST_STEPS = 2**14  #: The largest level up to which activations find theirs by a table rather than by a search.
START_SIZE = 2 * 0.6745  #: Largest level at the start in units of the root mean square, as in the authors' code.


class LqNetsQuantizer(Quantizer):
    """Sums of learned basis numbers, 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")

    basis: Tensor
    gain: Tensor
    bit_table: Tensor

    def __init__(
        self, role: str, bits: int, *, signed: bool = True, channels: int | None = None, basis_bits: int = 8
    ) -> None:
        """Take 2 to 8 bits; `basis_bits` (2..16) is the width of the basis numbers."""
        check_bits("lq_nets", bits)
        if signed != (role == "weights"):
            kind = "signed" if signed else "unsigned"
            raise ValueError(f"lq_nets has signed weights and unsigned activations, {kind} {role} were asked for")
        check_integer("basis_bits", basis_bits, 2, 16, " for lq_nets")
        super().__init__(role, bits, signed=signed, channels=channels)
        self.highest = 2.0**basis_bits - 1
        self.top = int(self.highest) * bits  # no level is above it
        encodings = (torch.arange(2**bits)[:, None] >> torch.arange(bits)) % 2  # [2^b, b]
        self.register_buffer("bit_table", (2 * encodings - 1 if signed else encodings).float(), persistent=False)
        self.register_buffer("basis", 2.0 ** torch.arange(1 - bits, 1))  # [b], the largest is 1
        self.register_buffer("gain", torch.ones(() if channels is None else channels))

    @property
    def format(self) -> Format:
        """The sums of the rounded basis."""
        return Codebook(self.bits, integers=tuple(sorted({int(level) for level in self._levels()[0]})))

    @property
    def scale(self) -> Tensor:
        """What the integer levels are multiplied by: a scalar, or `[K]`."""
        return positive(self.gain / self.highest)

    def start(self, x: Tensor) -> None:
        """Begin with powers of two in the size of the data, and fit."""
        size = x.square().reshape(self.gain.numel(), -1).mean(1).sqrt().reshape(self.gain.shape)
        self.basis.copy_(2.0 ** torch.arange(1 - self.bits, 1))
        self.gain.copy_(torch.where(size > 0, START_SIZE * size / self.basis.sum(), torch.ones_like(size)))
        for _ in range(START_ROUNDS):
            self.improve(x.float(), *self._nearest(x.float()), kept=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels times the scale; in training, improve the basis after that."""
        levels, encodings = self._levels()
        top = None if self.signed else levels[-1] * self.scale
        if self.signed or self.top > MOST_STEPS:
            table, places = None, self._nearest(x.detach())[0]
            values, scale = levels, self.scale_for(x)
        else:
            table = search(representatives(self.top, levels), levels)
            places = half_steps(x.detach() / (self.scale / 2), self.top)
            values, scale = (levels * self.scale).index_select(0, table), None
            values[0] = torch.nan
        out: Tensor = TakeLevel.apply(x, places, values, scale, top)  # type: ignore[no-untyped-call]
        if self.training:
            seen = len(x) if self.signed else self._seen(x)
            chosen = places[:seen] if table is None else table[places[:seen]]
            self.improve(x.detach()[:seen], chosen, encodings, KEPT)
        return out

    @torch.no_grad()
    def improve(self, x: Tensor, places: Tensor, encodings: Tensor, kept: float) -> None:
        """Move basis and channel scales towards the least squares for given codes; `kept` is the old ones' share.

        `places` name rows of `encodings`, `[2^b, b]`.
        """
        rows, count = self.gain.numel(), len(encodings)
        first = torch.arange(0, rows * count, count, dtype=places.dtype, device=x.device)
        index = (places.reshape(rows, -1) + first[:, None]).flatten()
        counts = torch.bincount(index, minlength=rows * count).reshape(rows, count).double()
        sums = torch.bincount(index, x.flatten(), minlength=rows * count).reshape(rows, count).double()
        if not self.signed:
            counts, sums = batch_sum(torch.stack([counts, sums]))
        gain, basis, bits = self.gain.double().reshape(-1, 1), self.basis.double(), encodings.double()

        weights = (gain.square() * counts).sum(0)
        ridge = DIAGONAL * weights.sum()
        squares = bits.T @ (weights[:, None] * bits) + ridge * torch.eye(self.bits, dtype=bits.dtype, device=x.device)
        fitted, _ = torch.linalg.solve_ex(squares, bits.T @ (gain * sums).sum(0) + ridge * basis)
        mixed = kept * basis + (1 - kept) * fitted.clamp_min(0)
        if self.per_channel:
            gain = kept * gain + (1 - kept) * fitted_gain(bits @ basis, counts, sums, gain)
        largest = mixed.max()
        is_good = largest.isfinite() & (largest > 0) & (gain * largest).isfinite().all()
        self.basis.copy_(torch.where(is_good, mixed / largest, basis))
        self.gain.copy_(torch.where(is_good, positive((gain * largest).reshape(self.gain.shape)), self.gain))

    def _seen(self, x: Tensor) -> int:
        """Return how many samples of `x` are among the batch's first that the basis is fitted to."""
        shard = shard_of(x)
        return min(max(max(SEEN // x[0].numel(), 1) - shard.start, 0), shard.count)

    def _levels(self) -> tuple[Tensor, Tensor]:
        """Return the integer levels in ascending order, equal ones included, `[2^b]`, and their encodings."""
        levels, order = (self.bit_table @ (self.basis * self.highest).round()).sort()
        return levels, self.bit_table[order]

    @torch.no_grad()
    def _nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the place of the nearest level, int32, and the encodings of all places; ties as in the format."""
        levels, encodings = self._levels()
        return search(x / self.scale_for(x), levels), encodings


def search(ratio: Tensor, levels: Tensor) -> Tensor:
    """Return the place of the nearest of ascending levels, int32, in the shape of `ratio`; ties as in the format."""
    middle = (levels[1:] + levels[:-1]) / 2
    place = (levels[1:] > levels[:-1]).cumsum(0)  # among the different levels
    thresholds = torch.where(place % 2 == 0, middle, torch.nextafter(middle, middle + 1))
    return torch.bucketize(ratio.contiguous(), thresholds, right=True, out_int32=True)


class TakeLevel(Function):
    """Levels at given places, with the gradient of the values they stand for."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, places: Tensor, values: Tensor, scale: Tensor | None, top: Tensor | None
    ) -> Tensor:
        """Return the values, times the scale if they are levels; no gradient passes above `top`, if there is one."""
        ctx.save_for_backward(None if top is None else x, top)
        out = values.index_select(0, places.flatten()).view(places.shape)
        return out if scale is None else keep_nan(out.mul_(scale), x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of `x`."""
        x, top = ctx.saved_tensors
        return grads[0] if top is None else torch.where(x <= top, grads[0], 0.0), None, None, None, None


def fitted_gain(levels: Tensor, counts: Tensor, sums: Tensor, gain: Tensor) -> Tensor:
    """Return the least-squares scale of each channel, `[K, 1]`, or the old one where that is not positive."""
    fitted = (sums * levels).sum(1, keepdim=True) / (counts * levels.square()).sum(1, keepdim=True)
    return torch.where(fitted > 0, fitted, gain)

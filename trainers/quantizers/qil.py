"""QIL: quantization interval learning, for weights and activations.

Jung et al., "Learning to Quantize Deep Networks by Optimizing Quantization Intervals with Task Loss", CVPR 2019
(arXiv:1808.05779). An interval with centre c and half-width d is learned: magnitudes below c - d become zero (pruned),
those above c + d the largest level (clipped). With u = clip((|w| - c) / 2d + 1/2, 0, 1), eq. 2 and 3:

    weights       w_bar = sign(w) * round(q u^gamma) / q,   q = 2^(b-1) - 1: 2^b - 1 levels, three at 2 bits
    activations   x_bar = round(q u) / q with x for |w|,    q = 2^b - 1 (eq. 5)

Gradients: rounding passes them on; w, c, d and gamma get those of the transform where 0 < u < 1, and 0 elsewhere
(section 3.2 of the paper; both ends count as outside, so that the zeros of a ReLU do not move an interval that begins
at 0). The learning rate of c, d and gamma is 0.01 of the weights'; they do not decay.

Start: c = d = half a quantile of |w| (of the positive inputs), so that nothing is pruned yet. The paper does not say
how it starts; `quantile=1` is the largest magnitude, as in MQBench.

Differs: the levels are not within [-1, 1] but within ±(c + d) as it was at the start, a constant. Batch norm after the
layer undoes any constant, in the forward pass and in every gradient, so training is the paper's; but statistics taken
before quantization stay valid, and a layer without batch norm works. gamma is 1 unless `learn_gamma` is set (MQBench
reports that learning it did not converge). Activations must not be negative: the paper's have passed a ReLU, and a
mirrored interval with a dead zone is not an affine function of x, which hardware codes by one offset and one scale.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import Function

from hwsim.formats import Format, Uniform
from trainers.quantizers.base import Quantizer, check_bits, positive

SMALLEST_SHARE = 2.0**-20  #: u in the slope of u^gamma, which is not bounded at 0.
GAMMA_RANGE = (0.25, 4.0)


class QilQuantizer(Quantizer):
    """Uniform levels inside a learned interval, 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    has_channel_scales: ClassVar[bool] = False
    learning_rate = 0.01

    unit: Tensor

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        quantile: float = 1.0,
        learn_gamma: bool = False,
    ) -> None:
        """Take 2 to 8 bits; `quantile` (0..1) of the magnitudes is where the first interval ends."""
        check_bits("qil", bits)
        if signed != (role == "weights"):
            kind = "signed" if signed else "unsigned"
            raise ValueError(f"qil has signed weights and unsigned activations, {kind} {role} were asked for")
        if not 0 < quantile <= 1:
            raise ValueError(f"quantile must be above 0 and at most 1, got {quantile}")
        if learn_gamma and role == "activations":
            raise ValueError("learn_gamma is for weights: qil's activations have gamma = 1")
        super().__init__(role, bits, signed=signed)
        self.quantile = quantile
        self._format = Uniform(bits, signed=signed, narrow=signed)
        self.center, self.radius = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.5))
        self.gamma = nn.Parameter(torch.tensor(1.0)) if learn_gamma else None
        self.register_buffer("unit", torch.ones(()))

    @property
    def format(self) -> Format:
        """Integers: -q..q for weights, 0..q for activations."""
        return self._format

    @property
    def scale(self) -> Tensor:
        """The largest output over q; it is not learned."""
        return self.unit / self._format.max_level

    @property
    def input_scale(self) -> Tensor:
        """The part of the interval that becomes one level: 2 d / q."""
        return self._step().detach()

    @property
    def input_offset(self) -> Tensor:
        """Where the interval begins: c - d."""
        return self._offset().detach()

    def start(self, x: Tensor) -> None:
        """Begin with the interval from 0 to a quantile of the magnitudes that are not 0."""
        sizes = x.abs() if self.signed else x
        sizes = sizes[sizes > 0].sort().values
        end = sizes[max(round(self.quantile * len(sizes)) - 1, 0)] if len(sizes) else torch.ones(())
        self.unit.copy_(positive(end))
        self.center.copy_(self.unit / 2)
        self.radius.copy_(self.unit / 2)

    def continue_from(self, previous: Quantizer) -> None:
        """Take over the interval, which does not depend on the bits."""
        assert isinstance(previous, QilQuantizer)
        self.load_state_dict(previous.state_dict())

    def followed(self) -> dict[str, float]:
        """Return centre and half-width of the interval, and what both were at the start, in units of the data."""
        values = {"center": self.center, "radius": positive(self.radius), "start": self.unit / 2}
        return {name: value.item() for name, value in values.items()}

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded place of each value in the interval, with its sign."""
        gamma = None if self.gamma is None else self.gamma.clamp(*GAMMA_RANGE)
        ends = (self._offset(), self._step(), gamma, self.scale)
        out: Tensor = RoundInInterval.apply(x, *ends, self._format.max_level, self.signed)  # type: ignore[no-untyped-call]
        return out

    @torch.no_grad()
    def ratio(self, x: Tensor) -> Tensor:
        """Return the place of each value in the interval in units of levels, with its sign.

        Raises:
            ValueError: a value is NaN.
        """
        if not self.signed:
            return super().ratio(x)
        gamma = None if self.gamma is None else self.gamma.clamp(*GAMMA_RANGE)
        ratio = transformed(x.abs(), self._offset(), self._step(), gamma, self._format.max_level).mul_(x.sign())
        if bool(ratio.isnan().any()):
            raise ValueError(f"cannot quantize NaN to {self.format}")
        return ratio

    def _offset(self) -> Tensor:
        return self.center - positive(self.radius)

    def _step(self) -> Tensor:
        return positive(2 * positive(self.radius) / self._format.max_level)


class RoundInInterval(Function):
    """Rounded place of a value in an interval, and the slope of the place without rounding."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        offset: Tensor,
        step: Tensor,
        gamma: Tensor | None,
        scale: Tensor,
        highest: float,
        mirrored: bool,
    ) -> Tensor:
        """Return the levels, 0 to `highest`, times the scale; `mirrored` gives them the sign of `x`."""
        ctx.save_for_backward(x, offset, step, gamma, scale)
        ctx.highest, ctx.mirrored = highest, mirrored
        levels = transformed(x.abs() if mirrored else x, offset, step, gamma, highest).round_()
        return (levels.mul_(x.sign()) if mirrored else levels).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of `x`, `offset`, `step` and `gamma`."""
        x, offset, step, gamma, scale = ctx.saved_tensors
        ratio = ((x.abs() if ctx.mirrored else x) - offset).div_(step)
        grad = torch.ops.aten.hardtanh_backward(grads[0], ratio, 0.0, ctx.highest)  # 0 outside and at both ends
        signed = grad * x.sign() if ctx.mirrored else grad
        place = ratio.clamp_(0, ctx.highest)
        by_gamma = None
        if gamma is not None:
            share = (place / ctx.highest).clamp_min(SMALLEST_SHARE)
            by_gamma = (signed * share**gamma * share.log()).sum() * scale * ctx.highest
            slope = gamma * share ** (gamma - 1)
            grad, signed = grad * slope, signed * slope
        rate = scale / step
        return rate * grad, -rate * signed.sum(), -rate * (signed * place).sum(), by_gamma, None, None, None


def transformed(sizes: Tensor, offset: Tensor, step: Tensor, gamma: Tensor | None, highest: float) -> Tensor:
    """Return highest * clip((size - offset) / (step * highest), 0, 1)^gamma."""
    place = ((sizes - offset) / step).clamp_(0, highest)
    return place if gamma is None else (place / highest) ** gamma * highest

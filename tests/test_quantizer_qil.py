"""QIL: the interval's transform, its slopes, and where it starts."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hwsim.formats import Uniform
from trainers.quantizers import make_quantizer
from trainers.quantizers.qil import QilQuantizer


def build(
    role: str = "weights", bits: int = 3, center: float = 0.5, half: float = 0.25, **options: Any
) -> QilQuantizer:
    """A quantizer with a given interval and outputs up to 1."""
    quantizer = make_quantizer("qil", role, bits, signed=role == "weights", **options)
    assert isinstance(quantizer, QilQuantizer)
    with torch.no_grad():
        quantizer.center.fill_(center)
        quantizer.radius.fill_(half)
    return quantizer


def value(scalar: Tensor) -> float:
    return float(scalar.detach())


def test_weights_are_pruned_below_the_interval_and_clipped_above() -> None:
    """With c = 1/2, d = 1/4, q = 3: u = 2 |w| - 1/2, a level every sixth from 1/3 on."""
    x = torch.tensor([0.0, 0.25, 0.32, 0.34, -0.34, 0.49, 0.51, 0.66, 0.67, -0.75, -9.0])
    quantizer = build()
    assert quantizer.format == Uniform(3, narrow=True)
    assert quantizer.levels(x).tolist() == [0, 0, 0, 1, -1, 1, 2, 2, 3, -3, -3]
    assert torch.equal(quantizer(x), quantizer.levels(x) * (1 / torch.tensor(3.0)))


def test_activations_are_an_affine_ratio() -> None:
    quantizer = build("activations", bits=2)
    x = torch.tensor([0.0, 0.25, 0.34, 0.5, 0.6, 0.75, 9.0, -1.0])
    assert quantizer.format == Uniform(2, signed=False)
    assert (float(quantizer.input_offset), float(quantizer.input_scale)) == pytest.approx((0.25, 0.5 / 3))
    assert quantizer.codes(x).tolist() == [0, 0, 1, 2, 2, 3, 3, 0]
    codes = quantizer.format.encode(((x - quantizer.input_offset) / quantizer.input_scale).numpy())
    assert quantizer.codes(x).tolist() == codes.tolist()


def test_gamma_bends_the_transform() -> None:
    quantizer = build(learn_gamma=True)
    assert quantizer.gamma is not None
    with torch.no_grad():
        quantizer.gamma.fill_(2.0)
    x = torch.tensor([0.25 + 0.5 * u for u in (0.40, 0.41, 0.70, 0.71, 0.91, 0.92)])  # sqrt(k / 6), k = 1, 3, 5
    assert quantizer.levels(-x).tolist() == [0, -1, -1, -2, -2, -3]
    assert torch.equal(quantizer(-x), quantizer.levels(-x) * quantizer.scale)


@pytest.mark.parametrize("role", ["weights", "activations"])
@pytest.mark.parametrize("gamma", [None, 1.0, 0.6, 1.7])
@pytest.mark.parametrize("half", [0.7, -0.7])
def test_gradients_are_the_slopes_of_the_transform(role: str, gamma: float | None, half: float) -> None:
    if gamma is not None and role == "activations":
        pytest.skip("activations have gamma = 1")
    quantizer = build(role, 4, 0.8, half, **({} if gamma is None else {"learn_gamma": True})).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(500, generator=generator, dtype=torch.float64)
    weight = torch.randn(500, generator=generator, dtype=torch.float64)
    unit = 1.3
    parameters = [quantizer.center, quantizer.radius]
    with torch.no_grad():
        quantizer.unit.fill_(unit)
        if quantizer.gamma is not None and gamma is not None:
            quantizer.gamma.fill_(gamma)
            parameters.append(quantizer.gamma)
    inputs = x.clone().requires_grad_()
    (quantizer(inputs) * weight).sum().backward()

    def smooth(x: Tensor, center: Tensor, half: Tensor, gamma: Tensor | None = None) -> Tensor:
        """QIL's eq. 3 without rounding, as printed."""
        sizes, half = (x.abs() if role == "weights" else x), half.abs()
        u = (0.5 / half * sizes - 0.5 * center / half + 0.5).clamp(0, 1)
        u = u if gamma is None else u**gamma
        return unit * (u * x.sign() if role == "weights" else u) * weight

    values = [x, *(parameter.detach() for parameter in parameters)]
    for index, parameter in enumerate([inputs, *parameters]):
        step = torch.zeros(len(values), dtype=torch.float64)
        step[index] = 1e-7
        ahead = smooth(*(value + change for value, change in zip(values, step, strict=True)))
        back = smooth(*(value - change for value, change in zip(values, step, strict=True)))
        slope = (ahead - back) / 2e-7
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, slope if index == 0 else slope.sum(), rtol=2e-5, atol=2e-5)


def test_values_outside_and_at_the_beginning_move_nothing() -> None:
    for role in ("weights", "activations"):
        quantizer = build(role, 4, 0.5, 0.25)
        x = torch.tensor([0.0, 0.25, 2.0]).requires_grad_()
        quantizer(x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0, 0, 0]
        assert quantizer.center.grad == quantizer.radius.grad == 0


@pytest.mark.parametrize("value", [0.0, 1e-36, 1e30, math.inf])
def test_gradients_stay_finite(value: float) -> None:
    for role in ("weights", "activations"):
        for half in (0.0, 1e-36, 0.5, 1e30):
            quantizer = build(role, 4, half, half, **({"learn_gamma": True} if role == "weights" else {}))
            x = torch.tensor([value, value / 2, 0.3]).requires_grad_()
            out = quantizer(x)
            out.sum().backward()
            assert x.grad is not None
            assert out.isfinite().all()
            assert x.grad.isfinite().all()
            for parameter in quantizer.parameters():
                assert parameter.grad is not None
                assert parameter.grad.isfinite()


def test_starting_interval() -> None:
    x = torch.tensor([0.0, -0.5, 1.0, 0.25, -2.0])
    whole, share = build(), build(quantile=0.5)
    for quantizer in (whole, share):
        quantizer.initialize(x)
    assert (value(whole.center), value(whole.radius), value(whole.unit)) == (1.0, 1.0, 2.0)
    assert (value(share.center), value(share.radius), value(share.unit)) == (
        0.25,
        0.25,
        0.5,
    )  # 2 of the 4 that are not 0
    activations = build("activations")
    activations.initialize(x)
    assert value(activations.unit) == 1.0
    whole.initialize(torch.zeros(3))
    assert (value(whole.center), value(whole.unit)) == (0.5, 1.0)


def test_interval_outlives_a_change_of_bits() -> None:
    before, after = build(bits=4, center=0.8, half=0.7), build(bits=3)
    after.initialize(torch.ones(4))
    after.continue_from(before)
    assert (after.bits, value(after.center), value(after.radius), value(after.unit)) == pytest.approx(
        (3, 0.8, 0.7, 1.0)
    )


def test_interval_learns_at_a_hundredth_of_the_rate() -> None:
    assert QilQuantizer.learning_rate == 0.01
    assert sum(p.numel() for p in build().parameters()) == 2


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bits must be in 2\.\.8 for qil, got 1"):
        make_quantizer("qil", "weights", 1)
    with pytest.raises(ValueError, match="signed weights and unsigned activations, signed activations were asked for"):
        make_quantizer("qil", "activations", 4)
    with pytest.raises(ValueError, match="quantile must be above 0 and at most 1, got 0"):
        build(quantile=0)
    with pytest.raises(ValueError, match="learn_gamma is for weights"):
        build("activations", learn_gamma=True)
    with pytest.raises(ValueError, match="cannot quantize NaN"):
        build().codes(torch.tensor([math.nan]))

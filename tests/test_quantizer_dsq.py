"""DSQ: hard levels forward, the slopes of the paper's soft function backward."""

import math

import pytest
import torch
from quantizer_checks import assert_law, backward, close, gradient, normal, slope
from torch import Tensor

from hwsim.formats import Offset
from trainers.quantizers import Quantizer, make_quantizer

HIGH = 7  #: The highest code of 3 bits.


def soft(x: Tensor, lower: Tensor, upper: Tensor, alpha: Tensor, error: Tensor | float = 0.0) -> Tensor:
    """Equations 4 to 7, literally; `error` is what the sign adds to phi."""
    width = (upper - lower) / HIGH
    interval = ((x - lower) / width).detach().floor()
    middle = lower + (interval + 0.5) * width
    sharpness = 1 / (1 - alpha)
    phi = sharpness * torch.tanh((2 / alpha - 1).log() / width * (x - middle))
    inside = lower + width * (interval + (phi + error + 1) / 2)
    return torch.where(x < lower, lower, torch.where(x > upper, upper, inside))


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def on_range(lower: float, upper: float, alpha: float) -> Quantizer:
    """Return a 3-bit float64 quantizer with that range."""
    quantizer = make_quantizer("dsq", "activations", 3, alpha=alpha).double()
    with torch.no_grad():
        quantizer.get_parameter("lower").fill_(lower)
        quantizer.get_parameter("upper").fill_(upper)
        quantizer.get_parameter("softness").fill_(math.log(alpha / (1 - alpha)))  # in float64
    return quantizer


@pytest.mark.parametrize("alpha", [0.02, 0.2, 0.7])
@pytest.mark.parametrize(("lower", "upper"), [(-0.6, 0.8), (0.0, 1.4)])
def test_gradients_are_the_slopes_of_the_soft_function(lower: float, upper: float, alpha: float) -> None:
    x, weight = normal(500), normal(500, seed=1)
    quantizer = on_range(lower, upper, alpha)
    by_x = backward(quantizer, x, weight)
    at = scalar(lower), scalar(upper), scalar(alpha)
    plain = soft(x, *at)
    hard = quantizer(x).detach()
    within = (x >= lower) & (x <= upper)
    assert int((~within).sum()) > 50
    error = torch.where(within, hard - plain, 0.0) * 2 * HIGH / (upper - lower)
    close(hard, soft(x, *at, error))

    def loss(lower: Tensor, upper: Tensor, alpha: Tensor) -> Tensor:
        return (soft(x, lower, upper, alpha, error) * weight).sum()

    factor = 1 / math.sqrt(500 * HIGH)
    close(by_x, slope(lambda v: soft(v, *at), x, 1e-7) * weight)
    by_lower = slope(lambda v: loss(v, at[1], at[2]), at[0], 1e-7)
    by_upper = slope(lambda v: loss(at[0], v, at[2]), at[1], 1e-7)
    by_alpha = slope(lambda v: loss(at[0], at[1], v), at[2], 1e-7)
    torch.testing.assert_close(gradient(quantizer, "lower"), factor * by_lower, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradient(quantizer, "upper"), factor * by_upper, rtol=1e-4, atol=1e-6)
    by_softness = factor * by_alpha * alpha * (1 - alpha)
    torch.testing.assert_close(gradient(quantizer, "softness"), by_softness, rtol=1e-4, atol=1e-6)


def test_forward_is_the_sign_of_the_soft_function() -> None:
    """Equation 9."""
    x = normal(500).clamp(-0.59, 0.79)
    quantizer = on_range(-0.6, 0.8, 0.2)
    width = 0.2
    interval = ((x + 0.6) / width).floor()
    phi = soft(x, scalar(-0.6), scalar(0.8), scalar(0.2)) - (-0.6 + width * (interval + 0.5))
    torch.testing.assert_close(quantizer(x).detach(), -0.6 + width * (interval + (phi.sign() + 1) / 2))


def test_soft_alpha_makes_the_plain_straight_through_gradient() -> None:
    x, weight = normal(500), normal(500, seed=1)
    by_x = backward(on_range(-0.6, 0.8, 0.999), x, weight)
    expected = torch.where((x >= -0.6) & (x <= 0.8), weight, 0.0)
    torch.testing.assert_close(by_x, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("lower", "upper", "fmt", "step"),
    [
        (-0.6, 0.8, Offset(3, zero_point=3), 0.2),
        (-0.69, 0.71, Offset(3, zero_point=3), 0.2),
        (0.5, 1.4, Offset(3, zero_point=0), 0.2),  # widened to zero
        (-1.4, -0.5, Offset(3, zero_point=7), 0.2),
    ],
)
def test_range_is_moved_to_hold_zero(lower: float, upper: float, fmt: Offset, step: float) -> None:
    quantizer = on_range(lower, upper, 0.2).float()
    assert quantizer.format == fmt
    assert float(quantizer.scale) == pytest.approx(step)
    assert quantizer(torch.zeros(1)).tolist() == [0]
    assert_law(quantizer, torch.linspace(-2, 2, 161))
    assert_law(quantizer, normal(500).float())


@pytest.mark.parametrize("role", ["weights", "activations"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_range_starts_with_no_more_error_than_the_data_s_own(role: str, bits: int) -> None:
    x = normal(3000)
    quantizer, plain = (make_quantizer("dsq", role, bits) for _ in range(2))
    quantizer.initialize(x)
    with torch.no_grad():
        plain.get_parameter("lower").fill_(x.min())
        plain.get_parameter("upper").fill_(x.max())
    errors = [float((q(x.float()).detach() - x).square().mean()) for q in (quantizer, plain)]
    assert errors[0] <= errors[1]
    assert errors[0] < 0.8 * errors[1] or bits > 4
    assert float(quantizer.get_parameter("softness").detach().sigmoid()) == pytest.approx(0.2)


def test_all_zero_data_start_at_steps_of_one() -> None:
    quantizer = make_quantizer("dsq", "weights", 4)
    quantizer.initialize(torch.zeros(5))
    assert quantizer.format == Offset(4, zero_point=0)
    assert float(quantizer.scale) == 1


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.2, math.nan])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"alpha must be in .* for dsq, got {alpha}"):
        make_quantizer("dsq", "weights", 4, alpha=alpha)

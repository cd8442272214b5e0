"""LSQ+: learned step and offset of activations, symmetric weights with the paper's start."""

import math

import pytest
import torch
from quantizer_checks import assert_law, backward, close, gradient, normal, slope, started
from torch import Tensor

from hwsim.formats import Offset, Uniform
from trainers.quantizers import Quantizer, make_quantizer


def activations(step: float, offset: float, bits: int = 3) -> Quantizer:
    """Return a float64 quantizer with that step and offset."""
    quantizer = make_quantizer("lsq_plus", "activations", bits).double()
    with torch.no_grad():
        quantizer.get_parameter("step").fill_(step)
        quantizer.get_parameter("offset").fill_(offset)
    return quantizer


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("offset", [0.0, -0.9, -2.1])
def test_gradients_are_the_slopes_of_the_relaxed_function(sign: float, offset: float) -> None:
    """Rounding adds a constant to the code; outside the range the code stays at its end."""
    x, weight = normal(400), normal(400, seed=1)
    quantizer = activations(0.3 * sign, offset)
    by_x = backward(quantizer, x, weight)
    step, beta = torch.tensor(0.3, dtype=torch.float64), torch.tensor(0.3 * round(offset / 0.3), dtype=torch.float64)
    ratio = (x - beta) / step
    code = ratio.clamp(0, 7).round()
    inside = (ratio >= 0) & (ratio <= 7)

    def relaxed(x: Tensor, step: Tensor, beta: Tensor) -> Tensor:
        return torch.where(inside, (x - beta) / step + (code - ratio), code) * step + beta

    close(quantizer(x).detach(), relaxed(x, step, beta))
    factor = 1 / math.sqrt(400 * 7)
    close(by_x, slope(lambda v: relaxed(v, step, beta), x) * weight)
    by_step = slope(lambda s: (relaxed(x, s, beta) * weight).sum(), step)
    by_offset = slope(lambda b: (relaxed(x, step, b) * weight).sum(), beta)
    close(gradient(quantizer, "step"), sign * factor * by_step)
    close(gradient(quantizer, "offset"), factor * by_offset)


@pytest.mark.parametrize("bits", range(2, 9))
def test_activations_start_near_the_least_error(bits: int) -> None:
    x = torch.nn.functional.silu(2 * normal(3000))  # from -0.28 up
    quantizer = make_quantizer("lsq_plus", "activations", bits)
    quantizer.initialize(x)
    plain = make_quantizer("lsq_plus", "activations", bits)
    with torch.no_grad():
        plain.get_parameter("step").fill_((x.max() - x.min()) / (2**bits - 1))
        plain.get_parameter("offset").fill_(x.min())

    def error(quantizer: Quantizer) -> float:
        return float((quantizer(x.float()).detach() - x).square().mean())

    assert error(quantizer) <= error(plain)
    assert error(quantizer) < 0.8 * error(plain) or bits > 4
    assert isinstance(quantizer.format, Offset)
    assert quantizer.format.bits == bits


def test_rectified_activations_start_without_an_offset() -> None:
    quantizer = make_quantizer("lsq_plus", "activations", 4, signed=False)
    quantizer.initialize(normal(3000).relu())
    assert quantizer.format == Offset(4, zero_point=0)


@pytest.mark.parametrize(("offset", "zero_point"), [(-1.24, 2), (-1.26, 3), (1.0, 0), (-100.0, 15)])
def test_offset_is_rounded_to_whole_steps_with_zero_in_range(offset: float, zero_point: int) -> None:
    quantizer = activations(0.5, offset, bits=4).float()
    assert quantizer.format == Offset(4, zero_point=zero_point)
    assert quantizer(torch.zeros(1)).tolist() == [0]
    assert_law(quantizer, torch.linspace(-9, 9, 145))  # with every mid point
    assert_law(quantizer, 3 * normal(500).float())


@pytest.mark.parametrize("shift", [0.0, 0.5, -0.5])
def test_weights_start_at_three_deviations(shift: float) -> None:
    x = normal(3, 200) + shift
    quantizer = make_quantizer("lsq_plus", "weights", 4, channels=3)
    quantizer.initialize(x)
    mean, deviation = x.mean(1), ((x - x.mean(1, keepdim=True)) ** 2).mean(1).sqrt()
    expected = torch.maximum((mean - 3 * deviation).abs(), (mean + 3 * deviation).abs()) / 8
    torch.testing.assert_close(quantizer.scale, expected.float())
    assert quantizer.format == Uniform(4)
    assert_law(quantizer, x.float())


def test_weights_learn_as_those_of_lsq() -> None:
    x, weight = normal(3, 50), normal(3, 50, seed=1)
    quantizer = started("lsq_plus", "weights", 3, x, channels=3)
    lsq = make_quantizer("lsq", "weights", 3, channels=3).double()
    lsq.load_state_dict(quantizer.state_dict())
    assert torch.equal(backward(quantizer, x, weight), backward(lsq, x, weight))
    assert torch.equal(gradient(quantizer, "step"), gradient(lsq, "step"))


def test_unsigned_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="lsq_plus weights are signed"):
        make_quantizer("lsq_plus", "weights", 4, signed=False)

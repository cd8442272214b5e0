"""DAQ: the soft assignment, literally, against the hard levels and the simplified slope."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from quantizer_checks import assert_law, backward, gradient, normal, started
from torch import Tensor

from hwsim.formats import Uniform
from trainers.quantizers import make_quantizer

BITS = range(1, 9)


def soft_assignment(place: Tensor, high: float, sigma: float, temperature: float) -> Tensor:
    """The authors' equations: scores, kernel, temperature controller, softmax and offset."""
    place = place.clamp(0, high)
    floor = place.detach().floor()
    above = place - floor
    nearer = torch.stack([above <= 0.5, above > 0.5])
    kernel = torch.where(nearer, 1.0, math.exp(-1 / sigma**2))
    scores = torch.exp(-torch.stack([above, 1 - above])) * kernel
    controlled = (temperature / (scores[0] - scores[1]).abs()).detach()
    share = torch.softmax(controlled * scores, dim=0)
    offset = 1 / (math.exp(temperature) - 1)
    return floor - offset * share[0] + (1 + offset) * share[1]


@pytest.mark.parametrize(("sigma", "temperature"), [(1.0, 2.0), (2.0, 2.0), (0.7, 5.0)])
@pytest.mark.parametrize("bits", BITS)
def test_activations_are_the_soft_assignment(bits: int, sigma: float, temperature: float) -> None:
    x, weight = normal(300).abs(), normal(300, seed=1)
    options = {"signed": False, "sigma": sigma, "temperature": temperature}
    quantizer = started("daq", "activations", bits, x, **options)
    by_x, high, size = backward(quantizer, x, weight), 2**bits - 1, 3 * float(x.std(correction=0))

    inputs, upper = x.clone().requires_grad_(), torch.tensor(size, dtype=torch.float64, requires_grad=True)
    out = soft_assignment(inputs / upper * high, high, sigma, temperature) * size / high
    torch.testing.assert_close(quantizer(x), out)
    expected = torch.autograd.grad((out * weight).sum(), (inputs, upper))
    torch.testing.assert_close(by_x, expected[0])
    torch.testing.assert_close(gradient(quantizer, "upper"), expected[1])


@pytest.mark.parametrize("bits", BITS)
def test_weights_are_the_soft_assignment(bits: int) -> None:
    x, weight = 0.2 * normal(8, 40) + 0.05, normal(8, 40, seed=1)
    quantizer = started("daq", "weights", bits, x)
    with torch.no_grad():
        quantizer.get_parameter("lower").fill_(-1.5)
        quantizer.get_parameter("upper").fill_(1.9)
    by_x, high, beta = backward(quantizer, x, weight), 2**bits - 1, gradient(quantizer, "beta")

    values = [quantizer.get_parameter(name).detach() for name in ("lower", "upper", "beta")]
    inputs, lower, upper, size = (value.clone().requires_grad_() for value in (x, *values))
    unit = (inputs - x.mean()) / x.std(correction=0)
    place = (unit - lower) / (upper - lower) * high
    out = (2 * soft_assignment(place, high, 1.0, 2.0) - high) / high * size
    torch.testing.assert_close(quantizer(x), out)
    expected = torch.autograd.grad((out * weight).sum(), (inputs, lower, upper, size))
    torch.testing.assert_close(by_x, expected[0])
    torch.testing.assert_close(gradient(quantizer, "lower"), expected[1])
    torch.testing.assert_close(gradient(quantizer, "upper"), expected[2])
    torch.testing.assert_close(beta, expected[3])


def test_slope_is_largest_between_two_levels() -> None:
    """Farther from the nearest level the assignment is less certain, and the gradient larger."""
    quantizer = make_quantizer("daq", "activations", 2, signed=False).double()
    x = torch.tensor([0.0, 0.2, 0.4, 0.49], dtype=torch.float64)  # in steps, as the range is 3 and n is 3
    slopes = backward(quantizer, x, torch.full_like(x, 3.0))
    assert slopes.tolist() == sorted(slopes.tolist())
    assert float(slopes[0]) == pytest.approx(2 / (2 * math.sinh(2)) / math.tanh(0.625))


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_weights_keep_their_mean_magnitude(shift: float) -> None:
    x = 0.1 * normal(2000) + shift
    out = started("daq", "weights", 4, x)(x).detach()
    assert float(out.abs().mean()) == pytest.approx(float(x.abs().mean()))


@pytest.mark.parametrize("bits", BITS)
def test_law_holds_around_every_threshold(bits: int) -> None:
    quantizer = make_quantizer("daq", "activations", bits, signed=False)
    assert quantizer.format == Uniform(bits, signed=False)
    far = torch.tensor([-1e30, 0.0, 1e30])
    at = torch.from_numpy(quantizer.format.thresholds_as(np.float32).astype(np.float32)) * quantizer.input_scale
    assert_law(quantizer, torch.cat([at, torch.nextafter(at, far[:1]), torch.nextafter(at, far[2:]), far]))
    weights = make_quantizer("daq", "weights", bits)
    x = normal(4, 500).float()
    weights.initialize(x)
    assert_law(weights, x)
    assert_law(weights, torch.arange(-20.0, 21.0))


def test_all_zero_and_constant_data_start_at_finite_scales() -> None:
    for role in ("weights", "activations"):
        for value, size in ((0.0, 1.0), (0.5, 0.5)):
            quantizer = make_quantizer("daq", role, 3, signed=role == "weights")
            quantizer.initialize(torch.full((6,), value))
            top = float(quantizer.scale) * 7
            assert top == pytest.approx(size if role == "activations" or value == 0 else 7 * size)


@pytest.mark.parametrize(
    ("role", "options", "rule"),
    [
        ("activations", {"signed": True}, "daq has signed weights and unsigned activations, signed activations"),
        ("weights", {"signed": False}, "daq has signed weights and unsigned activations, unsigned weights"),
        ("weights", {"sigma": 0.0}, r"sigma must be positive and finite for daq, got 0\.0"),
        ("weights", {"temperature": math.inf}, "temperature must be positive and finite for daq, got inf"),
    ],
)
def test_bad_requests_name_the_rule(role: str, options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        make_quantizer("daq", role, 4, **options)


def test_an_infinite_weight_is_refused_for_what_it_is() -> None:
    quantizer = started("daq", "weights", 4, normal(4, 3))
    for value in (math.inf, -math.inf):
        x = normal(4, 3, seed=1)
        x[1, 2] = value
        with pytest.raises(ValueError, match="cannot quantize infinite weights with daq"):
            quantizer.codes(x)

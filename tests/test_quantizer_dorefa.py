"""DoReFa: the paper's equations, literally, against the integers."""

import numpy as np
import pytest
import torch
from quantizer_checks import assert_law, backward, close, normal, slope, started
from torch import Tensor

from hwsim.formats import Uniform
from trainers.quantizers import make_quantizer


def quantize(r: Tensor, bits: int) -> Tensor:
    """Equation 5."""
    n = float(2**bits - 1)
    return (n * r).round() / n


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_are_equation_9(bits: int) -> None:
    x = normal(4, 100, seed=3)
    tanh = x.tanh()
    expected = 2 * quantize(tanh / (2 * tanh.abs().max()) + 0.5, bits) - 1
    torch.testing.assert_close(started("dorefa", "weights", bits, x)(x), expected)
    rescaled = started("dorefa", "weights", bits, x, rescale=True)(x)
    torch.testing.assert_close(rescaled, expected * tanh.abs().max(), rtol=1e-6, atol=1e-7)


def test_one_bit_weights_are_equation_7() -> None:
    x, weight = normal(4, 100), normal(4, 100, seed=1)
    quantizer = started("dorefa", "weights", 1, x)
    torch.testing.assert_close(quantizer(x).detach(), x.sign() * x.abs().mean())
    assert torch.equal(backward(quantizer, x, weight), weight)


@pytest.mark.parametrize("bits", range(1, 9))
def test_activations_are_equation_11(bits: int) -> None:
    x, weight = 2 * normal(300), normal(300, seed=1)
    quantizer = started("dorefa", "activations", bits, x, signed=False)
    torch.testing.assert_close(quantizer(x).detach(), quantize(x.clamp(0, 1), bits), rtol=1e-6, atol=1e-7)
    assert quantizer.format == Uniform(bits, signed=False)
    close(backward(quantizer, x, weight), slope(lambda v: v.clamp(0, 1), x) * weight)


@pytest.mark.parametrize("rescale", [False, True])
def test_weights_gradient_is_the_slope_before_rounding(rescale: bool) -> None:
    x, weight = normal(4, 50), normal(4, 50, seed=1)
    largest = x.tanh().abs().max()
    relaxed = (lambda v: v.tanh()) if rescale else (lambda v: v.tanh() / largest)
    actual = backward(started("dorefa", "weights", 3, x, rescale=rescale), x, weight)
    torch.testing.assert_close(actual, slope(relaxed, x) * weight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("rescale", [False, True])
def test_maximum_follows_the_weights_in_training_and_rests_in_eval(rescale: bool) -> None:
    x = normal(60).float()
    quantizer = make_quantizer("dorefa", "weights", 4, rescale=rescale)
    quantizer.initialize(x)
    quantizer(0.1 * x)
    largest = float((0.1 * x).tanh().abs().max())
    assert_law(quantizer, x)
    assert float(quantizer.input_scale) == pytest.approx(largest / 15)
    assert float(quantizer.scale) == pytest.approx(largest / 15 if rescale else 1 / 15)
    restored = make_quantizer("dorefa", "weights", 4, rescale=rescale).eval()
    restored.load_state_dict(quantizer.state_dict())
    assert torch.equal(restored(x), quantizer(x))


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_activations_law_holds_around_every_threshold(bits: int) -> None:
    quantizer = make_quantizer("dorefa", "activations", bits, signed=False)
    at = torch.from_numpy(quantizer.format.thresholds_as(np.float32).astype(np.float32)) * quantizer.scale
    far = torch.tensor([-1e30, 0.0, 1e30])
    assert_law(quantizer, torch.cat([at, torch.nextafter(at, far[:1]), torch.nextafter(at, far[2:]), far]))


def test_nothing_is_learned_and_there_is_one_scale() -> None:
    quantizer = make_quantizer("dorefa", "weights", 4, channels=5)
    assert list(quantizer.parameters()) == []
    assert quantizer.scale.dim() == 0


def test_bad_requests_name_the_rule() -> None:
    with pytest.raises(ValueError, match=r"dorefa activations are in \[0, 1\], signed ones were asked for"):
        make_quantizer("dorefa", "activations", 4, signed=True)
    with pytest.raises(ValueError, match="dorefa weights are signed"):
        make_quantizer("dorefa", "weights", 4, signed=False)
    with pytest.raises(ValueError, match=r"bits must be in 1\.\.8 for dorefa, got 0"):
        make_quantizer("dorefa", "weights", 0)

"""PACT: the learned clipping point."""

import pytest
import torch
from quantizer_checks import assert_law, backward, close, gradient, normal, slope, started

from hwsim.formats import Uniform
from trainers.layers import quant_layers
from trainers.models import make_model
from trainers.optimizer import make_optimizer
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers import make_quantizer


@pytest.mark.parametrize("signed", [False, True])
def test_gradients_are_the_slopes_of_the_clip(signed: bool) -> None:
    """Equation 3: rounding is left out, so the slopes are those of clip(x, 0, alpha), or of clip(x, -alpha, alpha)."""
    x, weight = normal(200), normal(200, seed=1)
    quantizer = started("pact", "activations", 4, x, signed=signed, alpha=0.8)
    by_x = backward(quantizer, x, weight)
    alpha = torch.tensor(0.8, dtype=torch.float64)

    def clip(x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        return torch.minimum(torch.maximum(x, -alpha if signed else torch.zeros_like(alpha)), alpha)

    assert int((x > alpha).sum()) > 10
    close(by_x, slope(lambda v: clip(v, alpha), x) * weight)
    close(gradient(quantizer, "alpha"), slope(lambda a: (clip(x, a) * weight).sum(), alpha))


def test_levels_reach_the_clipping_point() -> None:
    x = torch.linspace(-2, 2, 101)
    for signed, fmt, lowest in ((False, Uniform(3, signed=False), 0.0), (True, Uniform(3, narrow=True), -1.5)):
        quantizer = make_quantizer("pact", "activations", 3, signed=signed, alpha=1.5)
        quantizer.initialize(x)
        assert quantizer.format == fmt
        assert float(quantizer.scale) == pytest.approx(1.5 / fmt.max_level)
        values = quantizer(x).detach()
        assert (float(values.min()), float(values.max())) == pytest.approx((lowest, 1.5))
        assert_law(quantizer, x)


@pytest.mark.parametrize(("x", "alpha"), [([0.5, -4.0, 3.0], 4.0), ([0.0, 0.0], 1.0)])
def test_alpha_starts_at_the_largest_magnitude(x: list[float], alpha: float) -> None:
    quantizer = make_quantizer("pact", "activations", 4)
    quantizer.initialize(torch.tensor(x))
    assert float(quantizer.get_parameter("alpha").detach()) == alpha


def test_alpha_decays_with_the_weights() -> None:
    config = QuantizationConfig(activations="pact", first_last_bits=None)
    model = quantize(make_model("digits_resnet"), config, torch.rand(4, 1, 8, 8))
    groups = make_optimizer(model, momentum=0.9, weight_decay=1e-4).param_groups
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    for layer in quant_layers(model).values():
        assert decay[id(layer.activation_quantizer.get_parameter("alpha"))] == 1e-4
        assert decay[id(layer.weight_quantizer.get_parameter("step"))] == 0


def test_bad_requests_name_rule_and_value() -> None:
    with pytest.raises(ValueError, match=r"alpha must be positive and finite for pact, got -1\.0"):
        make_quantizer("pact", "activations", 4, alpha=-1.0)
    with pytest.raises(ValueError, match="pact does not quantize weights"):
        make_quantizer("pact", "weights", 4)

"""FAQ: calibrated steps that nothing moves."""

import math

import pytest
import torch
from quantizer_checks import assert_law, backward, normal, started

from trainers.quantizers import make_quantizer
from trainers.quantizers.calibration import best_step

DATA = torch.arange(1.0, 10001.0, dtype=torch.float64)


@pytest.mark.parametrize(
    ("bits", "percentile", "largest"), [(8, None, 9999), (4, None, 9990), (4, 100.0, 10000), (4, 50.0, 5000)]
)
def test_activations_end_at_a_percentile(bits: int, percentile: float | None, largest: float) -> None:
    quantizer = make_quantizer("faq", "activations", bits, signed=False, percentile=percentile)
    quantizer.initialize(DATA)
    assert float(quantizer.scale) == pytest.approx(largest / (2**bits - 1))


def test_weights_end_at_the_maximum_or_where_the_error_is_least() -> None:
    x = normal(4, 30)
    eight, four = (make_quantizer("faq", "weights", bits, channels=4) for bits in (8, 4))
    fixed = make_quantizer("faq", "weights", 4, percentile=100.0)
    for quantizer in (eight, four, fixed):
        quantizer.initialize(x)
    torch.testing.assert_close(eight.scale, (x.abs().amax(1) / 127).float())
    torch.testing.assert_close(four.scale, best_step(x, -8, 7).float())
    assert float(fixed.scale) == pytest.approx(float(x.abs().max()) / 7)


@pytest.mark.parametrize("role", ["weights", "activations"])
def test_gradient_is_that_of_the_clip(role: str) -> None:
    x, weight = normal(3, 40), normal(3, 40, seed=1)
    quantizer = started("faq", role, 4, x, percentile=80.0)
    ratio = x / quantizer.scale
    expected = torch.where((ratio >= -8) & (ratio <= 7), weight, 0.0)
    assert 0 < int((expected == 0).sum()) < 120
    assert torch.equal(backward(quantizer, x, weight), expected)


def test_nothing_is_learned_and_the_step_is_saved() -> None:
    source, target = make_quantizer("faq", "weights", 4), make_quantizer("faq", "weights", 4)
    source.initialize(normal(50))
    assert list(source.parameters()) == []
    assert list(source.state_dict()) == ["step"]
    target.load_state_dict(source.state_dict())
    assert torch.equal(source.scale, target.scale)
    assert_law(target, normal(6, 7, seed=2).float())


@pytest.mark.parametrize("percentile", [0.0, -1.0, 100.5, math.nan])
def test_percentile_outside_its_range_is_refused(percentile: float) -> None:
    with pytest.raises(ValueError, match=f"percentile must be over 0 and at most 100 for faq, got {percentile}"):
        make_quantizer("faq", "activations", 4, percentile=percentile)

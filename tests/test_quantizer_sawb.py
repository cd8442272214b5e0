"""SAWB: the published coefficients, both families of levels, and a clip that follows the weights."""

import math

import numpy as np
import pytest
import torch
from quantizer_checks import assert_law, backward, normal, started

from hwsim.formats import Uniform
from trainers.quantizers import Quantizer, make_quantizer

#: fms-model-optimizer's constants, by (bits, zero-aligned).
PUBLISHED = {
    (2, False): (3.12, -2.064),
    (3, False): (7.509, -6.892),
    (4, False): (12.68, -12.80),
    (5, False): (17.74, -18.64),
    (8, False): (31.76, -35.04),
    (2, True): (2.6, -1.71),
    (4, True): (12.035, -12.03),
    (7, True): (28.24, -30.81),
    (8, True): (31.76, -35.04),
}


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("zero", [False, True])
def test_clip_is_the_published_function_of_two_moments(bits: int, zero: bool) -> None:
    if (bits, zero) not in PUBLISHED:
        with pytest.raises(ValueError, match=f"has coefficients for .* bits, got {bits}"):
            make_quantizer("sawb", "weights", bits, zero=zero)
        return
    c1, c2 = PUBLISHED[bits, zero]
    x = normal(2, 500)
    clip = c1 * x.square().mean().sqrt() + c2 * x.abs().mean()
    quantizer = started("sawb", "weights", bits, x, zero=zero)
    out = quantizer(x).detach()
    levels = torch.linspace(-1, 1, 2**bits - zero, dtype=torch.float64) * clip
    distances = (x[..., None] - levels).abs()
    torch.testing.assert_close((out - x).abs(), distances.amin(-1))
    assert float(quantizer.scale) * quantizer.format.max_level == pytest.approx(float(clip))


def test_clip_has_nearly_the_least_error_for_normal_weights() -> None:
    """What the coefficients were fitted for; 0.1188 is the least error of four equal steps (Max, 1960, table II)."""
    x = normal(100_000)
    error = float((started("sawb", "weights", 2, x)(x) - x).square().mean())
    assert error == pytest.approx(0.1188, abs=0.002)


def test_each_channel_has_its_own_clip() -> None:
    x = normal(3, 64) * torch.tensor([[1.0], [2.0], [5.0]], dtype=torch.float64)
    single = [float(started("sawb", "weights", 3, row).scale) for row in x]
    assert started("sawb", "weights", 3, x, channels=3).scale.tolist() == pytest.approx(single)


def test_given_coefficients_replace_the_table() -> None:
    x = normal(100)
    quantizer = started("sawb", "weights", 6, x, coefficients=[3.2, -2.1])
    clip = 3.2 * x.square().mean().sqrt() - 2.1 * x.abs().mean()
    assert float(quantizer.scale) == pytest.approx(float(clip) / 63)
    with pytest.raises(ValueError, match="must be c1 and c2"):
        make_quantizer("sawb", "weights", 2, coefficients=[3.2])


@pytest.mark.parametrize("bits", [4, 8])
def test_equal_magnitudes_are_clipped_at_the_largest(bits: int) -> None:
    quantizer = started("sawb", "weights", bits, torch.full((10,), 0.3, dtype=torch.float64))
    assert float(quantizer.scale) * quantizer.format.max_level == pytest.approx(0.3)


def test_gradient_passes_everywhere() -> None:
    x, weight = normal(300), normal(300, seed=1)
    assert torch.equal(backward(started("sawb", "weights", 2, x), x, weight), weight)


def test_clip_follows_the_weights_in_training_and_rests_in_eval() -> None:
    x = normal(60).float()
    quantizer = make_quantizer("sawb", "weights", 4)
    quantizer.initialize(x)
    first = quantizer.scale.clone()
    quantizer(2 * x)
    assert float(quantizer.scale) == pytest.approx(2 * float(first))
    assert_law(quantizer, x)
    assert float(quantizer.scale) == pytest.approx(2 * float(first))
    restored = make_quantizer("sawb", "weights", 4).eval()
    restored.load_state_dict(quantizer.state_dict())
    assert torch.equal(restored(x), quantizer(x))


def ties(quantizer: Quantizer) -> torch.Tensor:
    return torch.from_numpy(quantizer.format.thresholds_as(np.float32).astype(np.float32))


@pytest.mark.parametrize("zero", [False, True])
def test_law_holds_around_every_threshold(zero: bool) -> None:
    quantizer = make_quantizer("sawb", "weights", 4, zero=zero)
    at = ties(quantizer)
    assert_law(quantizer, torch.cat([at, torch.nextafter(at, torch.tensor(-math.inf)), 100 * at]))
    assert (quantizer.format == Uniform(4, narrow=True)) == zero


def test_unsigned_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="sawb levels are signed"):
        make_quantizer("sawb", "weights", 4, signed=False)

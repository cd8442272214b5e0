"""Rounding with the gradient of a clip, the pass-through gradient, and the searches for a step or a range."""

import pytest
import torch
from quantizer_checks import normal

from trainers.quantizers.calibration import best_range, best_step, range_error
from trainers.quantizers.clipped import pass_through, round_clipped


@pytest.mark.parametrize("channels", [1, 3])
def test_clip_gradients_ignore_rounding_errors(channels: int) -> None:
    x, weight = normal(3, 50).requires_grad_(), normal(3, 50, seed=1)
    scale = torch.tensor([0.3, 0.5, 0.7][:channels], dtype=torch.float64)
    scale = (scale[0] if channels == 1 else scale).requires_grad_()
    out = round_clipped(x, scale, -2.0, 1.0)
    by_x, by_scale = torch.autograd.grad((out * weight).sum(), (x, scale))

    shape = scale.detach() if channels == 1 else scale.detach()[:, None]
    ratio = x.detach() / shape
    assert torch.equal(out.detach(), ratio.clamp(-2, 1).round() * shape)
    assert torch.equal(by_x, torch.where((ratio >= -2) & (ratio <= 1), weight, 0.0))
    terms = weight * (torch.where(ratio > 1, 1.0, 0.0) - torch.where(ratio < -2, 2.0, 0.0))
    torch.testing.assert_close(by_scale, terms.sum() if channels == 1 else terms.sum(1))


def test_clip_passes_its_ends_and_skips_the_gradient_of_a_constant_scale() -> None:
    x = torch.tensor([-2.0, 1.0, 1.0001, float("inf")], requires_grad=True)
    [by_x] = torch.autograd.grad(round_clipped(x, torch.tensor(1.0), -2.0, 1.0).sum(), x)
    assert by_x.tolist() == [1, 1, 0, 0]


def test_pass_through_takes_the_value_of_one_and_the_gradient_of_the_other() -> None:
    x = torch.tensor([0.25, -3.0], requires_grad=True)
    y = pass_through(x.square(), x.sign())
    assert y.tolist() == [1, -1]
    [by_x] = torch.autograd.grad(y.sum(), x)
    assert by_x.tolist() == [0.5, -6.0]


def test_best_step_has_the_least_error_of_all_fractions() -> None:
    rows = torch.stack([normal(500), 3 * normal(500, seed=1), torch.zeros(500, dtype=torch.float64)])
    steps = best_step(rows, -4, 3)
    for row, step in zip(rows[:2], steps[:2], strict=True):
        tried = row.abs().max() / 3 * torch.arange(1, 33) / 32
        errors = [((row / s).round().clamp(-4, 3) * s - row).square().sum() for s in tried]
        assert float(step) == pytest.approx(float(tried[int(torch.stack(errors).argmin())]))
        assert 0 < float(step) < float(row.abs().max()) / 3
    assert float(steps[2]) == 0


@pytest.mark.parametrize("shift", [-5.0, -0.3, 0.0, 4.0])
def test_best_range_holds_zero_and_beats_the_data_s_own_range(shift: float) -> None:
    x = normal(4000) + shift
    lower, upper = best_range(x, 15)
    assert float(lower) <= 0 <= float(upper)
    full = range_error(x, x.min().clamp(max=0), x.max().clamp(min=0), 15)
    assert range_error(x, lower, upper, 15) < full


def test_best_range_finds_a_grid_exactly() -> None:
    x = 0.5 * torch.arange(-3, 13, dtype=torch.float64)
    lower, upper = best_range(x, 15)
    assert (float(lower), float(upper)) == (-1.5, 6.0)
    lower, upper = best_range(torch.zeros(9, dtype=torch.float64), 15)
    assert (float(lower), float(upper)) == (0.0, 0.0)

"""NIPQ: the noise has the distribution of the rounding error, the bits learn, and evaluation rounds."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from quantizer_checks import assert_law, backward, gradient, normal, started
from torch import Tensor

from hwsim.formats import Uniform
from trainers.quantizers import make_quantizer
from trainers.quantizers import nipq as module
from trainers.quantizers.nipq import NipqQuantizer, dithered, draw_errors, inverse_distribution, inverse_softplus

ROLES = (("weights", True), ("activations", True), ("activations", False))
FIXED = torch.tensor([0.31, -0.2, 0.45, -0.4, 0.1, 0.0], dtype=torch.float64)


def fixed_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the noise be `FIXED` inside the range and the drawn width the mean one."""

    def draw(x: Tensor, step: Tensor, alpha: Tensor, ends: tuple[float, float], shard: object) -> Tensor:
        return FIXED * ((x >= ends[0] * alpha) & (x <= ends[1] * alpha))

    monkeypatch.setattr(module, "draw_errors", draw)
    monkeypatch.setattr(module, "dithered", lambda bits: bits)


@pytest.mark.parametrize(("role", "signed"), ROLES)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_training_is_the_equation_and_its_derivative(
    role: str, signed: bool, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed_noise(monkeypatch)
    x = torch.tensor([0.2, -0.3, 0.9, -2.5, 3.1, 0.6], dtype=torch.float64)
    weight = normal(6, seed=1)
    quantizer = started("nipq", role, bits, x.abs() if not signed else x, signed=signed)
    with torch.no_grad():
        quantizer.get_parameter("range").copy_(inverse_softplus(torch.tensor(1.5)))
    by_x = backward(quantizer, x, weight)

    inputs = x.clone().requires_grad_()
    theta = quantizer.get_parameter("theta").detach().clone().requires_grad_()
    raw = quantizer.get_parameter("range").detach().clone().requires_grad_()
    alpha, soft = torch.log1p(raw.exp()), 2 + 6 / (1 + (-theta).exp())
    step = alpha / (2 ** (soft - 1) - 1 if signed else 2**soft - 1)
    low = -alpha if signed else torch.zeros_like(alpha)
    is_inside = (x >= low.detach()) & (x <= alpha.detach())
    out = torch.where(is_inside, inputs + FIXED * step, torch.where(x > 0, alpha, low))
    expected = torch.autograd.grad((out * weight).sum(), (inputs, theta, raw))
    torch.testing.assert_close(quantizer(x), out)
    torch.testing.assert_close(by_x, expected[0])
    torch.testing.assert_close(gradient(quantizer, "theta"), 10 * expected[1])
    torch.testing.assert_close(gradient(quantizer, "range"), expected[2] / math.sqrt(6))


def test_noise_is_distributed_as_the_rounding_error() -> None:
    """With a wide step most errors are those of values near 0: far from uniform."""
    torch.manual_seed(0)
    x, step = 0.2 * normal(200_000), torch.tensor(1.0, dtype=torch.float64)
    errors = x.round() - x
    drawn = draw_errors(x, step, torch.tensor(3.0), (-1.0, 1.0))
    assert drawn.abs().max() <= 0.5
    for share in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99):
        assert float((drawn < errors.quantile(share)).double().mean()) == pytest.approx(share, abs=0.01)
    assert abs(float((drawn * errors).mean())) < 1e-3  # drawn anew, not the errors themselves


def test_values_outside_the_range_have_no_noise_and_do_not_shape_it() -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.full((5000,), 0.3), torch.full((5000,), 7.4), torch.full((5000,), -0.2)]).double()
    drawn = draw_errors(x, torch.tensor(1.0), torch.tensor(1.0), (0.0, 1.0))
    assert bool((drawn[5000:] == 0).all())
    torch.testing.assert_close(drawn[:5000], torch.full((5000,), -0.3).double(), atol=1 / 256, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_distribution_of_known_histograms(dtype: torch.dtype) -> None:
    places = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096 - 0.5
    for counts in (torch.zeros(256), torch.full((256,), 9.0)):
        table = inverse_distribution(counts.to(dtype)).double()
        torch.testing.assert_close(table, places, atol=2e-5, rtol=0)
    counts = torch.zeros(256, dtype=dtype)
    counts[3], counts[200] = 1, 3
    table = inverse_distribution(counts)
    bins = ((table + 0.5) * 256).floor()
    assert (bins == 3).sum() == 1024
    assert (bins == 200).sum() == 3072


def test_drawn_widths_are_whole_and_have_the_mean_of_the_bits() -> None:
    torch.manual_seed(0)
    for value in (2.0, 2.3, 5.75, 8.0):
        bits = torch.full((20_000,), value, requires_grad=True)
        drawn = dithered(bits)
        assert set(drawn.detach().round(decimals=4).tolist()) <= {math.floor(value), math.ceil(value)}
        assert float(drawn.detach().mean()) == pytest.approx(value, abs=0.02)
        drawn.sum().backward()  # type: ignore[no-untyped-call]
        assert torch.equal(bits.grad, torch.ones(20_000))  # type: ignore[arg-type]


@pytest.mark.parametrize(("role", "signed"), ROLES)
@pytest.mark.parametrize("bits", range(2, 9))
def test_evaluation_rounds_to_the_learned_format(role: str, signed: bool, bits: int) -> None:
    quantizer = make_quantizer("nipq", role, bits, signed=signed)
    assert quantizer.format == Uniform(bits, signed=signed, narrow=signed)
    x = normal(4, 500).float() if signed else normal(4, 500).float().abs()
    quantizer.initialize(x)
    assert_law(quantizer, x)
    at = torch.from_numpy(quantizer.format.thresholds_as(np.float32).astype(np.float32)) * quantizer.scale
    far = torch.tensor([-1e30, 0.0, 1e-30, 1e30])
    assert_law(quantizer, torch.cat([at, torch.nextafter(at, far[:1]), torch.nextafter(at, far[3:]), far]))
    with torch.no_grad():
        quantizer.get_parameter("theta").fill_(math.log(0.4 / 0.6))  # 2 + 6 * 0.4 = 4.4
    assert quantizer.format.bits == 4
    assert_law(quantizer, x)


def test_start_is_the_step_of_least_error() -> None:
    x = normal(3000)
    quantizer = started("nipq", "weights", 3, x)

    def error(scale: float) -> float:
        return float(((x / scale).round().clamp(-3, 3) * scale - x).square().sum())

    best = float(quantizer.scale)
    assert error(best) <= min(error(float(scale)) for scale in np.linspace(0.05, 2, 60)) * 1.01


def test_last_epochs_round_and_freeze_the_bits() -> None:
    torch.manual_seed(0)
    x = normal(300).float()
    quantizer = make_quantizer("nipq", "weights", 4)
    quantizer.initialize(x)
    assert isinstance(quantizer, NipqQuantizer)
    frozen = []
    for epoch in range(20):
        quantizer.begin_epoch(epoch, 20)
        frozen.append(quantizer.frozen_bits)
    assert frozen == [None] * 17 + [4] * 3
    rounded = quantizer(x)
    assert torch.equal(rounded.detach(), quantizer.levels(x) * quantizer.scale)
    rounded.square().sum().backward()
    assert quantizer.theta.grad is None
    assert quantizer.range.grad is not None
    quantizer.begin_epoch(0, 20)
    assert not torch.equal(quantizer(x), rounded)
    short = [make_quantizer("nipq", "weights", 4) for _ in range(2)]
    short[0].begin_epoch(2, 4)
    short[1].begin_epoch(3, 4)
    assert [quantizer.frozen_bits for quantizer in short] == [None, 4]  # at most a quarter of all epochs


@pytest.mark.parametrize("value", [0.0, 0.5, 1e30, 1e-30])
@pytest.mark.parametrize(("role", "signed"), ROLES)
def test_degenerate_data_have_finite_outputs_and_gradients(role: str, signed: bool, value: float) -> None:
    quantizer = make_quantizer("nipq", role, 4, signed=signed)
    x = torch.full((32,), value)
    quantizer.initialize(x)
    for frozen in (None, 4):
        quantizer.frozen_bits = frozen  # type: ignore[assignment]
        by_x = backward(quantizer, x, torch.ones(32))
        assert bool(by_x.isfinite().all())
        assert all(bool(p.grad.isfinite().all()) for p in quantizer.parameters() if p.grad is not None)
    assert_law(quantizer, x)


@pytest.mark.parametrize("alpha", [1e-30, 1e-3, 1.0, 25.0, 1e30])
def test_inverse_softplus(alpha: float) -> None:
    raw = inverse_softplus(torch.tensor(alpha, dtype=torch.float64))
    assert float(torch.nn.functional.softplus(raw)) == pytest.approx(alpha, rel=1e-7)


@pytest.mark.parametrize(
    ("bits", "options", "rule"),
    [
        (1, {}, r"bits must be in 2\.\.8 for nipq, got 1"),
        (9, {}, r"bits must be in 2\.\.8 for nipq, got 9"),
        (4, {"quantized_epochs": -1}, r"quantized_epochs must be an integer in 0\.\.1000 for nipq, got -1"),
    ],
)
def test_bad_requests_name_the_rule(bits: int, options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        make_quantizer("nipq", "weights", bits, **options)

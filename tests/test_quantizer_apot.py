"""APoT: levels, weight normalisation, the clipping point's gradient and where it starts."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwsim.formats import Apot
from trainers.optimizer import make_optimizer
from trainers.quantizers import make_quantizer
from trainers.quantizers.apot import ApotQuantizer


def build(role: str = "weights", bits: int = 4, **options: Any) -> ApotQuantizer:
    quantizer = make_quantizer("apot", role, bits, signed=role == "weights", **options)
    assert isinstance(quantizer, ApotQuantizer)
    return quantizer


def clipping_point(quantizer: ApotQuantizer) -> float:
    return float(quantizer.step.detach()) * quantizer.format.max_level


@pytest.mark.parametrize(
    ("role", "bits", "levels"),
    [
        ("weights", 2, [-1, 0, 1]),
        ("weights", 3, [-1, -0.5, -0.25, 0, 0.25, 0.5, 1]),
        ("activations", 2, [0, 0.25, 0.5, 1]),
        ("activations", 3, [0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_levels_are_those_of_the_paper(role: str, bits: int, levels: list[float]) -> None:
    quantizer = build(role, bits, alpha=2.0, normalize=False)
    quantizer.initialize(torch.ones(4))
    x = torch.linspace(-3, 3, 10_001) if role == "weights" else torch.linspace(0, 3, 10_001)
    assert quantizer(x).detach().unique().tolist() == pytest.approx([2 * level for level in levels])
    assert quantizer.format == Apot(bits, signed=role == "weights")


def test_weights_are_normalised_and_keep_their_size() -> None:
    """Moved and stretched weights get the same codes; the outputs stretch with them and do not move."""
    x = torch.randn(40, 9, generator=torch.Generator().manual_seed(1))
    plain, changed = build(alpha=3.0), build(alpha=3.0)
    for quantizer, data in ((plain, x), (changed, 4 * x + 64)):
        quantizer.initialize(data)
    assert clipping_point(plain) == pytest.approx(3.0)
    assert float(plain.scale) == pytest.approx(3.0 * float(x.std()) / plain.format.max_level)
    assert torch.equal(plain.codes(x), changed.codes(4 * x + 64))
    torch.testing.assert_close(changed(4 * x + 64), 4 * plain(x))
    assert float(build(normalize=False).input_offset) == 0


def test_grid_follows_the_weights_in_training_and_is_fixed_in_eval_mode() -> None:
    x = torch.randn(40, 9, generator=torch.Generator().manual_seed(1))
    quantizer = build()
    quantizer.initialize(x)
    before = float(quantizer.scale)
    quantizer.eval()(3 * x)
    assert float(quantizer.scale) == before
    quantizer.train()(3 * x)
    assert float(quantizer.scale) == pytest.approx(3 * before)
    other = build()
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other.codes(x), quantizer.codes(x))


@pytest.mark.parametrize(("role", "normalize"), [("weights", True), ("weights", False), ("activations", True)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_those_of_the_paper(role: str, normalize: bool, sign: float) -> None:
    """Equation 6 in normalised units; the step's is alpha's over the largest level."""
    generator = torch.Generator().manual_seed(2)
    quantizer = build(role, 4, normalize=normalize).double()
    x = torch.randn(30, 10, generator=generator, dtype=torch.float64) + (0.3 if role == "weights" else 0)
    x = x if role == "weights" else x.abs()
    quantizer.initialize(x)
    with torch.no_grad():
        quantizer.step.mul_(0.5 * sign)  # so that some values lie beyond the clipping point
    weight = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    inputs = x.clone().requires_grad_()
    out = quantizer(inputs)
    (out * weight).sum().backward()

    is_normal = normalize and role == "weights"
    mean, deviation = (x.mean(), x.std()) if is_normal else (torch.tensor(0.0), torch.tensor(1.0))
    alpha = abs(clipping_point(quantizer))
    ratio = (x - mean) / deviation / alpha
    projected = out.detach() / deviation / alpha
    outside = ratio.abs() > 1
    assert 10 < int(outside.sum()) < 200
    by_alpha = (deviation * weight * torch.where(outside, ratio.sign(), projected - ratio)).sum()
    assert inputs.grad is not None
    assert quantizer.step.grad is not None
    torch.testing.assert_close(inputs.grad, torch.where(outside, 0.0, weight))
    torch.testing.assert_close(quantizer.step.grad * quantizer.format.max_level, sign * by_alpha, rtol=1e-7, atol=1e-7)


def test_start_has_the_least_squared_error_of_its_candidates() -> None:
    x = torch.randn(2000, generator=torch.Generator().manual_seed(3))
    for role, bits, data in (("weights", 2, x), ("weights", 4, x), ("activations", 3, x.relu())):
        quantizer = build(role, bits, normalize=False)
        quantizer.initialize(data)

        def error(factor: float, quantizer: ApotQuantizer = quantizer, data: Tensor = data) -> float:
            other = build(quantizer.role, quantizer.bits, alpha=factor * clipping_point(quantizer), normalize=False)
            other.initialize(data)
            return float((other(data) - data).square().sum().detach())

        assert error(1.0) <= min(error(2 ** (-1 / 8)), error(2 ** (1 / 8)))
        assert 0.3 < clipping_point(quantizer) <= float(data.abs().max()) + 1e-6


@pytest.mark.parametrize("role", ["weights", "activations"])
@pytest.mark.parametrize("value", [0.0, 0.7, 1e-36, 1e30])
def test_outputs_and_gradients_stay_finite(role: str, value: float) -> None:
    quantizer = build(role)
    constant, mixed = torch.full((4, 9), value), torch.full((4, 9), value)
    mixed[0, 0] = 1.0
    for start in (constant, mixed):
        quantizer.initialize(start)
        for data in (constant, mixed, torch.ones(4, 9)):
            x = data.clone().requires_grad_()
            out = quantizer(x)
            out.mean().backward()
            assert out.isfinite().all()
            assert x.grad is not None
            assert x.grad.isfinite().all()
            assert quantizer.step.grad is not None
            assert quantizer.step.grad.isfinite()


def test_clipping_point_has_a_rate_of_its_own_and_decays() -> None:
    model = nn.ModuleList([build(), build("activations"), nn.Linear(2, 2)])
    groups = make_optimizer(model, 0.9, 1e-4).param_groups
    assert [(group["factor"], group["weight_decay"], len(group["params"])) for group in groups] == [
        (0.5, 1e-4, 1),
        (2.5, 1e-4, 1),
        (1.0, 1e-4, 2),
    ]


def test_clipping_point_outlives_a_change_of_bits() -> None:
    before, after = build(bits=5, alpha=1.75), build(bits=3)
    before.initialize(torch.eye(3))
    after.initialize(torch.ones(3))
    after.continue_from(before)
    assert clipping_point(after) == pytest.approx(1.75)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bits must be in 2\.\.8 for apot, got 9"):
        build(bits=9)
    with pytest.raises(ValueError, match="signed weights and unsigned activations, unsigned weights were asked for"):
        make_quantizer("apot", "weights", 4, signed=False)
    with pytest.raises(ValueError, match="alpha must be positive and finite for apot, got 0"):
        build(alpha=0)
    with pytest.raises(ValueError, match="cannot quantize NaN"):
        build().codes(torch.tensor([math.nan]))

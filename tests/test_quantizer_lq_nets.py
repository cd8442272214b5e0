"""LQ-Nets: levels from a basis, the least-squares fit, and what gradients pass."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.quantizers import lq_nets, make_quantizer
from trainers.quantizers.half_steps import half_steps, representatives
from trainers.quantizers.lq_nets import LqNetsQuantizer, search


def build(role: str = "weights", bits: int = 3, basis: list[float] | None = None, **options: Any) -> LqNetsQuantizer:
    """A quantizer with a given basis and scale 1 over the basis' integers."""
    quantizer = make_quantizer("lq_nets", role, bits, signed=role == "weights", **options)
    assert isinstance(quantizer, LqNetsQuantizer)
    if basis is not None:
        quantizer.basis.copy_(torch.tensor(basis) / max(basis))
        quantizer.gain.fill_(max(basis))
    return quantizer


def squared_error(quantizer: LqNetsQuantizer, x: Tensor) -> float:
    return float((quantizer.eval()(x) - x).square().sum())


@pytest.mark.parametrize("role", ["weights", "activations"])
@pytest.mark.parametrize("basis", [[0.5, 1.0], [0.3, 0.7, 1.0], [0.2, 0.2, 1.0], [0.0, 0.4, 1.0], [0.1, 0.2, 0.4, 1.0]])
def test_levels_are_the_sums_of_the_rounded_basis(role: str, basis: list[float]) -> None:
    quantizer = build(role, len(basis), basis)
    integers = np.rint(np.array(basis, np.float32) * 255)
    signs = (-1, 1) if role == "weights" else (0, 1)
    expected = sorted({int(np.dot(integers, e)) for e in product(signs, repeat=len(basis))})
    assert quantizer.format.levels[quantizer.format.codes].tolist() == expected
    assert float(quantizer.scale) == pytest.approx(1 / 255)


@pytest.mark.parametrize("basis_bits", [2, 3, 8])
@pytest.mark.parametrize("role", ["weights", "activations"])
def test_law_holds_on_every_threshold(role: str, basis_bits: int) -> None:
    """With two or three bits many sums coincide, and mid points are hit exactly."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        quantizer = build(role, 4, torch.rand(4, generator=generator).tolist(), basis_bits=basis_bits)
        quantizer.gain.fill_(quantizer.highest)  # scale 1
        fmt = quantizer.eval().format
        middle = (fmt.thresholds_as(np.float32)).astype(np.float32)
        x = torch.from_numpy(np.concatenate([middle, np.nextafter(middle, np.float32(-np.inf)), middle - 0.5]))
        codes = quantizer.codes(x)
        assert codes.tolist() == fmt.encode(x.numpy()).tolist()
        assert torch.equal(quantizer(x), torch.from_numpy(fmt.decode(codes.numpy()).astype(np.float32)))


@pytest.mark.parametrize("role", ["weights", "activations"])
def test_fit_is_the_least_squares_basis_for_the_codes(role: str) -> None:
    generator = torch.Generator().manual_seed(2)
    quantizer = build(role, 3, [0.25, 0.5, 1.0])
    x = torch.randn(4000, generator=generator)
    x = x if role == "weights" else x.abs()
    places, encodings = quantizer._nearest(x)
    expected = torch.linalg.lstsq(encodings[places].double(), x.double()[:, None]).solution.flatten()
    quantizer.improve(x, places, encodings, kept=0.0)
    torch.testing.assert_close((quantizer.basis * quantizer.gain).double(), expected, rtol=2e-3, atol=2e-3)


def test_a_step_moves_a_tenth_of_the_way() -> None:
    x = torch.randn(4000, generator=torch.Generator().manual_seed(3))
    start, whole, tenth = (build("weights", 2, [0.4, 1.0]) for _ in range(3))
    whole.improve(x, *whole._nearest(x), kept=0.0)
    before = tenth(x)
    torch.testing.assert_close(
        tenth.basis * tenth.gain, 0.9 * start.basis * start.gain + 0.1 * whole.basis * whole.gain
    )
    assert torch.equal(before, start.eval()(x))  # quantized before the basis moved
    tenth.eval()(x)
    assert torch.equal(tenth.eval()(x), tenth(x))


def test_activations_are_fitted_on_the_first_samples_and_weights_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lq_nets, "SEEN", 100)
    x = torch.rand(8, 50, generator=torch.Generator().manual_seed(7))
    for role, same in (("activations", True), ("weights", False)):
        whole, first = build(role), build(role)
        whole(x)
        first(torch.cat([x[:2], 3 * x[2:]]))
        assert torch.equal(whole.basis, first.basis) == same


def test_levels_in_the_data_are_found() -> None:
    """Data that lie on the levels of another basis are quantized without error in the end."""
    generator = torch.Generator().manual_seed(4)
    for role, signs in (("weights", (-1.0, 1.0)), ("activations", (0.0, 1.0))):
        levels = torch.tensor(
            [sum(v * e for v, e in zip((0.5, 0.9), es, strict=True)) for es in product(signs, repeat=2)]
        )
        x = 3 * levels[torch.randint(4, (500,), generator=generator)]
        quantizer = build(role, 2)
        quantizer.initialize(x)
        torch.testing.assert_close(quantizer.eval()(x), x, rtol=0.01, atol=0.01)


def test_start_is_better_than_uniform_levels_and_channels_have_their_own_scale() -> None:
    x = torch.randn(8, 500, generator=torch.Generator().manual_seed(5)) * 2.0 ** torch.arange(8)[:, None]
    single, several = build(), build(channels=8)
    for quantizer in (single, several):
        quantizer.initialize(x)
    assert several.scale.shape == (8,)
    assert squared_error(several, x) < squared_error(single, x)
    errors = (several.eval()(x) - x).square().mean(1) / x.square().mean(1)
    assert (
        float(errors.max()) < 0.05
    )  # eight levels; the best possible for a normal distribution leave 0.0345 (Max 1960)
    assert several.scale.tolist() == pytest.approx((float(several.scale[0]) * 2.0 ** np.arange(8)).tolist(), rel=0.2)


def test_gradients_pass_up_to_the_largest_activation() -> None:
    weights, activations = build("weights", 2, [0.5, 1.0]), build("activations", 2, [0.5, 1.0])
    x = torch.tensor([-9.0, -1.5, 0.2, 1.4, 1.6, 9.0])
    for quantizer, expected in ((weights, [1] * 6), (activations, [1, 1, 1, 1, 0, 0])):
        inputs = x.clone().requires_grad_()
        quantizer.eval()(inputs).sum().backward()
        assert inputs.grad is not None
        assert inputs.grad.tolist() == expected
    assert not list(weights.parameters())


@pytest.mark.parametrize("role", ["weights", "activations"])
@pytest.mark.parametrize("value", [0.0, 0.7, 1e-36, 1e30, 3e38])
def test_outputs_gradients_and_basis_stay_finite(role: str, value: float) -> None:
    for channels in (None, 4) if role == "weights" else (None,):
        quantizer = build(role, 4, channels=channels)
        quantizer.initialize(torch.full((4, 9), value))
        for data in (torch.full((4, 9), value), torch.ones(4, 9), torch.zeros(4, 9), torch.full((4, 9), 1e30)):
            for _ in range(3):
                x = data.clone().requires_grad_()
                out = quantizer(x)
                out.mean().backward()
                assert out.isfinite().all()
                assert x.grad is not None
                assert x.grad.isfinite().all()
                assert quantizer.basis.isfinite().all()
                assert 0 < float(quantizer.scale.min()) <= float(quantizer.scale.max()) < math.inf
                assert quantizer.format.count > 1


def test_state_saves_and_loads() -> None:
    x = torch.randn(5, 70, generator=torch.Generator().manual_seed(6))
    source, target = build(channels=5), build(channels=5)
    source.initialize(x)
    target.load_state_dict(source.state_dict())
    assert target.format == source.format
    assert torch.equal(target(x), source(x))
    assert torch.equal(target.basis, source.basis)  # both moved alike


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bits must be in 2\.\.8 for lq_nets, got 1"):
        build(bits=1)
    with pytest.raises(ValueError, match=r"basis_bits must be an integer in 2\.\.16 for lq_nets, got 17"):
        build(basis_bits=17)
    with pytest.raises(ValueError, match="signed weights and unsigned activations, signed activations were asked for"):
        make_quantizer("lq_nets", "activations", 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [(0, 1, 2, 3), (0, 0, 5, 5), (0, 2, 5, 7), (0, 3, 6, 7)])
def test_table_of_half_steps_is_the_search(levels: tuple[int, ...], dtype: torch.dtype) -> None:
    """All halves and quarters, the floats next to them, what lies beyond the ends, and infinity."""
    table = torch.tensor(levels, dtype=dtype)
    quarters = torch.arange(-12, 44, dtype=dtype) / 4
    beside = [torch.nextafter(quarters, torch.tensor(end, dtype=dtype)) for end in (-math.inf, math.inf)]
    ratio = torch.cat([quarters, *beside, torch.tensor([math.inf, -math.inf, -0.0], dtype=dtype)])
    places = search(representatives(8, table), table)[half_steps(2 * ratio, 8)]
    assert torch.equal(places, search(ratio, table))
    assert half_steps(torch.tensor([math.nan]), 8).tolist() == [0]
    assert 0 not in half_steps(2 * ratio, 8)

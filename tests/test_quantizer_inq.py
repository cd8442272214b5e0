"""INQ: which weights are frozen when, and that they stay where they are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwsim.formats import PowerOfTwo
from trainers.quantizers import make_quantizer
from trainers.quantizers.inq import InqQuantizer

WEIGHTS = torch.tensor([[0.9, -0.1, 0.3, -0.6], [0.02, 0.45, -0.2, 0.05]])


def build(bits: int = 3, x: Tensor = WEIGHTS, **options: Any) -> InqQuantizer:
    quantizer = make_quantizer("inq", "weights", bits, **options)
    assert isinstance(quantizer, InqQuantizer)
    quantizer.initialize(x)
    return quantizer


@pytest.mark.parametrize(("bits", "levels"), [(2, 3), (3, 5), (4, 9), (5, 17)])
def test_levels_are_those_of_the_paper(bits: int, levels: int) -> None:
    """n1 = floor(log2(4 max / 3)), n2 = n1 + 1 - 2^(b-1) / 2."""
    quantizer = build(bits)
    magnitudes = quantizer.format.levels[quantizer.format.codes[levels // 2 + 1 :]] * float(quantizer.scale)
    assert quantizer.format.count == levels
    assert magnitudes[-1] == 2.0**0  # floor(log2(1.2))
    assert magnitudes[0] == 2.0 ** (0 + 1 - 2 ** (bits - 1) / 2)


@pytest.mark.parametrize(("largest", "top"), [(0.75, 1.0), (0.74, 0.5), (1.4, 1.0), (1.5, 2.0), (0.0, 1.0)])
def test_top_level_follows_the_largest_weight(largest: float, top: float) -> None:
    assert float(build(x=torch.tensor([largest, 0.0])).scale) == top


def test_the_largest_weights_are_frozen_first() -> None:
    quantizer = build(4)  # magnitudes 1/8, 1/4, 1/2, 1
    assert torch.equal(quantizer(WEIGHTS), WEIGHTS)
    quantizer.begin_epoch(0, 4)
    out = quantizer(WEIGHTS)
    expected = [[1.0, -0.1, 0.25, -0.5], [0.02, 0.5, -0.2, 0.05]]
    torch.testing.assert_close(out, torch.tensor(expected), rtol=0, atol=0)


def test_frozen_weights_stay_and_have_no_gradient() -> None:
    quantizer = build(4)
    quantizer.begin_epoch(0, 4)
    first = quantizer(WEIGHTS)
    moved = (-WEIGHTS).requires_grad_()
    out = quantizer(moved)
    out.sum().backward()
    frozen = first != WEIGHTS
    assert int(frozen.sum()) == 4
    assert torch.equal(out[frozen], first[frozen])
    assert torch.equal(out[~frozen], -WEIGHTS[~frozen])
    assert moved.grad is not None
    assert torch.equal(moved.grad, (~frozen).float())
    assert torch.equal(quantizer.eval()(moved)[frozen], first[frozen])
    assert torch.equal(quantizer.levels(moved)[frozen] * quantizer.scale, first[frozen])


@pytest.mark.parametrize(
    ("epochs", "portions"),
    [
        (8, [0.5, 0.5, 0.75, 0.75, 0.875, 0.875, 1, 1]),
        (4, [0.5, 0.75, 0.875, 1]),
        (5, [0.5, 0.75, 0.875, 1, 1]),
        (2, [0.75, 1]),
        (1, [1]),
    ],
)
def test_portions_rise_with_the_epochs(epochs: int, portions: list[float]) -> None:
    x = torch.randn(16, 25, generator=torch.Generator().manual_seed(1))
    quantizer = build(4, x)
    for epoch, portion in enumerate(portions):
        quantizer.begin_epoch(epoch, epochs)
        before = quantizer.kept.clone()
        quantizer(x)
        assert int((quantizer.kept >= 0).sum()) == portion * 400
        if epoch:
            assert torch.equal(quantizer.kept[before >= 0], before[before >= 0])
    assert torch.equal(quantizer(x), quantizer.eval()(x))


def test_an_epoch_begun_again_freezes_nothing_more() -> None:
    quantizer = build(4)
    quantizer.begin_epoch(1, 4)
    quantizer(WEIGHTS)
    kept = quantizer.kept.clone()
    quantizer.begin_epoch(1, 4)
    quantizer(WEIGHTS.flip(1))
    assert torch.equal(quantizer.kept, kept)


def test_state_of_any_round_loads_into_a_new_quantizer() -> None:
    source = build(4)
    for epoch in range(3):
        target = make_quantizer("inq", "weights", 4)
        assert isinstance(target, InqQuantizer)
        nn.ModuleDict({"q": target}).load_state_dict(nn.ModuleDict({"q": source}).state_dict())
        target.begin_epoch(epoch, 3)
        source.begin_epoch(epoch, 3)
        assert torch.equal(target(WEIGHTS), source(WEIGHTS))
        assert torch.equal(target.codes(WEIGHTS), source.codes(WEIGHTS))


def test_fewer_exponents_keep_the_largest() -> None:
    assert build(5, exponents=3).format == PowerOfTwo(5, exponents=3)
    assert build(5, exponents=3).eval()(WEIGHTS).abs().unique().tolist() == [0, 0.25, 0.5, 1]


def test_bad_requests_are_refused() -> None:
    for bits in (1, 8):
        with pytest.raises(ValueError, match=rf"bits must be in 2\.\.7 for inq, got {bits}"):
            make_quantizer("inq", "weights", bits)
    with pytest.raises(ValueError, match="inq does not quantize activations"):
        make_quantizer("inq", "activations", 4)
    with pytest.raises(ValueError, match="levels are signed"):
        make_quantizer("inq", "weights", 4, signed=False)
    for portions in ((), (0.5,), (0.5, 0.5, 1), (0, 1), (0.7, 0.5, 1)):
        with pytest.raises(ValueError, match="portions must be above 0 and rise to 1"):
            make_quantizer("inq", "weights", 4, portions=portions)

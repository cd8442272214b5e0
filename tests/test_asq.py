"""ASQ's quantizer: its adapter, its two readings, its law per sample, its gradients, and how it trains."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from trainers.layers import QuantConv2d, QuantLinear
from trainers.optimizer import make_optimizer
from trainers.promises import law_holds
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers import make_quantizer
from trainers.quantizers.asq import READINGS, AsqQuantizer
from trainers.quantizers.base import SMALLEST_SCALE

CASES = [
    pytest.param(bits, signed, reading, id=f"{bits}-{'signed' if signed else 'unsigned'}-{reading}")
    for bits in range(2, 9)
    for signed in (False, True)
    for reading in READINGS
]
every_case = pytest.mark.parametrize(("bits", "signed", "reading"), CASES)


def asq(in_channels: int, bits: int = 4, signed: bool = False, reading: str = "adapted_step") -> AsqQuantizer:
    quantizer = make_quantizer(
        "asq", "activations", bits, signed=signed, in_channels=in_channels, channels=7, dequantize=reading
    )
    assert isinstance(quantizer, AsqQuantizer)
    return quantizer


def images(channels: int = 12, samples: int = 6, seed: int = 0) -> Tensor:
    """Samples of very different sizes, so that their factors differ."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, channels, 5, 3, generator=generator)
    return x * torch.logspace(-1, 1, samples).reshape(-1, 1, 1, 1)


@torch.no_grad()
def stirred(quantizer: AsqQuantizer, x: Tensor) -> AsqQuantizer:
    """The quantizer started on x, with an adapter that is far from its start."""
    torch.manual_seed(1)
    quantizer.initialize(x)
    quantizer.adapter.last.weight.normal_(0, 0.5)
    return quantizer


@pytest.mark.parametrize(("channels", "widths"), [(1, [1, 1]), (7, [7, 1]), (8, [8, 2, 1]), (64, [64, 16, 1])])
def test_adapter_has_the_released_shape_and_start(channels: int, widths: list[int]) -> None:
    torch.manual_seed(0)
    quantizer = asq(channels)
    x = torch.rand(5, channels, 4, 4)
    assert quantizer.adapter(x).tolist() == [1.0] * 5
    quantizer.initialize(x)
    layers = [layer for layer in quantizer.adapter.modules() if isinstance(layer, nn.Linear)]
    assert [layers[0].in_features, *(layer.out_features for layer in layers)] == widths
    assert all(layer.bias is not None for layer in layers)
    assert layers[-1].bias.tolist() == [1.0]
    assert 0 < float(layers[-1].weight.detach().abs().max()) < 0.05
    if len(layers) == 2:
        assert 0 < float(layers[0].weight.detach().abs().max()) <= channels**-0.5  # nn.Linear's own start
    torch.testing.assert_close(quantizer.adapter(x), torch.ones(5), atol=0.1, rtol=0)


def test_construction_draws_no_random_numbers() -> None:
    before = torch.random.get_rng_state()
    asq(64)
    assert torch.equal(before, torch.random.get_rng_state())


def expected_beta(quantizer: AsqQuantizer, x: Tensor) -> Tensor:
    """The adapter in float64, as METHODS prints it."""
    state = {name: value.double() for name, value in quantizer.adapter.state_dict().items()}
    value = x.double().mean((2, 3)) if x.dim() == 4 else x.double()
    for i in range(len(quantizer.adapter.layers)):
        value = linear(value, state[f"layers.{i}.weight"], state[f"layers.{i}.bias"]).relu()
    return value[:, 0].clamp(min=1e-8)


@pytest.mark.parametrize("channels", [3, 12])
@pytest.mark.parametrize("pooled", [True, False])
def test_beta_is_the_papers(channels: int, pooled: bool) -> None:
    x = images(channels)
    x = x if pooled else x[:, :, 0, 0]
    quantizer = stirred(asq(channels), x)
    torch.testing.assert_close(quantizer.adapter(x).double(), expected_beta(quantizer, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [3, 64])
@pytest.mark.parametrize("size", [100.0, 1e4])
def test_large_inputs_start_with_an_adapter_that_is_alive(channels: int, size: float) -> None:
    x = size * torch.rand(32, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    for seed in range(5):
        torch.manual_seed(seed)
        quantizer = make_quantizer("asq", "activations", 4, signed=False, in_channels=channels)
        assert isinstance(quantizer, AsqQuantizer)
        quantizer.initialize(x)
        beta = quantizer.adapter(x)
        assert ((beta - 1).abs() <= 0.5 + 1e-5).all()
        quantizer(x).square().sum().backward()
        assert quantizer.adapter.last.bias.grad is not None
        assert float(quantizer.adapter.last.bias.grad.abs()) > 0


@pytest.mark.parametrize("channels", [3, 64, 512])
def test_inputs_of_usual_size_start_with_the_weights_as_drawn(channels: int) -> None:
    quantizer = make_quantizer("asq", "activations", 4, signed=False, in_channels=channels)
    assert isinstance(quantizer, AsqQuantizer)
    torch.manual_seed(1)
    quantizer.initialize(torch.rand(32, channels, 4, 4))
    started = quantizer.adapter.last.weight.detach().clone()
    torch.manual_seed(1)
    torch.rand(32, channels, 4, 4)
    for layer in quantizer.adapter.layers:
        assert isinstance(layer, nn.Linear)
        layer.reset_parameters()
    assert torch.equal(started, quantizer.adapter.last.weight.data.normal_(0, 0.01))


def test_a_dead_adapter_stays_positive() -> None:
    quantizer = asq(3)
    with torch.no_grad():
        quantizer.adapter.last.bias.fill_(-1)
    x = torch.rand(2, 3, 4, 4)
    assert quantizer.adapter(x).tolist() == pytest.approx([1e-8] * 2)
    assert float(quantizer.scale_for(x).min()) >= SMALLEST_SCALE
    assert quantizer(x).isfinite().all()


@every_case
@pytest.mark.parametrize("shape", [(6, 12), (6, 12, 5, 3)])
def test_law_holds_per_sample(bits: int, signed: bool, reading: str, shape: tuple[int, ...]) -> None:
    x = images() if len(shape) == 4 else images()[:, :, 0, 0]
    x = x if signed else x.abs()
    quantizer = stirred(asq(12, bits, signed, reading), x).eval()
    assert law_holds(quantizer, x)
    beta = quantizer.adapter(x).detach().reshape(-1, *[1] * (x.dim() - 1))
    assert float(beta.max()) > 1.2 * float(beta.min())
    codes = quantizer.codes(x).numpy()
    np.testing.assert_array_equal(codes, quantizer.format.encode((x / (quantizer.scale * beta)).numpy()))
    scale = quantizer.scale * beta if reading == "adapted_step" else quantizer.scale.expand(beta.shape)
    decoded = torch.from_numpy(quantizer.format.decode(codes).astype(np.float32))
    assert torch.equal(quantizer(x).detach(), decoded * scale)


def relaxed(x: Tensor, step: Tensor, beta: Tensor, fixed: tuple[Tensor, Tensor, Tensor], reading: str) -> Tensor:
    """The function whose slopes the straight-through gradients are: rounding adds a constant to the ratio."""
    rounding, nearest, inside = fixed
    scale = step * beta
    levels = torch.where(inside, x / scale + rounding, nearest)
    return levels * (scale if reading == "adapted_step" else step)


@every_case
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_the_slopes_of_the_relaxed_function(bits: int, signed: bool, reading: str, sign: float) -> None:
    """Of x through the adapter too: the relaxed function is differentiated whole, by autograd, in float64."""
    generator = torch.Generator().manual_seed(2)
    quantizer = asq(8, bits, signed, reading).double()
    x = torch.randn(4, 8, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()
    stirred(quantizer, x.detach())
    with torch.no_grad():
        quantizer.step.mul_(0.6 * sign)
    weight = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    (quantizer(x) * weight).sum().backward()

    fmt, plain = quantizer.format, x.detach().clone().requires_grad_()
    step = quantizer.step.detach().abs().requires_grad_()
    adapter = {name: value.detach().clone().requires_grad_() for name, value in quantizer.adapter.named_parameters()}
    beta = torch.func.functional_call(quantizer.adapter.eval(), adapter, plain).reshape(-1, 1, 1, 1)
    ratio = (plain / (step * beta)).detach()
    inside = (ratio >= fmt.min_level) & (ratio <= fmt.max_level)
    assert inside.any()
    assert not inside.all()
    nearest = quantizer.levels(plain).double()
    loss = relaxed(plain, step, beta, (nearest - ratio, nearest, inside), reading) * weight
    loss.sum().backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(x.grad, plain.grad, rtol=1e-9, atol=1e-9)
    assert step.grad is not None
    factor = sign / math.sqrt(fmt.max_level * x.numel())
    torch.testing.assert_close(quantizer.step.grad, step.grad * factor, rtol=1e-9, atol=1e-9)
    for name, parameter in quantizer.adapter.named_parameters():
        torch.testing.assert_close(parameter.grad, adapter[name].grad, rtol=1e-9, atol=1e-9)


def test_gradient_of_beta_is_not_scaled() -> None:
    """By hand: one sample, v = (0.4, 1.6, 20), q = (0, 2, 15); r = (-0.4, 0.4, 15)."""
    quantizer = asq(3)
    with torch.no_grad():
        quantizer.step.fill_(2.0)
    x = torch.tensor([[0.8, 3.2, 40.0]], requires_grad=True)
    assert quantizer(x).tolist() == [[0.0, 4.0, 30.0]]
    quantizer(x).sum().backward()
    assert quantizer.adapter.last.bias.grad is not None
    assert quantizer.step.grad is not None
    assert quantizer.adapter.last.bias.grad.tolist() == pytest.approx([2 * 15.0])
    assert float(quantizer.step.grad) == pytest.approx(15.0 / math.sqrt(15 * 3))
    assert x.grad is not None
    assert x.grad.tolist() == [[1.0, 1.0, 0.0]]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(
    "x",
    [torch.zeros(4, 9), torch.full((4, 9), 0.7), torch.full((4, 9), 1e30), torch.full((4, 9), 1e-36), torch.eye(4, 9)],
    ids=["zero", "constant", "huge", "tiny", "sparse"],
)
def test_outputs_and_gradients_stay_finite(reading: str, x: Tensor) -> None:
    for bias in (1.0, -1.0, 1e30):
        quantizer = asq(9, reading=reading)
        quantizer.initialize(x)
        quantizer.adapter.last.bias.data.fill_(bias)
        for data in (x, torch.ones(4, 9), torch.full((4, 9), 1e30)):
            for shaped in (data, data.reshape(4, 9, 1, 1).expand(4, 9, 2, 2)):
                inputs = shaped.clone().requires_grad_()
                out = quantizer(inputs)
                out.mean().backward()
                assert out.isfinite().all()
                for tensor in (inputs, *quantizer.parameters()):
                    assert tensor.grad is not None
                    assert tensor.grad.isfinite().all()


def test_peaks_follow_the_training_batches_only() -> None:
    quantizer = asq(8)
    x = torch.ones(2, 8, 2, 2)
    quantizer.initialize(x)
    assert float(quantizer.adapter.peaks[0]) == 1.0
    quantizer.train()(3 * x)
    assert float(quantizer.adapter.peaks[0]) == 3.0
    quantizer(x)
    assert float(quantizer.adapter.peaks[0]) == pytest.approx(2.97)
    before = quantizer.adapter.peaks.clone()
    quantizer.eval()(50 * x)
    assert torch.equal(quantizer.adapter.peaks, before)


def test_state_saves_and_loads() -> None:
    x = images()
    source, target = stirred(asq(12), x).eval(), asq(12).eval()
    target.load_state_dict(source.state_dict())
    assert torch.equal(source(x), target(x))


def test_one_batch_can_be_overfitted_by_the_adapter_alone() -> None:
    """Samples of different sizes and one step: the adapter learns a factor for each."""
    x = images().abs()
    quantizer = asq(12)
    torch.manual_seed(0)
    quantizer.initialize(x)
    optimizer = torch.optim.Adam(quantizer.adapter.parameters(), lr=0.02)
    losses = []
    for _ in range(80):
        loss = ((quantizer(x) - x).square().mean((1, 2, 3)) / x.square().mean((1, 2, 3))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"bits": 1, "in_channels": 3}, r"bits must be in 2\.\.8"),
        ({"bits": 9, "in_channels": 3}, r"bits must be in 2\.\.8"),
        ({"bits": 4}, "asq needs in_channels, the channels of what it quantizes, got None"),
        ({"bits": 4, "in_channels": 0}, "asq needs in_channels.*got 0"),
        (
            {"bits": 4, "in_channels": 3, "dequantize": "beta"},
            "dequantize must be one of adapted_step, step, got 'beta'",
        ),
    ],
)
def test_bad_requests_name_rule_and_value(options: dict[str, Any], rule: str) -> None:
    bits = options.pop("bits")
    with pytest.raises(ValueError, match=rule):
        make_quantizer("asq", "activations", bits, **options)


def test_weights_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="asq does not quantize weights"):
        make_quantizer("asq", "weights", 4)
    for shape in ((2, 3, 4, 4), (2, 3), (2, 5, 4)):
        with pytest.raises(ValueError, match=r"takes \(N, 5\) or \(N, 5, H, W\), got"):
            asq(5)(torch.ones(shape))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 4)
    )


def test_every_layer_gets_an_adapter_for_its_channels_and_the_first_signed_codes() -> None:
    config = QuantizationConfig(activations="asq", first_last_bits=None, activation_options={"dequantize": "step"})
    model = quantize(network(), config, images(3))
    quantizers = [module for module in model.modules() if isinstance(module, AsqQuantizer)]
    assert [q.adapter.layers[0].in_features for q in quantizers] == [3, 16, 8]
    assert [q.format.signed for q in quantizers] == [True, False, False]
    assert {q.dequantize for q in quantizers} == {"step"}


def test_layers_compute_with_the_adapted_operands() -> None:
    config = QuantizationConfig(activations="asq", first_last_bits=None)
    first, *_, last = quantize(network(), config, images(3)).eval().children()
    assert isinstance(first, QuantConv2d)
    assert isinstance(last, QuantLinear)
    x = images(3, seed=1)
    assert torch.equal(
        first(x), conv2d(first.activation_quantizer(x), first.weight_quantizer(first.weight), first.bias, padding=1)
    )
    assert last(torch.rand(5, 8)).shape == (5, 4)


def test_adapter_trains_and_decays_as_the_weights_and_the_step_does_not_decay() -> None:
    model = quantize(network(), QuantizationConfig(activations="asq", first_last_bits=None), images(3))
    groups = make_optimizer(model, 0.9, 1e-4).param_groups
    place = {id(p): (group["factor"], group["weight_decay"]) for group in groups for p in group["params"]}
    for module in model.modules():
        if isinstance(module, AsqQuantizer):
            assert {place[id(p)] for p in module.adapter.parameters()} == {(1.0, 1e-4)}
            assert place[id(module.step)] == (1.0, 0.0)

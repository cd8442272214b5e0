"""Swapping layers: what is quantized, how, and what is refused."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, Uniform
from trainers.layers import QuantConv2d, QuantLinear, quant_layers
from trainers.models import make_model
from trainers.quantize import LayerSummary, QuantizationConfig, describe, quantize, signed_layers


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return make_model("digits_resnet")


@pytest.fixture
def batch() -> Tensor:
    return torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_inner_layers_get_the_method_and_outer_layers_eight_uniform_bits(model: nn.Module, batch: Tensor) -> None:
    layers = quant_layers(quantize(model, QuantizationConfig(weights="post", bits=3, act_bits=4), batch))
    assert len(layers) == 8
    for name, layer in layers.items():
        outer = name in ("conv1", "linear")
        assert layer.weight_quantizer.format == (Uniform(8) if outer else PowerOfSqrtTwo(3)), name
        assert layer.activation_quantizer.format == Uniform(8 if outer else 4, signed=False), name
        assert layer.weight_quantizer.scale.shape == (len(layer.weight),)


def test_float_model_is_untouched(model: nn.Module, batch: Tensor) -> None:
    before = copy.deepcopy(model.state_dict())
    state = torch.random.get_rng_state()
    quantized = quantize(model, QuantizationConfig(), batch)
    assert torch.equal(state, torch.random.get_rng_state())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not quant_layers(model)
    assert quantized.get_parameter("conv1.weight") is not model.get_parameter("conv1.weight")
    assert not any(module._forward_pre_hooks for module in quantized.modules())
    assert model.training
    assert quantized.training


def test_eight_bits_change_little(model: nn.Module, batch: Tensor) -> None:
    model.eval()
    quantized = quantize(model, QuantizationConfig(bits=8), batch)
    difference = (quantized(batch) - model(batch)).abs().max()
    assert 0 < difference < 0.03 * model(batch).abs().max()


def test_negative_inputs_get_signed_codes(model: nn.Module, batch: Tensor) -> None:
    quantized = quantize(model, QuantizationConfig(), batch - 0.5)
    assert signed_layers(quantized) == ["conv1"]
    assert quant_layers(quantized)["conv1"].activation_quantizer.format == Uniform(8)


def test_other_settings_reach_the_layers(model: nn.Module, batch: Tensor) -> None:
    config = QuantizationConfig(weights="pot", bits=8, act_bits=3, exponents=5, first_last_bits=None, per_channel=False)
    for layer in quant_layers(quantize(model, config, batch)).values():
        assert layer.weight_quantizer.format == PowerOfTwo(8, exponents=5)
        assert layer.activation_quantizer.format.bits == 3
        assert layer.weight_quantizer.scale.shape == ()
    extended = quantize(model, QuantizationConfig(weights="pot", bits=3, extended=True), batch)
    assert quant_layers(extended)["layer1.0.conv1"].weight_quantizer.format == PowerOfTwo(3, extended=True)


def test_overrides_come_last(model: nn.Module, batch: Tensor) -> None:
    overrides: dict[str, dict[str, Any]] = {
        "layer3.*": {"bits": 8, "act_bits": 6},
        "linear": {"bits": 3},
        "*.conv2": {"weights": "pot", "bits": 3},
    }
    layers = quant_layers(quantize(model, QuantizationConfig(overrides=overrides), batch))
    assert layers["layer3.0.conv1"].weight_quantizer.format == Uniform(8)
    assert layers["layer3.0.conv1"].activation_quantizer.format == Uniform(6, signed=False)
    assert layers["layer3.0.conv2"].weight_quantizer.format == PowerOfTwo(3)
    assert layers["linear"].weight_quantizer.format == Uniform(3)
    assert layers["layer1.0.conv1"].weight_quantizer.format == Uniform(4)


def test_table_of_what_was_done(model: nn.Module, batch: Tensor) -> None:
    rows = describe(quantize(model, QuantizationConfig(weights="post"), batch))
    assert rows[0] == LayerSummary(
        "conv1", "convolution", "8-bit uniform, 256 levels", "8-bit unsigned uniform, 256 levels", 2
    )
    assert rows[1].weights == "4-bit post, 15 levels"
    assert rows[-1].kind == "linear"


def test_quantize_prints_the_table_unless_told_not_to(
    model: nn.Module, batch: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    quantize(model, QuantizationConfig(), batch, verbose=False)
    assert capsys.readouterr() == ("", "")
    quantize(model, QuantizationConfig(weights="post"), batch)
    out, err = capsys.readouterr()
    assert not out
    assert "Layers as quantized" in err
    assert len([line for line in err.splitlines() if "convolution" in line or "linear " in line]) == 8
    assert "4-bit post, 15 levels" in err


@pytest.mark.parametrize("activations", ["dorefa", "daq", "qil", "apot", "lq_nets"])
def test_signed_inputs_are_refused_by_layer_where_the_method_has_none(
    model: nn.Module, batch: Tensor, activations: str
) -> None:
    config = QuantizationConfig(activations=activations, first_last_bits=None)
    with pytest.raises(ValueError, match=f"layer 'conv1': {activations}.* were asked for"):
        quantize(model, config, batch - 0.5)


def test_changes_that_do_not_suit_a_layer_are_refused_by_its_name(model: nn.Module, batch: Tensor) -> None:
    changes: dict[str, dict[str, Any]] = {"layer1.*": {"weights": "pot"}, "*.conv1": {"exponents": 3}}
    with pytest.raises(ValueError, match=r"layer 'layer2\.0\.conv1': uniform has no option 'exponents'"):
        quantize(model, QuantizationConfig(overrides=changes), batch)
    with pytest.raises(ValueError, match=r"layer 'conv1': bits must be in 2\.\.8 for lsq, got 1"):
        quantize(model, QuantizationConfig(overrides={"conv1": {"bits": 1}}), batch)


def test_layers_compute_with_quantized_operands() -> None:
    generator = torch.Generator().manual_seed(2)
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)
    linear = nn.Linear(5, 3)
    x, features = torch.rand(2, 4, 9, 9, generator=generator), torch.rand(2, 5, generator=generator)
    for layer, data in ((conv, x), (linear, features)):
        quantized = quantize(nn.Sequential(layer), QuantizationConfig(), data).get_submodule("0")
        assert isinstance(quantized, QuantConv2d | QuantLinear)
        plain = copy.deepcopy(layer)
        with torch.no_grad():
            plain.weight.copy_(quantized.weight_quantizer(layer.weight))
        assert torch.equal(quantized(data), plain(quantized.activation_quantizer(data)))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"bits": 1}, r"bits must be in 2\.\.8 for lsq, got 1"),
        ({"bits": 4, "act_bits": 1, "activations": "asq"}, r"bits must be in 2\.\.8 for asq, got 1"),
        ({"bits": True}, r"^bits must be an integer in 1\.\.8, got True"),
        ({"bits": 2.0}, r"^bits must be an integer in 1\.\.8, got 2\.0"),
        ({"per_channel": 1}, "per_channel must be true or false, got 1"),
        ({"exponents": "3", "weights": "pot"}, "exponents must be an integer, got '3'"),
        ({"weight_options": [3]}, r"weight_options must give values by name, .* got \[3\]"),
        ({"act_bits": 9}, r"act_bits must be an integer in 1\.\.8, got 9"),
        ({"first_last_bits": 16}, r"first_last_bits must be an integer in 2\.\.8 .*, got 16"),
        ({"first_last_bits": 1}, r"first_last_bits must be an integer in 2\.\.8 .*, got 1"),
        ({"weights": "pots"}, "unknown method for weights 'pots'; did you mean 'pot'"),
        ({"activations": "post"}, "post does not quantize activations"),
        ({"weights": "pot", "bits": 8}, "exponents=62 fit"),
        ({"exponents": 3}, "uniform has no option 'exponents'; it has none"),
        *(({"weight_options": {name: 2}}, f"uniform has no option '{name}'") for name in ("bits", "role", "signed")),
        ({"activation_options": {"in_channels": 2}}, "lsq has no option 'in_channels'"),
        ({"weights": "pot", "exponents": 3, "weight_options": {"exponents": 3}}, "exponents is given twice"),
        ({"weights": "lq_nets", "weight_options": {"basis_bits": 2.5}}, "basis_bits of lq_nets must be an integer"),
        ({"weights": "inq", "weight_options": {"portions": 0.5}}, "portions of inq must be several numbers, got 0.5"),
        ({"weights": "inq", "weight_options": {"portions": ["a", 1]}}, "each of portions of inq must be a number"),
        ({"activations": "pact", "activation_options": {"alpha": "a"}}, "alpha of pact must be a number, got 'a'"),
        ({"activations": "pact", "activation_options": {"alpha": math.inf}}, "alpha must be positive and finite"),
        ({"weights": "apot", "weight_options": {"alpha": math.inf}}, "alpha must be positive and finite"),
        ({"weights": "apot", "weight_options": {"normalize": 1}}, "normalize of apot must be true or false, got 1"),
        ({"activations": "asq", "activation_options": {"dequantize": 3}}, "dequantize of asq must be a name, got 3"),
        ({"weights": "post", "bits": 8}, "bits must be at most 7 for post with all its exponents, got 8"),
        ({"weights": "dorefa", "bits": 1}, r"act_bits is not given, so 1: bits must be in 2\.\.8 for lsq, got 1"),
        (
            {"overrides": {"conv1": {"bit": 3}}},
            "override 'conv1': unknown field to override 'bit'; did you",
        ),
        ({"overrides": {"conv1": {"bits": "4"}}}, r"override 'conv1': bits must be an integer in 1\.\.8, got '4'"),
        ({"overrides": {"conv1": {"act_bits": True}}}, r"override 'conv1': act_bits must be .*, got True"),
        ({"overrides": {"conv1": {"weights": "pact"}}}, "override 'conv1': pact does not quantize weights"),
        ({"overrides": {"conv1": 3}}, "override 'conv1': changes must give values by name, .* got 3"),
        ({"overrides": [("conv1", 3)]}, "overrides must give values by name"),
    ],
)
def test_bad_configurations_are_refused(options: dict[str, object], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        QuantizationConfig(**options)  # type: ignore[arg-type]


def test_bad_models_and_batches_are_refused(model: nn.Module, batch: Tensor) -> None:
    with pytest.raises(ValueError, match=r"override 'layer9\.\*' matches no layer; layers are conv1"):
        quantize(model, QuantizationConfig(overrides={"layer9.*": {"bits": 8}}), batch)
    empty = r"batch is empty, shape \(0, 1, 8, 8\): layer 'conv1' has nothing to start from"
    with pytest.raises(ValueError, match=empty):
        quantize(model, QuantizationConfig(), batch[:0])
    with pytest.raises(ValueError, match="layer 'conv1': calibration of activations needs finite values"):
        quantize(model, QuantizationConfig(), batch / 0)
    with pytest.raises(ValueError, match=r"must be a float32 or float64 tensor .*, got ndarray"):
        quantize(model, QuantizationConfig(), batch.numpy())  # type: ignore[arg-type]
    for dtype in (torch.uint8, torch.bfloat16, torch.float16):
        with pytest.raises(ValueError, match=rf"must be a float32 or float64 tensor .*, got a tensor of {dtype}"):
            quantize(model, QuantizationConfig(), batch.to(dtype))
    with pytest.raises(ValueError, match=r"layer 'conv1': weights must be float32 or float64 .*, got torch\.bfloat16"):
        quantize(copy.deepcopy(model).bfloat16(), QuantizationConfig(), batch)
    with pytest.raises(ValueError, match=r"layer 'conv1': a convolution takes \[N, C, H, W\], got shape \(1, 8, 8\)"):
        quantize(model, QuantizationConfig(), batch[0])
    with pytest.raises(ValueError, match=r"does not take a batch of shape \(16, 2, 8, 8\)"):
        quantize(model, QuantizationConfig(), batch.repeat(1, 2, 1, 1))
    with pytest.raises(ValueError, match=r"cannot handle module '1' \(Tanh\)"):
        quantize(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh()), QuantizationConfig(), batch)
    with pytest.raises(ValueError, match="no layer to quantize"):
        quantize(nn.Sequential(nn.ReLU()), QuantizationConfig(), batch)

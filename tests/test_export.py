"""Export: the integer network against the model it comes from."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_models import MODELS, SHAPE, dyadic, dyadic_images, quantized, random_images
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.engines import Simulation, simulate
from hwsim.network import Datapath, Network
from hwsim.network_file import load_network, save_network
from hwsim.nodes import Add, AvgPool, Conv, Matmul, MaxPool, Quantize, Relu
from trainers.export import ExportConfig, export
from trainers.folding import folded
from trainers.layers import quant_layers
from trainers.promises import check_export, recorded_inputs
from trainers.quantize import QuantizationConfig, quantize

FAMILIES = ("uniform", "pot", "post")
UNIT = 2.0 ** -Datapath().frac_bits  # of the default datapath

every_model = pytest.mark.parametrize("name", MODELS)
every_family = pytest.mark.parametrize("weights", FAMILIES)


def trace(network: Network, images: Tensor, engine: str = "tensor") -> tuple[Simulation, dict[str, NDArray[np.int64]]]:
    result = simulate(network, images.numpy(), engine, trace=True)
    assert result.trace is not None
    return result, result.trace


@every_model
@pytest.mark.parametrize("weights", ["uniform", "pot"])
def test_without_rounding_the_network_is_the_model(name: str, weights: str) -> None:
    """Equal in every code and every output: binary fractions short enough for float32, and ties to even in both."""
    model, images = dyadic(name, weights), dyadic_images()
    network = export(model, SHAPE, ExportConfig(rounding="half_even"))
    layers = quant_layers(model)
    with torch.no_grad(), recorded_inputs(layers) as inputs:
        outputs = model(images).double().numpy()
    result, tensors = trace(network, images)
    for node in network.layers:
        codes = layers[node.name].activation_quantizer.codes(inputs[node.name]).numpy()
        np.testing.assert_array_equal(tensors[node.inputs[0]], codes)
        assert len(np.unique(codes)) > 1
    np.testing.assert_array_equal(result.outputs * UNIT, outputs)
    assert not result.overflows


@every_model
@every_family
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_each_layer_computes_what_the_model_computes_from_the_same_codes(name: str, weights: str, signed: bool) -> None:
    """Sum, folded batch norm and bias against torch in float64.

    The error of a rescaled sum is at most one unit for rounding sum and bias, the multiplier's 2^-24 of the sum, and
    for POST the table's error for each product.
    """
    model, images = quantized(name, weights, signed=signed), random_images(signed=signed)
    network = export(model, SHAPE)
    _, tensors = trace(network, images)
    for node in network.layers:
        layer, scales = quant_layers(model)[node.name], layer_scales(model, node)
        expected, gain = float_layer(model, node, tensors[node.inputs[0]])
        table = node.multiplier.max_error * node.multiplier.unit * scales * node.weight[0].size * np.abs(gain)
        sums = np.abs(tensors[node.name] * spread(scales * node.multiplier.unit * gain, expected))
        allowed = UNIT + sums * 2.0**-24 + spread(table, expected) + 1e-12
        found = tensors[f"{node.name}.rescale"] * UNIT
        assert (np.abs(found - expected) <= allowed).all(), node.name
        assert np.ptp(found) > 0
        assert layer.weight_quantizer.format == node.multiplier.weight


@every_model
@every_family
def test_codes_are_the_nearest_levels_of_what_the_layer_reads(name: str, weights: str) -> None:
    """The rescaling multiplier's 2^-24 moves a quotient below 256 by less than 2^-16: only there may a code differ."""
    model, images = quantized(name, weights), random_images()
    network = export(model, SHAPE)
    _, tensors = trace(network, images)
    for node in network.nodes_of(Quantize):
        layer = quant_layers(model)[node.name.removesuffix(".quantize")]
        ratio = tensors[node.inputs[0]] * UNIT / float(layer.activation_quantizer.scale)
        levels = node.format.decode_integers(tensors[node.name])
        near_tie = np.abs(np.abs(ratio - np.floor(ratio)) - 0.5) < 2.0**-16
        nearest = np.clip(np.rint(ratio), node.format.min_level, node.format.max_level)
        np.testing.assert_array_equal(levels[~near_tie], nearest[~near_tie])
        assert near_tie.mean() < 0.01


def layer_scales(model: nn.Module, node: Matmul) -> NDArray[np.float64]:
    """Return activation scale times weight scale, (K,)."""
    layer = quant_layers(model)[node.name]
    scales = layer.activation_quantizer.scale.double() * layer.weight_quantizer.scale.double()
    return np.asarray(scales.expand(len(layer.weight)).numpy())


def spread(values: NDArray[np.float64], like: NDArray[Any]) -> NDArray[np.float64]:
    """Return (K,) as (K, 1, ...) so that it broadcasts over (N, K, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 2))


@torch.no_grad()
def float_layer(
    model: nn.Module, node: Matmul, codes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what torch's layer and batch norm make of these codes in float64, and the gain of the batch norm, (K,)."""
    layer = quant_layers(model)[node.name]
    x = torch.from_numpy(node.multiplier.activation.decode(codes)) * layer.activation_quantizer.scale.double()
    levels = torch.from_numpy(layer.weight_quantizer.format.decode(node.weight))
    weight = levels * layer.weight_quantizer.scale.double().reshape(-1, *[1] * (levels.dim() - 1))
    bias = None if layer.bias is None else layer.bias.double()
    if isinstance(layer, nn.Linear):
        return nn.functional.linear(x, weight, bias).numpy(), np.ones(len(weight))
    y = layer._conv_forward(x, weight, bias)
    norm = norm_after(model, node.name)
    if norm is None:
        return y.numpy(), np.ones(len(weight))
    double = copy.deepcopy(norm).double()
    zero, one = (double(torch.full((1, len(weight), 1, 1), value, dtype=torch.float64)) for value in (0.0, 1.0))
    return double(y).numpy(), (one - zero).flatten().numpy()


def norm_after(model: nn.Module, name: str) -> nn.BatchNorm2d | None:
    """Return the batch norm behind a layer: the module that is registered next."""
    modules = [(other, module) for other, module in model.named_modules() if not list(module.children())]
    names = [other for other, _ in modules]
    last = max(i for i, other in enumerate(names) if other.startswith(f"{name}."))
    following = modules[last + 1][1] if last + 1 < len(modules) else None
    return following if isinstance(following, nn.BatchNorm2d) else None


@every_model
@every_family
def test_predictions_agree_and_few_codes_differ(name: str, weights: str) -> None:
    """Codes that differ come from near-ties, from codes before them, and from POST's table.

    Here at most one in a thousand, for POST one in a hundred.
    """
    model, images = quantized(name, weights), random_images()
    labels = torch.zeros(len(images), dtype=torch.int64)
    check = check_export(model, export(model, SHAPE), images, labels)
    assert check.laws_hold
    assert check.overflows == 0
    assert check.agreeing == check.images
    differing = sum(layer.codes_differing for layer in check.layers)
    assert differing <= sum(layer.codes for layer in check.layers) / (100 if weights == "post" else 1000)


@every_model
@every_family
def test_engines_and_file_agree(name: str, weights: str, tmp_path: Path) -> None:
    model, images = quantized(name, weights), random_images()
    network = export(model, SHAPE, name=name, metadata={"seed": 0})
    save_network(network, tmp_path / "network.safetensors")
    loaded = load_network(tmp_path / "network.safetensors")
    assert (loaded.name, loaded.metadata) == (name, {"seed": 0})
    fast, slow = trace(network, images)[1], trace(loaded, images, "reference")[1]
    for node in network.nodes:
        np.testing.assert_array_equal(fast[node.name], slow[node.name])


def test_geometry_and_sharing_arrive_in_the_nodes() -> None:
    network = export(quantized("plain", "uniform"), SHAPE)
    same, grouped, valid, pointwise = network.nodes_of(Conv)
    assert (same.padding, same.groups, same.dilation) == ((1, 1), 1, (1, 1))
    assert (grouped.padding, grouped.groups, grouped.dilation) == ((2, 0), 2, (2, 1))
    assert (valid.padding, valid.stride) == ((0, 0), (2, 1))
    assert pointwise.groups == 4
    [maximum] = network.nodes_of(MaxPool)
    [average] = network.nodes_of(AvgPool)
    assert (maximum.kernel, maximum.stride, maximum.padding) == ((3, 3), (1, 2), (1, 1))
    assert (average.kernel, average.stride, average.padding) == ((2, 2), (2, 2), (1, 1))

    shared = export(quantized("sharing", "uniform"), SHAPE)
    assert [node.name for node in shared.nodes_of(Relu)] == ["relu", "relu#2"]
    assert [node.name for node in shared.nodes_of(MaxPool)] == ["pool", "pool#2"]
    left, right = shared.node("left.quantize"), shared.node("right.quantize")
    assert left.inputs == right.inputs == ("x",)
    assert shared.nodes_of(Add)[-1].inputs == ("relu#2",) * 2


def test_batch_norm_is_folded_with_negative_and_zero_gamma() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)).eval()
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.load_state_dict(
        {
            "weight": torch.tensor([2.0, -3.0, 0.0, 0.5]),
            "bias": torch.tensor([0.1, 0.2, 0.3, -0.4]),
            "running_mean": torch.tensor([1.0, -1.0, 5.0, 0.0]),
            "running_var": torch.tensor([4.0, 0.25, 9.0, 1.0]),
            "num_batches_tracked": torch.tensor(1),
        }
    )
    layer = quant_layers(quantize(model, QuantizationConfig(), random_images()))["0"]
    gain, offset = folded("0", layer, norm)
    sums = np.random.default_rng(0).normal(size=(5, 4, 2, 2))
    bias = layer.bias.double() if layer.bias is not None else torch.zeros(4)
    expected = norm.double()(torch.from_numpy(sums) + bias.reshape(-1, 1, 1)).detach().numpy()
    np.testing.assert_allclose(sums * spread(gain, sums) + spread(offset, sums), expected, rtol=1e-13, atol=1e-13)
    assert gain[2] == 0
    assert gain[1] < 0


def test_export_leaves_the_model_as_it_was() -> None:
    model = quantized("residual_a", "post")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export(model, SHAPE)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_other_image_sizes_are_possible_where_the_layers_fit() -> None:
    model = quantized("residual_a", "uniform")
    assert export(model, (2, 12, 16)).shapes["layer3.0.relu2"] == (8, 3, 4)
    with pytest.raises(ValueError, match="node 'conv1': 3 input channels and 4 kernels of depth 2"):
        export(model, (3, 8, 8))

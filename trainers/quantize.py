"""Float model to quantization-aware model: every convolution and linear layer gets quantizers."""

import copy
import sys
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from hwsim.errors import naming
from hwsim.output import write
from trainers.export import export
from trainers.graph import weighted_layers
from trainers.layers import QuantConv2d, QuantLayer, QuantLinear, quant_layers
from trainers.quantization_config import QuantizationConfig
from trainers.quantizers import Quantizer

__all__ = ["LayerSummary", "QuantizationConfig", "describe", "quantize"]


#: What scales can be learned in; narrower floats have no calibration of their own.
PRECISIONS = (torch.float32, torch.float64)


@dataclass(frozen=True)
class LayerSummary:
    """What was done to one layer: a row of a printed table."""

    layer: str
    kind: str
    weights: str
    activations: str
    weight_scales: int


def quantize(model: nn.Module, config: QuantizationConfig, calibration: Tensor, *, verbose: bool = True) -> nn.Module:
    """Return a quantization-aware copy of a float model, and print what was done; the model itself is untouched.

    `calibration` is a batch of network inputs `[N, ...]`. Every scale starts from it (activations) or from the
    weights. An input that is negative somewhere in the batch gets signed codes, others unsigned ones. The copy is
    lowered to integers once before any scale is set, so that what has no integer form is refused here and not after
    training. With `verbose` a table of the layers goes to stderr.

    Raises:
        ValueError: the model holds something that cannot be quantized or has no integer form, a layer cannot have
            what the configuration asks for (the message names it), an override matches no layer, or the batch is
            not a float32 or float64 tensor of the network's inputs, is empty or not finite; weights of another
            precision are refused as well.
    """
    check_batch(model, calibration)
    signed: set[str] = set()
    watch_inputs(model, calibration, lambda name, x: signed.add(name) if bool((x < 0).any()) else None)
    quantized = swap_layers(model, config, signed)
    export(quantized, tuple(calibration.shape[1:]))
    layers = quant_layers(quantized)
    for name, layer in layers.items():
        with naming(f"layer {name!r}"):
            layer.weight_quantizer.initialize(layer.weight)
    watch_inputs(model, calibration, lambda name, x: layers[name].activation_quantizer.initialize(x))
    if verbose:
        print_layers(quantized)
    return quantized


def check_batch(model: nn.Module, batch: object) -> None:
    """Check what the scales of a model are to start from.

    Raises:
        ValueError: it is not a float32 or float64 tensor or is empty, or the model's weights have another precision.
    """
    if not isinstance(batch, Tensor) or batch.dtype not in PRECISIONS:
        found = f"a tensor of {batch.dtype}" if isinstance(batch, Tensor) else type(batch).__name__
        raise ValueError(
            f"the calibration batch must be a float32 or float64 tensor of network inputs [N, ...], got {found}"
        )
    for name in weighted_layers(model):
        dtype = model.get_submodule(name).weight.dtype
        if dtype not in PRECISIONS:
            raise ValueError(f"layer {name!r}: weights must be float32 or float64 to be quantized, got {dtype}")
    if batch.numel() == 0:
        first = weighted_layers(model)[0]
        raise ValueError(
            f"the calibration batch is empty, shape {tuple(batch.shape)}: layer {first!r} has nothing to start from"
        )


def swap_layers(model: nn.Module, config: QuantizationConfig, signed: Collection[str]) -> nn.Module:
    """Return a copy of a float model with quantized layers whose scales are not initialised.

    `signed` names the layers whose input may be negative. This is also how a saved model is rebuilt before its
    state is loaded.

    Raises:
        ValueError: the model holds something that cannot be quantized, an override matches no layer, or a layer
            cannot have what the configuration asks for.
    """
    names = weighted_layers(model)
    for pattern in config.overrides:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"override {pattern!r} matches no layer; layers are {', '.join(names)}")
    quantized = copy.deepcopy(model)
    for name in names:
        with naming(f"layer {name!r}"):
            layer = config.for_layer(name, is_outer=name in (names[0], names[-1]))
            source = quantized.get_submodule(name)
            _replace(quantized, source, make_layer(source, layer, name in signed))
    return quantized


def _replace(model: nn.Module, module: nn.Module, by: nn.Module) -> None:
    """Replace a module under every name that it is registered under."""
    places = [name for name, found in model.named_modules(remove_duplicate=False) if found is module]
    for parent, _, child in (name.rpartition(".") for name in places):
        setattr(model.get_submodule(parent), child, by)


def make_layer(source: nn.Module, config: QuantizationConfig, signed: bool) -> QuantLayer:
    """Return the quantized form of one convolution or linear layer, sharing its parameters."""
    assert isinstance(source, nn.Conv2d | nn.Linear)
    channels = len(source.weight) if config.per_channel else None
    weights = config.make_weights(channels)
    if isinstance(source, nn.Conv2d):
        return QuantConv2d(source, weights, config.make_activations(signed, source.in_channels))
    return QuantLinear(source, weights, config.make_activations(signed, source.in_features))


@torch.no_grad()
def watch_inputs(model: nn.Module, batch: Tensor, see: Callable[[str, Tensor], None]) -> None:
    """Run a copy of a float model in eval mode and call `see(name, input)` for each layer with weights.

    Raises:
        ValueError: the model does not take the batch, or `see` refuses an input; the message names the layer.
    """
    probe = copy.deepcopy(model).eval()
    for name in weighted_layers(model):

        def hook(module: nn.Module, args: tuple[Tensor], name: str = name) -> None:
            with naming(f"layer {name!r}"):
                if isinstance(module, nn.Conv2d) and args[0].dim() != 4:
                    raise ValueError(f"a convolution takes [N, C, H, W], got shape {tuple(args[0].shape)}")
                see(name, args[0])

        probe.get_submodule(name).register_forward_pre_hook(hook)
    try:
        probe(batch)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"the network does not take a batch of shape {tuple(batch.shape)}: {error}") from error


def signed_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers of a quantized model whose activations have signed codes."""
    return [name for name, layer in quant_layers(model).items() if layer.activation_quantizer.format.signed]


def describe(model: nn.Module) -> list[LayerSummary]:
    """Return one row per quantized layer, in the order of registration."""
    return [_summary(name, layer) for name, layer in quant_layers(model).items()]


def print_layers(model: nn.Module) -> None:
    """Print what was quantized and how as a table on stderr."""
    write([asdict(layer) for layer in describe(model)], "table", title="Layers as quantized", stream=sys.stderr)


def _summary(name: str, layer: QuantLayer) -> LayerSummary:
    kind = "convolution" if isinstance(layer, QuantConv2d) else "linear"
    weights, activations = layer.weight_quantizer, layer.activation_quantizer
    return LayerSummary(name, kind, _format_text(weights), _format_text(activations), weights.scale.numel())


def _format_text(quantizer: Quantizer) -> str:
    fmt = quantizer.format
    return f"{fmt.bits}-bit {'' if fmt.signed else 'unsigned '}{fmt.name}, {fmt.count} levels"

"""Float model to quantization-aware model: every convolution and linear layer gets quantizers."""

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.errors import unknown_name
from trainers.graph import weighted_layers
from trainers.layers import QuantConv2d, QuantLayer, QuantLinear, quant_layers
from trainers.quantizers import Quantizer, make_quantizer


@dataclass(frozen=True)
class QuantizationConfig:
    """How a network is quantized.

    Raises:
        ValueError: a method is unknown or does not serve its role, bits are outside 2..8, or an override
            changes no known field.
    """

    weights: str = "uniform"  #: Method for weights: uniform (LSQ), pot, post, or a method's own name.
    activations: str = "lsq"  #: Method for activations.
    bits: int = 4  #: Bits of a weight.
    act_bits: int | None = None  #: Bits of an activation; None: as many as a weight has.
    first_last_bits: int | None = 8  #: Bits of the first and the last layer, uniform there; None: as the others.
    per_channel: bool = True  #: One weight scale per output channel rather than per layer, if the method has such.
    exponents: int | None = None  #: How many magnitudes a power-of-two format uses; None: all that fit its code.
    extended: bool = False  #: The released code's level set of POT and POST, which takes one more bit.
    weight_options: Mapping[str, Any] = field(default_factory=dict)  #: Further options of the weights' method.
    activation_options: Mapping[str, Any] = field(default_factory=dict)  #: Options of the activations' method.
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields to change for layers whose name matches a pattern, such as `{"layer3.*": {"bits": 8}}`; they come last."""

    def __post_init__(self) -> None:
        for name in ("bits", "act_bits", "first_last_bits"):
            bits = getattr(self, name)
            if bits is not None and not 2 <= bits <= 8:
                raise ValueError(f"{name} must be in 2..8, got {bits}")
        self.make_weights()
        self.make_activations()
        known = set(self.__dataclass_fields__) - {"overrides", "first_last_bits"}
        for changes in self.overrides.values():
            for name in changes:
                if name not in known:
                    raise unknown_name("field to override", name, sorted(known))

    @property
    def activation_bits(self) -> int:
        """Bits of an activation."""
        return self.bits if self.act_bits is None else self.act_bits

    def make_weights(self, channels: int | None = None) -> Quantizer:
        """Return a quantizer for weights, with one scale per channel if asked for."""
        named: dict[str, Any] = {"exponents": self.exponents, "extended": self.extended}
        chosen = {name: value for name, value in named.items() if value is not None and value is not False}
        return make_quantizer(self.weights, "weights", self.bits, channels=channels, **chosen, **self.weight_options)

    def make_activations(self, signed: bool = False, in_channels: int = 1) -> Quantizer:
        """Return a quantizer for activations of a layer with so many input channels."""
        bits, options = self.activation_bits, self.activation_options
        named: dict[str, Any] = {"signed": signed, "in_channels": in_channels}
        return make_quantizer(self.activations, "activations", bits, **named, **options)

    def for_layer(self, name: str, is_outer: bool) -> "QuantizationConfig":
        """Return the configuration of one layer; `is_outer` says that it is the network's first or last."""
        layer = replace(self, overrides={})
        if is_outer and self.first_last_bits is not None:
            bits = self.first_last_bits
            layer = QuantizationConfig(bits=bits, per_channel=self.per_channel)
        for pattern, changes in self.overrides.items():
            if fnmatchcase(name, pattern):
                layer = replace(layer, **changes)
        return layer


@dataclass(frozen=True)
class LayerSummary:
    """What was done to one layer: a row of a printed table."""

    layer: str
    kind: str
    weights: str
    activations: str
    weight_scales: int


def quantize(model: nn.Module, config: QuantizationConfig, calibration: Tensor) -> nn.Module:
    """Return a quantization-aware copy of a float model; the model itself is untouched.

    `calibration` is a batch of network inputs `[N, ...]`. Every scale starts from it (activations) or from the
    weights. An input that is negative somewhere in the batch gets signed codes, others unsigned ones.

    Raises:
        ValueError: the model holds something that cannot be quantized (the message names it), an override
            matches no layer, or the
            batch is empty or not finite.
    """
    if len(calibration) == 0:
        raise ValueError("the calibration batch is empty")
    signed: set[str] = set()
    watch_inputs(model, calibration, lambda name, x: signed.add(name) if bool((x < 0).any()) else None)
    quantized = swap_layers(model, config, signed)
    layers = quant_layers(quantized)
    for layer in layers.values():
        layer.weight_quantizer.initialize(layer.weight)
    watch_inputs(model, calibration, lambda name, x: layers[name].activation_quantizer.initialize(x))
    return quantized


def swap_layers(model: nn.Module, config: QuantizationConfig, signed: Collection[str]) -> nn.Module:
    """Return a copy of a float model with quantized layers whose scales are not initialised.

    `signed` names the layers whose input may be negative. This is also how a saved model is rebuilt before its
    state is loaded.

    Raises:
        ValueError: as `quantize`.
    """
    names = weighted_layers(model)
    for pattern in config.overrides:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"override {pattern!r} matches no layer; layers are {', '.join(names)}")
    quantized = copy.deepcopy(model)
    for name in names:
        layer = config.for_layer(name, is_outer=name in (names[0], names[-1]))
        parent, _, child = name.rpartition(".")
        source = quantized.get_submodule(name)
        setattr(quantized.get_submodule(parent), child, make_layer(source, layer, name in signed))
    return quantized


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
    """Run a copy of a float model in eval mode and call `see(name, input)` for each layer with weights."""
    probe = copy.deepcopy(model).eval()
    for name in weighted_layers(model):

        def hook(module: nn.Module, args: tuple[Tensor], name: str = name) -> None:
            see(name, args[0])

        probe.get_submodule(name).register_forward_pre_hook(hook)
    probe(batch)


def signed_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers of a quantized model whose activations have signed codes."""
    return [name for name, layer in quant_layers(model).items() if layer.activation_quantizer.format.signed]


def describe(model: nn.Module) -> list[LayerSummary]:
    """Return one row per quantized layer, in the order of registration."""
    return [_summary(name, layer) for name, layer in quant_layers(model).items()]


def _summary(name: str, layer: QuantLayer) -> LayerSummary:
    kind = "convolution" if isinstance(layer, QuantConv2d) else "linear"
    weights, activations = layer.weight_quantizer, layer.activation_quantizer
    return LayerSummary(name, kind, _format_text(weights), _format_text(activations), weights.scale.numel())


def _format_text(quantizer: Quantizer) -> str:
    fmt = quantizer.format
    return f"{fmt.bits}-bit {'' if fmt.signed else 'unsigned '}{fmt.name}, {fmt.count} levels"

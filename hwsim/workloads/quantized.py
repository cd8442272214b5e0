"""A workload at a precision: formats for the operands of every product, and the quantizers that make the codes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from hwsim.errors import unknown_name
from hwsim.formats import Format, IntegerFormat, Uniform, make_format
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.workload import Layer, Workload, WorkloadError

#: Families of weights whose levels follow from the number of bits, and whether these have exponents to choose.
FAMILIES = {"uniform": False, "pot": True, "post": True, "apot": False}


@dataclass(frozen=True)
class Precision:
    """The formats of a layer's products.

    weights: one of `FAMILIES`. act_bits: width of the (uniform, unsigned) activations, None for `bits`. exponents
    and extended belong to POT and POST weights, fraction_bits and layout to POST's product table.

    Raises:
        ValueError: an unknown family, an option that it does not have, or values that its format or circuit refuses.
    """

    weights: str = "uniform"
    bits: int = 8
    act_bits: int | None = None
    exponents: int | None = None
    extended: bool = False
    fraction_bits: int = 6
    layout: str = "shared"

    def __post_init__(self) -> None:
        if self.weights not in FAMILIES:
            raise unknown_name("weight format", self.weights, FAMILIES)
        if not FAMILIES[self.weights] and (self.exponents is not None or self.extended):
            raise ValueError(f"{self.weights} weights have neither exponents nor an extended variant")
        _ = self.multiplier

    @property
    def name(self) -> str:
        """The precision in one word, e.g. `post-w4a4`."""
        return f"{self.weights}-w{self.bits}a{self.activation.bits}"

    @property
    def weight(self) -> Format:
        """The weights' format."""
        options: dict[str, Any] = {"exponents": self.exponents, "extended": self.extended}
        return make_format(self.weights, self.bits, **(options if FAMILIES[self.weights] else {}))

    @property
    def activation(self) -> Uniform:
        """The activations' format."""
        return Uniform(self.bits if self.act_bits is None else self.act_bits, signed=False)

    @cached_property
    def multiplier(self) -> Multiplier:
        """The circuit for one product."""
        return multiplier_for(self.weight, self.activation, self.fraction_bits, self.layout)

    @cached_property
    def dynamic(self) -> Multiplier:
        """The circuit for a product of two activations."""
        second = Uniform(self.activation.bits)
        return multiplier_for(second, self.activation)


EIGHT_BITS = Precision("uniform", 8)


def quantized(
    workload: Workload,
    precision: Precision,
    first_last: Precision | None = EIGHT_BITS,
    overrides: Mapping[str, Precision] | None = None,
) -> Workload:
    """Return the workload with formats on every product and a quantizer before it.

    first_last: precision of the first and the last layer with weights, as in most of the literature; None treats them
    like the others. overrides: precision of layers by key. Each layer with weights gets a scale per output channel;
    every quantizer gets one of its own, also where two layers read one tensor. Helpers (layers with a
    `part`, such as an adapter) stay in floating point.

    Formats that an earlier call gave are replaced.

    Raises:
        ValueError: an override names no layer that multiplies.
        WorkloadError: the workload is a trained network's, whose codes and quantizers are its own.
    """
    if any(layer.facts for layer in workload):
        raise WorkloadError(f"{workload.name} is a trained network: it has its own precision, and no other")
    workload = unquantized(workload)
    chosen = dict(overrides or {})
    keys = [layer.key for layer in workload.mac_layers if not layer.part]
    for key in chosen:
        if key not in keys:
            raise unknown_name("layer with products", key, keys)
    if first_last:
        weighted = [layer.key for layer in workload.mac_layers if layer.has_weight and not layer.part]
        chosen = dict.fromkeys((*weighted[:1], *weighted[-1:]), first_last) | chosen
    layers = (new for layer in workload for new in _layers(layer, chosen.get(layer.key, precision)))
    return workload.with_layers(layers)


def unquantized(workload: Workload) -> Workload:
    """Return the workload in floating point: without formats, and without the quantizers that `quantized` put in."""
    helpers = {layer.key: layer.inputs for layer in workload if layer.kind == "quantize" and layer.part}
    plain = (_plain(layer, helpers) for layer in workload if layer.key not in helpers)
    return workload.with_layers(plain) if any(layer.multiplier for layer in workload) else workload


def _plain(layer: Layer, helpers: Mapping[str, tuple[str, ...]]) -> Layer:
    if layer.multiplier is None:
        return layer
    inputs = tuple(key for source in layer.inputs for key in helpers.get(source, (source,)))
    none: dict[str, Any] = dict.fromkeys(("weight", "activation", "multiplier", "facts", "accumulator_bits"))
    return replace(layer, **none, scales=0, inputs=inputs)


def _layers(layer: Layer, precision: Precision) -> Iterator[Layer]:
    if not layer.macs or layer.part:
        yield layer
        return
    multiplier = precision.multiplier if layer.has_weight else precision.dynamic
    quantizers = tuple(_quantizers(layer, multiplier))
    yield from quantizers
    yield replace(
        layer,
        weight=multiplier.weight,
        activation=multiplier.activation,
        multiplier=multiplier,
        scales=layer.K if layer.weights else 0,
        inputs=tuple(quantizer.key for quantizer in quantizers),
    )


def _quantizers(layer: Layer, multiplier: Multiplier) -> Iterator[Layer]:
    image = {"N": layer.N, "K": layer.C, "C": layer.C, "IY": layer.IY, "IX": layer.IX, "OY": layer.IY, "OX": layer.IX}
    reads = layer.inputs if layer.has_weight else layer.inputs[:1]
    yield _quantizer(layer, "quantizer", reads, multiplier.activation, image)
    if not layer.has_weight and isinstance(multiplier.weight, Uniform):
        elements = {"K": layer.operand_elements, "C": layer.operand_elements}
        yield _quantizer(layer, "quantizer2", layer.inputs[1:2], multiplier.weight, elements)


def _quantizer(layer: Layer, part: str, inputs: tuple[str, ...], format: IntegerFormat, sizes: dict[str, Any]) -> Layer:
    return Layer(layer.name, "quantize", **sizes, activation=format, scales=1, inputs=inputs, part=part)

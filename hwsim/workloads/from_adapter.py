"""ASQ's adapter in an integer network, as layers: what it really runs, for every count."""

import math
from collections.abc import Iterator
from typing import Any

from hwsim.adapter import HIDDEN_BITS, AdapterLayer
from hwsim.arithmetic import bits_for
from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.nodes import Adapter, AdaptiveQuantize, AdaptiveRescale, Shape
from hwsim.workload import Layer
from hwsim.workloads.facts import scale_fields, weight_facts


def adapter_layers(node: Adapter, shape: Shape) -> Iterator[Layer]:
    """Yield sums and codes of the channels, of shape (C, ...), then each linear layer and its codes; beta comes last.

    Linear layers multiply 8 by 8 bits (the first as many as the pooled codes have). Clipping is ReLU.
    """
    channels, (rows, columns) = shape[0], shape[1:] or (1, 1)
    size: dict[str, Any] = {"IY": rows, "IX": columns, "FY": rows, "FX": columns}
    scales = scale_fields(node.requantizer)
    named: dict[str, Any] = {"op": "Adapter"}
    yield Layer(
        node.name, "avg_pool", K=channels, C=channels, **size, **scales, inputs=node.inputs, part="pool", **named
    )
    yield Layer(node.name, "clip", K=channels, C=channels, inputs=(f"{node.name}/pool",), part="codes", **named)
    source, format = f"{node.name}/codes", node.format
    for i, layer in enumerate(node.layers, start=1):
        yield _linear(node.name, f"linear{i}", layer, format, source)
        is_last = layer is node.layers[-1]
        format = Uniform(node.bits if is_last else HIDDEN_BITS, signed=False)
        coded = _codes(node.name, "" if is_last else f"codes{i}", layer, format, f"{node.name}/linear{i}")
        yield coded
        source = coded.key


def _linear(name: str, part: str, layer: AdapterLayer, codes: Uniform, source: str) -> Layer:
    multiplier = multiplier_for(Uniform(HIDDEN_BITS), codes)
    largest = layer.largest_sum(1 << codes.bits)
    bits = bits_for(-largest, largest)
    return Layer(
        name,
        "linear",
        K=layer.weight.shape[0],
        C=layer.weight.shape[1],
        has_weight=True,
        has_bias=True,
        weight=multiplier.weight,
        activation=codes,
        multiplier=multiplier,
        facts=weight_facts(multiplier, layer.weight & ((1 << HIDDEN_BITS) - 1)),
        accumulator_bits=bits,
        bias_bits=bits,
        inputs=(source,),
        part=part,
        op="Adapter",
    )


def _codes(name: str, part: str, layer: AdapterLayer, codes: Uniform, source: str) -> Layer:
    outputs, scales = len(layer.weight), scale_fields(layer.requantizer)
    return Layer(
        name, "quantize", K=outputs, C=outputs, **scales, activation=codes, inputs=(source,), part=part, op="Adapter"
    )


def adaptive_layer(node: AdaptiveQuantize | AdaptiveRescale) -> Layer:
    """Return what makes each sample's multipliers: a division (counted as a reciprocal) or a product by beta for each.

    Dropping beta's bits after the product is wiring.
    """
    kind = "reciprocal" if isinstance(node, AdaptiveQuantize) else "multiply"
    count = math.prod(node.requantizer.multiplier.shape)
    return Layer(node.name, kind, K=count, C=count, inputs=node.inputs[1:], part="multipliers", op="Adapter")

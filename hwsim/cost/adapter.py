"""ASQ's step-size adapter: the small network beside every inner convolution, as layers of the workload."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hwsim.workload import Layer, Workload, WorkloadError

ADAPTER = "Adapter"  #: Operator of the layers that an adapter adds to an integer network.
RATIO = 4  #: Input channels over hidden units, of the released code.


def with_adapters(workload: Workload, ratio: int = RATIO) -> Workload:
    """Return the workload with an adapter beside each convolution but the first and the last layer with weights.

    beta = relu(w2 . relu(W1 mean(x) + b1) + b2), W1 of C/ratio x C, one number per image; with fewer than 2 * ratio
    channels a single linear layer (released code of ASQ, arXiv:2504.17263; the paper does not print the construction).
    The quantizer divides by s * beta: one product and one reciprocal per image.

    Raises:
        WorkloadError: the ratio is below 1, or no convolution stands between the first and the last layer.
    """
    inner = {layer.key for layer in inner_convolutions(workload)}
    layers = (new for layer in workload for new in (_adapted(layer, ratio) if layer.key in inner else (layer,)))
    return workload.with_layers(layers)


def without_adapters(workload: Workload) -> Workload:
    """Return an integer network's workload without its adapters and what they do to multipliers."""
    gone = {layer.key for layer in workload if layer.op == ADAPTER}
    kept = (layer for layer in workload if layer.key not in gone)
    return workload.with_layers(
        replace(layer, inputs=tuple(key for key in layer.inputs if key not in gone)) for layer in kept
    )


def inner_convolutions(workload: Workload) -> tuple[Layer, ...]:
    """Return the convolutions but those that are the first or the last layer with weights.

    Raises:
        WorkloadError: there is none.
    """
    weighted = [layer for layer in workload.mac_layers if layer.has_weight and not layer.part]
    inner = tuple(layer for layer in weighted[1:-1] if layer.kind == "conv")
    if not inner:
        raise WorkloadError(f"workload {workload.name} has no convolution between its first and its last layer")
    return inner


def adapter_layers(layer: Layer, ratio: int = RATIO) -> tuple[Layer, ...]:
    """Return the adapter of one convolution: pooling, one or two linear layers with ReLU, and the reciprocal.

    Raises:
        WorkloadError: the ratio is below 1.
    """
    if ratio < 1:
        raise WorkloadError(f"the adapter's ratio must be at least 1, got {ratio}")
    return tuple(_adapter(layer, ratio))


def _adapted(layer: Layer, ratio: int) -> Iterator[Layer]:
    adapter = adapter_layers(layer, ratio)
    yield from adapter
    yield replace(layer, inputs=(*layer.inputs, adapter[-1].key) if layer.inputs else ())


def _adapter(layer: Layer, ratio: int) -> Iterator[Layer]:
    name, channels = layer.name, layer.C
    size: dict[str, Any] = {"IY": layer.IY, "IX": layer.IX, "FY": layer.IY, "FX": layer.IX}
    yield Layer(name, "avg_pool", N=layer.N, K=channels, C=channels, **size, inputs=layer.inputs, part="adapter.pool")
    previous = ("pool", channels)
    widths = [channels // ratio, 1] if channels >= 2 * ratio else [1]
    for i, width in enumerate(widths, start=1):
        yield from _linear(layer, i, previous, width)
        previous = (f"relu{i}", width)
    for part, kind in (("scale", "multiply"), ("reciprocal", "reciprocal")):
        yield Layer(name, kind, N=layer.N, inputs=(f"{name}/adapter.{previous[0]}",), part=f"adapter.{part}")
        previous = (part, 1)


def _linear(layer: Layer, i: int, previous: tuple[str, int], width: int) -> Iterator[Layer]:
    before, channels = previous
    sizes: dict[str, Any] = {"N": layer.N, "K": width, "C": channels}
    parts = f"adapter.linear{i}", f"adapter.relu{i}"
    reads = (f"{layer.name}/adapter.{before}",)
    yield Layer(layer.name, "linear", **sizes, has_weight=True, has_bias=True, inputs=reads, part=parts[0])
    sizes["C"] = width
    yield Layer(layer.name, "relu", **sizes, inputs=(f"{layer.name}/{parts[0]}",), part=parts[1])

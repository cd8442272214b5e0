"""Workloads for other people's simulators: SCALE-Sim topologies, ZigZag workloads, Timeloop problems."""

import json
from collections.abc import Callable, Iterator, Mapping

from hwsim.workload import Layer, Workload, WorkloadError

SCALESIM_HEADER = (
    *("Layer name", "IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width"),
    *("Channels", "Num Filter", "Strides"),
)


def to_scalesim(workload: Workload) -> str:
    """Return a SCALE-Sim topology: one line per layer with products, one per group where there are several.

    SCALE-Sim pads nothing: the input's extents are those that the windows span, I = (O-1) S + F, so that its output
    sizes are the network's. Its format has one stride for both axes; layers with two, linear layers and matrix products
    are written as matrices: M x K pixels by a window of a whole row. Checked with SCALE-Sim 3.0.0.
    """
    lines = [row for layer in _mac_layers(workload) for row in _scalesim(layer)]
    return "".join(",".join(map(str, row)) + ",\n" for row in (SCALESIM_HEADER, *lines))


def to_zigzag(workload: Workload) -> str:
    """Return a ZigZag workload (YAML): layers with products, each reading the layer with products before it.

    Precisions are the layer's own: codes in, sums out, codes at the end. What stands between layers with products is
    left out, a residual addition reads as its first operand.
    """
    layers = _mac_layers(workload)
    numbers = {layer.key: i for i, layer in enumerate(layers)}
    by_key = {layer.key: layer for layer in workload}
    sources = (_source(layer, by_key, numbers) for layer in layers)
    return "\n".join(_zigzag(i, layer, source) for i, (layer, source) in enumerate(zip(layers, sources, strict=True)))


def to_timeloop(layer: Layer) -> str:
    """Return one layer as a Timeloop problem (YAML), with groups as a dimension of their own.

    Raises:
        WorkloadError: the layer has no products, or is a transposed convolution.
    """
    if not layer.macs or layer.kind == "conv_transpose":
        raise WorkloadError(f"layer {layer.key}: a {layer.kind} layer is no Timeloop problem")
    sizes = {"N": layer.N, "G": layer.groups, "C": layer.C // layer.groups, "M": layer.K // layer.groups}
    sizes |= {"R": layer.FX, "S": layer.FY, "P": layer.OX, "Q": layer.OY}
    sizes |= {"Wstride": layer.strides[1], "Hstride": layer.strides[0]}
    sizes |= {"Wdilation": layer.dilation[1], "Hdilation": layer.dilation[0]}
    instance = "".join(f"    {name}: {size}\n" for name, size in sizes.items())
    return f"# {layer.key}\n{TIMELOOP_SHAPE}  instance:\n{instance}"


TIMELOOP_SHAPE = """\
problem:
  shape:
    name: grouped_convolution
    dimensions: [N, G, C, M, R, S, P, Q]
    coefficients:
      - {name: Wstride, default: 1}
      - {name: Hstride, default: 1}
      - {name: Wdilation, default: 1}
      - {name: Hdilation, default: 1}
    data-spaces:
      - name: Weights
        projection: [[[G]], [[C]], [[M]], [[R]], [[S]]]
      - name: Inputs
        projection: [[[N]], [[G]], [[C]], [[R, Wdilation], [P, Wstride]], [[S, Hdilation], [Q, Hstride]]]
      - name: Outputs
        projection: [[[N]], [[G]], [[M]], [[Q]], [[P]]]
        read-write: true
"""


def _mac_layers(workload: Workload) -> tuple[Layer, ...]:
    if not workload.mac_layers:
        raise WorkloadError(f"workload {workload.name} has no layer with products")
    return workload.mac_layers


def _scalesim(layer: Layer) -> Iterator[tuple[str | int, ...]]:
    channels, filters = layer.C // layer.groups, layer.K // layer.groups
    for group in range(layer.groups):
        name = f"{layer.key}.g{group}" if layer.groups > 1 else layer.key
        name = name.replace("DP", "dp").replace(",", "_")  # "DP" would mean depthwise
        if layer.kind == "conv" and layer.strides[0] == layer.strides[1]:
            yield name, *_span(layer), layer.FY, layer.FX, channels, filters, layer.strides[0]
        elif layer.kind == "conv_transpose":
            pixels = layer.N * layer.IY * layer.IX
            yield name, pixels, channels, 1, channels, 1, filters * layer.FY * layer.FX, 1
        else:
            yield name, layer.N * layer.OY * layer.OX, layer.terms, 1, layer.terms, 1, filters, 1


def _span(layer: Layer) -> tuple[int, int]:
    """Return the input's height and width that the windows span; a batch is stacked in the height."""
    rows = layer.N * layer.OY
    return (rows - 1) * layer.strides[0] + layer.FY, (layer.OX - 1) * layer.strides[1] + layer.FX


def _zigzag(number: int, layer: Layer, source: int) -> str:
    loops = {"B": layer.N, "G": layer.groups, "K": layer.K // layer.groups, "C": layer.C // layer.groups}
    loops |= {"OY": layer.OY, "OX": layer.OX, "FY": layer.FY, "FX": layer.FX}
    stride, dilation = layer.strides, layer.dilation
    relations = f"ix={stride[1]}*ox+{dilation[1]}*fx, iy={stride[0]}*oy+{dilation[0]}*fy"
    bits = {"W": layer.weight_bits, "I": layer.activation_bits, "O": layer.sum_bits, "O_final": layer.activation_bits}
    return (
        f"- id: {number}\n"
        f"  name: {json.dumps(layer.key)}\n"
        "  operator_type: Conv\n"
        "  equation: O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]\n"
        f"  dimension_relations: [{relations}]\n"
        f"  loop_dims: [{', '.join(loops)}]\n"
        f"  loop_sizes: [{', '.join(map(str, loops.values()))}]\n"
        f"  operand_precision: {{{', '.join(f'{name}: {value}' for name, value in bits.items())}}}\n"
        f"  operand_source: {{I: {source}, W: {number}}}\n"
    )


def _source(layer: Layer, by_key: Mapping[str, Layer], numbers: Mapping[str, int]) -> int:
    """Return the number of the layer with products before this one; its own where the network's input is read."""
    reads = layer.inputs[:1]
    while reads and reads[0] in by_key:
        if reads[0] in numbers:
            return numbers[reads[0]]
        reads = by_key[reads[0]].inputs[:1]
    return numbers[layer.key]


#: Format -> writer of a whole workload; Timeloop takes one problem per layer (`to_timeloop`).
EXPORTERS: dict[str, Callable[[Workload], str]] = {"scalesim": to_scalesim, "zigzag": to_zigzag}

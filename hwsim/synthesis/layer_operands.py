"""What a processing element of an output-stationary array sees: the codes of one layer on real images, in order."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hwsim.arithmetic import IntArray
from hwsim.engines.reference import pad
from hwsim.engines.simulate import checked_images, prepare_engine
from hwsim.network import Network
from hwsim.nodes import Conv, Matmul

IMAGES = 32  #: Images that the positions are drawn from.


class Streams(NamedTuple):
    """What drives processing elements, arrays of shape (cycles, streams): one stream per element of an array.

    w, a: codes of weights and activations. clear: 1 in the first cycle of each output, where its sum begins anew.
    """

    w: IntArray
    a: IntArray
    clear: IntArray


def layer_operands(
    network: Network, layer: str, images: ArrayLike, cycles: int, streams: int, seed: int = 0
) -> Streams:
    """Return streams of codes of weights and activations, and where outputs begin.

    A stream multiplies whole outputs, one after the other, each drawn from the first images, positions and output
    channels, in the accumulator's order: input channel, kernel row, kernel column.

    Raises:
        ValueError: the network has no such layer with products, or the images do not fit it.
    """
    node = network.node(layer)
    if not isinstance(node, Matmul):
        known = ", ".join(found.name for found in network.layers)
        raise ValueError(f"{layer!r} has no products; layers that have: {known}")
    return _streams(node, _codes(network, [node], images)[node.inputs[0]], cycles, streams, seed)


def network_operands(
    network: Network, images: ArrayLike, cycles: int, streams: int, seed: int = 0
) -> Iterator[tuple[Matmul, Streams]]:
    """Yield every layer with its `layer_operands`, from one run of the network.

    Raises:
        ValueError: the images do not fit the network.
    """
    codes = _codes(network, network.layers, images)
    for node in network.layers:
        yield node, _streams(node, codes[node.inputs[0]], cycles, streams, seed)


def _codes(network: Network, layers: Iterable[Matmul], images: ArrayLike) -> dict[str, IntArray]:
    """Return the codes that these layers read of the first images, by the name of the node that they come from."""
    pixels = checked_images(np.asarray(images)[:IMAGES], network.input.shape)
    sources = list(dict.fromkeys(layer.inputs[0] for layer in layers))
    engine = prepare_engine(network, "reference", sources)
    values = engine.run(pixels).values
    return {name: engine.to_numpy(values[name]) for name in sources}


def _streams(node: Matmul, codes: IntArray, cycles: int, streams: int, seed: int) -> Streams:
    generator = np.random.default_rng(seed)
    chosen = [_stream(node, codes, cycles, generator) for _ in range(streams)]
    w, a = (np.stack(parts, axis=1) for parts in zip(*chosen, strict=True))
    starts = np.arange(cycles) % node.weight[0].size == 0
    return Streams(w, a, np.broadcast_to(starts[:, None], w.shape).astype(np.int64))


def _stream(node: Matmul, codes: IntArray, cycles: int, generator: np.random.Generator) -> tuple[IntArray, IntArray]:
    outputs = -(-cycles // node.weight[0].size)
    taken = [_output(node, codes, generator) for _ in range(outputs)]
    w, a = (np.concatenate(parts)[:cycles] for parts in zip(*taken, strict=True))
    return w, a


def _output(node: Matmul, codes: IntArray, generator: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return the operands of one output, drawn at random."""
    kernel, image = int(generator.integers(len(node.weight))), int(generator.integers(len(codes)))
    weight = node.weight[kernel]
    if not isinstance(node, Conv):
        return weight, codes[image]
    size = node.output_shape(codes.shape[1:])[1:]
    position = [int(generator.integers(n)) for n in size]
    return weight.reshape(-1), _window(node, codes[image], kernel, position).reshape(-1)


def _window(node: Conv, image: IntArray, kernel: int, position: list[int]) -> IntArray:
    """Return the codes below a kernel at one output position, shape (C/groups, FY, FX)."""
    depth, *taps = node.weight.shape[1:]
    padded = pad(image[None], node.padding, node.multiplier.activation.zero_code or 0)[0]
    first = kernel // (len(node.weight) // node.groups) * depth
    starts = [place * stride for place, stride in zip(position, node.stride, strict=True)]
    rows, columns = (
        slice(start, start + dilation * (n - 1) + 1, dilation)
        for start, dilation, n in zip(starts, node.dilation, taps, strict=True)
    )
    return np.asarray(padded[first : first + depth, rows, columns])

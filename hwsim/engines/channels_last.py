"""The fast engines' common part: which step computes which tensor; the layers come from the engine."""

from collections.abc import Callable, Collection
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.engines.bounds import fixed_bounds
from hwsim.engines.epilogue import Codes, Epilogue
from hwsim.engines.fusion import Chain, find_chains
from hwsim.engines.levels import levels_of
from hwsim.engines.simulate import Run
from hwsim.engines.staircase import line_of
from hwsim.engines.steps import (
    AdapterStep,
    AdaptiveQuantizeStep,
    Array,
    AveragePoolStep,
    ChainStep,
    InputStep,
    Layer,
    LayerStep,
    MaxPoolStep,
    QuantizeStep,
    ReferenceStep,
    Step,
    ThresholdStep,
    channels_first,
    code_type,
    fits_int64,
    quantizer_fits,
)
from hwsim.network import Network
from hwsim.nodes import (
    Adapter,
    AdaptiveQuantize,
    AdaptiveRescale,
    AvgPool,
    Matmul,
    MaxPool,
    Node,
    Quantize,
    Shape,
    Threshold,
)

Fuse = Callable[[Layer, Matmul, Chain, Quantize], Layer | None]  #: A layer that makes the next layer's codes itself.

CACHED_BYTES = 1 << 22  #: So much of a layer's 32-bit sums is finished before the next ones are computed.


def _no_fusion(layer: Layer, node: Matmul, chain: Chain, quantize: Quantize) -> Layer | None:
    return None


class ChannelsLastEngine:
    """Runs a network's steps in order; `kept` names the tensors that the caller wants to see.

    fuse: returns a layer with the chain and the quantizers that alone read it built in, or None.
    """

    def __init__(
        self, network: Network, layers: dict[str, Layer], kept: Collection[str], fuse: Fuse = _no_fusion
    ) -> None:
        self.paths = {name: layer.path for name, layer in layers.items()}
        self.kept = set(kept)
        planner = Planner(network, layers, self.kept, fuse)
        self.read_pixels, self.steps = planner.input_step(), planner.steps()
        self.last_reader = {name: step for step in self.steps for name in step.reads}

    def run(self, images: NDArray[np.float64]) -> Run:
        """Return the kept tensors of one batch of images; the others are dropped once they have been read."""
        run = Run({})
        self.read_pixels(run, images)
        for step in self.steps:
            step(run)
            for name in step.reads:
                if self.last_reader[name] is step and name not in self.kept:
                    run.values.pop(name, None)
        return run

    def to_numpy(self, value: Array) -> IntArray:
        """Return a copy of a tensor with its channels first."""
        return channels_first(value).astype(np.int64)


class Planner:
    """Chooses the steps that compute a network's tensors."""

    def __init__(self, network: Network, layers: dict[str, Layer], kept: set[str], fuse: Fuse) -> None:
        self.network, self.layers, self.fuse, self.kept = network, layers, fuse, kept
        self.chains, self.bounds = find_chains(network, kept), fixed_bounds(network)
        self.readers: dict[str, list[Node]] = {
            node.name: [other for other in network.nodes if node.name in other.inputs] for node in network.nodes
        }
        self.built_in: set[str] = set()  # nodes that other nodes' steps compute

    def input_step(self) -> InputStep:
        """Return the step that takes the images."""
        node = self.network.input
        codes, quantizers = self._codes_of(node.name)
        return InputStep(node, self.network.datapath, self._fixed_of(node.name, quantizers), quantizers, codes)

    def steps(self) -> list[Step]:
        """Return the steps in order."""
        for chain in self.chains.values():
            self.built_in |= {node.name for node in chain.nodes[:-1]}
        chained = {name: self._chain_step(chain) for name, chain in self.chains.items()}
        self.built_in |= set(self._codes_of(self.network.input.name)[1]) | {self.network.input.name}
        nodes = [node for node in self.network.nodes if node.name not in self.built_in]
        return [chained.get(node.name) or self._step(node) for node in nodes]

    def _codes_of(self, name: str) -> tuple[Codes | None, tuple[str, ...]]:
        """Return how a tensor's quantizers make codes, and those of them that make the same codes."""
        quantizers = [node for node in self.readers[name] if type(node) is Quantize]
        levels = levels_of(quantizers[0]) if quantizers else None
        if levels is None:
            return None, ()
        same = tuple(node.name for node in quantizers if levels_of(node) == levels)
        return Codes(levels, code_type(quantizers[0])), same

    def _fixed_of(self, name: str, quantizers: Collection[str]) -> tuple[str, ...]:
        """Return the tensor's name if anything but these quantizers wants it."""
        alone = {node.name for node in self.readers[name]} == set(quantizers) and quantizers
        return () if alone and name not in self.kept else (name,)

    def _chain_step(self, chain: Chain) -> Step:
        """Return the step of a chain, its quantizers and, unless the sums are kept, its layer."""
        matmul, result = self.network.node(chain.rescale.inputs[0]), chain.nodes[-1].name
        assert isinstance(matmul, Matmul)
        codes, quantizers = self._codes_of(result)
        fixed, layer, source = self._fixed_of(result, quantizers), None, matmul.name
        self.built_in |= set(quantizers)
        if len(self.readers[matmul.name]) == 1 and matmul.name not in self.kept:
            self.built_in.add(matmul.name)
            layer, source = self.layers[matmul.name], matmul.inputs[0]
        if codes and not fixed and not isinstance(chain.rescale, AdaptiveRescale):
            quantize = next(node for node in self.readers[result] if isinstance(node, Quantize))
            fused = self.fuse(layer, matmul, chain, quantize) if layer else None
            if fused is not None:
                return LayerStep(matmul, fused, *quantizers)
            codes = replace(codes, line=line_of(matmul, chain, quantize))
        epilogue = Epilogue(chain, self.network.datapath, layer.wrap_bits if layer else None, bool(fixed), codes)
        shape = _channels_last(self.network.shapes[result])
        return ChainStep(source, layer, epilogue, shape, self._together(matmul), fixed, quantizers)

    def _together(self, matmul: Matmul) -> int:
        """Return how many images to compute before they are finished."""
        largest = max(prod(self.network.shapes[name]) for name in (matmul.name, *matmul.inputs))
        return max(1, CACHED_BYTES // (4 * largest))

    def _step(self, node: Node) -> Step:
        datapath, shape = self.network.datapath, _channels_last(self.network.shapes[node.name])
        if isinstance(node, Matmul):
            return LayerStep(node, self.layers[node.name], node.name)
        if isinstance(node, Quantize) and quantizer_fits(node, -datapath.range[0]):
            return AdaptiveQuantizeStep(node) if isinstance(node, AdaptiveQuantize) else QuantizeStep(node)
        if isinstance(node, Threshold | Adapter):
            return ThresholdStep(node) if isinstance(node, Threshold) else AdapterStep(node)
        if isinstance(node, AvgPool) and self._averages(node):
            return AveragePoolStep(node, shape)
        return MaxPoolStep(node, shape) if isinstance(node, MaxPool) else ReferenceStep(node, datapath)

    def _averages(self, node: AvgPool) -> bool:
        """Return whether the kernel can take this pooling: no padding, no saturation, products that fit."""
        (low, high), rails = self.bounds[node.name], self.network.datapath.range
        largest = -rails[0] * node.kernel[0] * node.kernel[1]
        return node.padding == (0, 0) and fits_int64(node.requantizer, largest) and rails[0] <= low and high <= rails[1]


def _channels_last(shape: Shape) -> Shape:
    return (*shape[1:], shape[0])

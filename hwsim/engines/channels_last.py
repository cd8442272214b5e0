"""The fast engines' common part: which step computes which tensor; the layers come from the engine."""

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import IntArray
from hwsim.engines import elementwise
from hwsim.engines.bounds import fixed_bounds
from hwsim.engines.fusion import Chain, find_chains
from hwsim.engines.simulate import Run
from hwsim.engines.steps import (
    AdapterStep,
    AdaptiveQuantizeStep,
    Array,
    AveragePoolStep,
    ChainStep,
    Layer,
    LayerStep,
    MaxPoolStep,
    QuantizeStep,
    ReferenceStep,
    Step,
    channels_first,
    fits_int64,
    fixed_type,
)
from hwsim.network import Network
from hwsim.nodes import Adapter, AdaptiveQuantize, AdaptiveRescale, AvgPool, Input, Matmul, MaxPool, Node, Quantize

Fuse = Callable[[Layer, Matmul, Chain, Quantize], Layer | None]  #: A layer that makes the next layer's codes itself.


def _no_fusion(layer: Layer, node: Matmul, chain: Chain, quantize: Quantize) -> Layer | None:
    return None


class ChannelsLastEngine:
    """Runs a network's steps in order; `kept` names the tensors that the caller wants to see.

    fuse: returns a layer with the chain and the quantizer that alone read it built in, or None.
    """

    def __init__(
        self, network: Network, layers: dict[str, Layer], kept: Collection[str], fuse: Fuse = _no_fusion
    ) -> None:
        self.paths = {name: layer.path for name, layer in layers.items()}
        self.input, self.datapath, self.kept = network.input, network.datapath, set(kept)
        self.steps = Planner(network, layers, self.kept, fuse).steps()

    def run(self, images: NDArray[np.float64]) -> Run:
        """Return the kept tensors of one batch of images; the others are dropped once they have been read."""
        run = Run({})
        self._read_pixels(run, images)
        last_reader = {name: step for step in self.steps for name in step.reads}
        for step in self.steps:
            step(run)
            for name in step.reads:
                if last_reader[name] is step and name not in self.kept:
                    run.values.pop(name, None)
        return run

    def to_numpy(self, value: Array) -> IntArray:
        """Return a tensor with its channels first."""
        return channels_first(value).astype(np.int64)

    def _read_pixels(self, run: Run, images: NDArray[np.float64]) -> None:
        shaped = images if images.ndim == 4 else images[:, :, None, None]
        fixed = np.empty(shaped.transpose(0, 2, 3, 1).shape, dtype=fixed_type(self.datapath))
        low, high = (float(end) for end in self.datapath.range)
        scale = 2.0**self.datapath.frac_bits
        run.overflows[self.input.name] += elementwise.quantize_pixels(shaped, scale, low, high, fixed)
        run.values[self.input.name] = fixed if images.ndim == 4 else fixed[:, 0, 0]


class Planner:
    """Chooses the steps that compute a network's tensors."""

    def __init__(self, network: Network, layers: dict[str, Layer], kept: set[str], fuse: Fuse) -> None:
        self.network, self.layers, self.fuse = network, layers, fuse
        self.chains = find_chains(network, kept)
        self.readers = {
            node.name: [other for other in network.nodes if node.name in other.inputs] for node in network.nodes
        }
        self.kept, self.bounds = kept, fixed_bounds(network)

    def steps(self) -> list[Step]:
        """Return the steps in order."""
        fused = {step.node.name: step for step in map(self._fused, self.chains.values()) if step}
        skipped = {name for step in fused.values() for name in step.replaces}
        inner = {node.name for chain in self.chains.values() for node in chain.nodes} - self.chains.keys()
        nodes = [n for n in self.network.nodes if n.name not in inner | skipped and not isinstance(n, Input)]
        return [fused.get(node.name) or self._step(node) for node in nodes]

    def _fused(self, chain: Chain) -> "LayerStep | None":
        """Return a layer's step with this chain and the quantizer behind it built in, if there is such a layer."""
        node, result = self.network.node(chain.rescale.inputs[0]), chain.nodes[-1].name
        readers = self.readers[result]
        if not isinstance(node, Matmul) or {node.name, result} & self.kept or len(self.readers[node.name]) > 1:
            return None
        if len(readers) != 1 or not isinstance(readers[0], Quantize):
            return None
        if isinstance(chain.rescale, AdaptiveRescale) or isinstance(readers[0], AdaptiveQuantize):
            return None  # other steps in every sample
        layer = self.fuse(self.layers[node.name], node, chain, readers[0])
        return LayerStep(node, layer, readers[0].name, (result, readers[0].name)) if layer else None

    def _step(self, node: Node) -> Step:
        datapath, shape = self.network.datapath, self.network.shapes[node.name]
        if node.name in self.chains:
            return ChainStep(self.chains[node.name], datapath)
        if isinstance(node, Matmul):
            return LayerStep(node, self.layers[node.name], node.name)
        if isinstance(node, Quantize) and fits_int64(node.requantizer, -datapath.range[0]):
            return AdaptiveQuantizeStep(node) if isinstance(node, AdaptiveQuantize) else QuantizeStep(node)
        if isinstance(node, Adapter):
            return AdapterStep(node)
        if isinstance(node, AvgPool) and self._averages(node):
            return AveragePoolStep(node, shape)
        return MaxPoolStep(node, shape) if isinstance(node, MaxPool) else ReferenceStep(node, datapath)

    def _averages(self, node: AvgPool) -> bool:
        """Return whether the kernel can take this pooling: no padding, no saturation, products that fit."""
        (low, high), rails = self.bounds[node.name], self.network.datapath.range
        largest = -rails[0] * node.kernel[0] * node.kernel[1]
        return node.padding == (0, 0) and fits_int64(node.requantizer, largest) and rails[0] <= low and high <= rails[1]

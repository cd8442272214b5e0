"""What other simulators of approximate multipliers do, written plainly here, for the rows of a benchmark.

AdaPT (Danopoulos et al., arXiv:2203.04071) unfolds the image and reads each product from the table in the inner loop,
with all cores; torch-approx and ApproxTorch read it so, too. Everything around the layers is our compiled engine's, so
these rows show the loop alone: AdaPT's own layers were measured at 38 and 20 times float32, batch 1 and 8.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engines.channels_last import ChannelsLastEngine
from hwsim.engines.jit import kernel
from hwsim.engines.steps import Layer
from hwsim.engines.table_layer import TableLayer
from hwsim.engines.threads import share_out
from hwsim.network import Network
from hwsim.nodes import Matmul

Array = NDArray[Any]


class UnfoldedLayer:
    """A layer whose images are unfolded first: groups of one, sums in any order are exact."""

    wrap_bits: int | None = None

    def __init__(self, node: Matmul) -> None:
        self.layer = TableLayer(node)
        self.weight = self.layer.weight.reshape(len(node.weight), -1).astype(np.int32)
        self.table = self.layer.table.astype(np.int32)
        self.path = type(self).__name__

    def __call__(self, codes: Array) -> tuple[Array, int]:
        """Return the sums (N, OY, OX, K) or (N, K), and no overflows."""
        shaped = codes if codes.ndim == 4 else codes[:, None, None, :]
        rows, columns = self.layer.size(shaped)
        windows = np.lib.stride_tricks.sliding_window_view(
            self.layer.padded(shaped), self.layer.weight.shape[2:], axis=(1, 2)
        )[:, :: self.layer.conv.stride[0], :: self.layer.conv.stride[1]][:, :rows, :columns]
        unfolded = np.ascontiguousarray(windows.reshape(len(codes) * rows * columns, -1).astype(np.int32))
        sums = self.multiply(unfolded).reshape(len(codes), rows, columns, -1)
        return (sums if codes.ndim == 4 else sums[:, 0, 0]), 0

    def multiply(self, unfolded: Array) -> Array:
        """Return the sums (positions, K) of unfolded codes (positions, terms)."""
        raise NotImplementedError


class GatherLayer(UnfoldedLayer):
    """Each product is read from the table in the inner loop, on all cores."""

    def multiply(self, unfolded: Array) -> Array:
        """Return the sums (positions, K) of unfolded codes (positions, terms)."""
        sums = np.empty((len(unfolded), len(self.weight)), dtype=np.int32)
        flat, width = self.table.reshape(-1), self.table.shape[1]
        offsets = self.weight * width
        share_out(
            lambda first, last: gather(flat, offsets, unfolded[first:last], sums[first:last]),
            len(unfolded),
            sums.size * self.weight.shape[1],
        )
        return sums


@kernel
def gather(table: Array, weight: Array, unfolded: Array, sums: Array) -> None:
    """Write sums[i, k] = sum over t of table[weight[k, t] + unfolded[i, t]]."""
    for i in range(unfolded.shape[0]):
        for k in range(weight.shape[0]):
            total = np.int32(0)
            for t in range(weight.shape[1]):
                total += table[weight[k, t] + unfolded[i, t]]
            sums[i, k] = total


class IndexingLayer(UnfoldedLayer):
    """numpy reads all products of an output channel at once, and adds them up."""

    def multiply(self, unfolded: Array) -> Array:
        """Return the sums (positions, K) of unfolded codes (positions, terms)."""
        columns = [self.table[weights, unfolded].sum(axis=1, dtype=np.int32) for weights in self.weight]
        return np.stack(columns, axis=1)


#: Row -> layer; the second takes some ten seconds an image.
PEERS: dict[str, Callable[[Matmul], Layer]] = {
    "random 4x4-bit table, AdaPT-style gather loop": GatherLayer,
    "random 4x4-bit table, numpy fancy indexing": IndexingLayer,
}


def prepare_peer(name: str, network: Network, kept: list[str]) -> ChannelsLastEngine:
    """Return an engine for a network without groups and dilation whose layers are the peer's."""
    return ChannelsLastEngine(network, {node.name: PEERS[name](node) for node in network.layers}, kept)

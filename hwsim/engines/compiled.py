"""The compiled engine: any product table, any accumulator, in the stated order of additions; numba, without torch."""

from collections.abc import Collection

from hwsim.engines.channels_last import ChannelsLastEngine
from hwsim.engines.lane_layer import LaneLayer, lane_plan
from hwsim.engines.row_layer import RowLayer, row_plan
from hwsim.engines.steps import Layer, ReferenceLayer
from hwsim.network import Network
from hwsim.nodes import Matmul


def prepare(network: Network, kept: Collection[str] = ()) -> ChannelsLastEngine:
    """Return the engine for a network: weights packed, each layer's kernel chosen."""
    layers = {node.name: compiled_layer(node) for node in network.layers}
    return ChannelsLastEngine(network, layers, kept)


def compiled_layer(node: Matmul) -> Layer:
    """Return the fastest kernel for a layer: vector permutes, rows of products, or the reference engine's loop."""
    lanes, rows = lane_plan(node), row_plan(node)
    if lanes is not None:
        return LaneLayer(node, lanes)
    return RowLayer(node, rows) if rows is not None else ReferenceLayer(node)

"""Circuits of a trained network's layer: what it multiplies and adds with, and ASQ's adapter in front of it."""

import math

from hwsim.arithmetic import bits_for
from hwsim.errors import unknown_name
from hwsim.network import Network
from hwsim.nodes import Adapter, AdaptiveQuantize, Matmul
from hwsim.rtl.adapter import AdapterCircuit
from hwsim.rtl.units import Choices


def layer_named(network: Network, name: str) -> Matmul:
    """Return the layer with products of that name.

    Raises:
        ValueError: there is none; the message says what there is.
    """
    names = [layer.name for layer in network.layers]
    if name in names:
        return network.layers[names.index(name)]
    kinds = {node.name: type(node).__name__ for node in network.nodes}
    if name in kinds:
        raise ValueError(f"layer {name!r} is of kind {kinds[name]}, without products (with: {', '.join(names)})")
    raise unknown_name("layer", name, names)


def layer_choices(network: Network, name: str) -> Choices:
    """Return what the layer's circuits are made from.

    Raises:
        ValueError: there is no such layer.
    """
    layer, datapath = layer_named(network, name), network.datapath
    node = layer_adapter(network, layer)
    return Choices(
        layer.multiplier,
        layer.accumulator,
        datapath_bits=datapath.bits,
        frac_bits=datapath.frac_bits,
        adapter=adapter_circuit(network, node) if node else None,
    )


def layer_adapter(network: Network, layer: Matmul) -> Adapter | None:
    """Return the adapter whose beta the layer's codes are divided by, if it has one."""
    codes = network.node(layer.inputs[0])
    adapter = network.node(codes.inputs[1]) if isinstance(codes, AdaptiveQuantize) else None
    return adapter if isinstance(adapter, Adapter) else None


def adapter_circuit(network: Network, node: Adapter) -> AdapterCircuit:
    """Return the adapter's circuit, as wide as the largest sum of a channel in this network."""
    low, high = network.datapath.range
    positions = math.prod(network.shapes[node.inputs[0]][1:])
    return AdapterCircuit(node, bits_for(low * positions, high * positions))

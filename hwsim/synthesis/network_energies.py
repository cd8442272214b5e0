"""What the processing elements of an array spend on a network's own operands, layer by layer."""

from collections.abc import Callable

from numpy.typing import ArrayLike

from hwsim.cost.gates import find_gates
from hwsim.network import Network
from hwsim.synthesis.layer_operands import network_operands
from hwsim.synthesis.measure import CYCLES, STREAMS, mapped_energy

Report = Callable[[str], None]  #: Gets the name of each layer that is done.


def network_energies(network: Network, images: ArrayLike, report: Report = lambda _name: None) -> dict[str, float]:
    """Return the energy in fJ of one product and its sum on each layer's own operands, by the layer's name.

    The elements are those of the shipped table, their netlists mapped now or found in the user's cache; each computes
    streams of outputs drawn from the first images (`hwsim.synthesis.layer_operands`) and clears its sum between them.

    Raises:
        MissingConstantError: the table has no element for a layer.
        ValueError: the images do not fit the network.
        YosysError: there is no Yosys, or it failed.
        ModuleNotFoundError: Amaranth, which describes the circuits, is not installed.
    """
    circuits = {layer.name: find_gates(layer.multiplier, "pe").circuit for layer in network.layers}
    energies: dict[str, float] = {}
    for layer, streams in network_operands(network, images, CYCLES, STREAMS):
        energies[layer.name] = mapped_energy(circuits[layer.name], streams)["energy"]
        report(layer.name)
    return energies

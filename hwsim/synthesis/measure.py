"""One circuit of the table, measured: mapped by every flow, checked operand by operand, its switching counted."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hwsim.formats import Format
from hwsim.multipliers import Multiplier
from hwsim.synthesis.check import check_netlist
from hwsim.synthesis.equivalence import prove_equivalent
from hwsim.synthesis.flows import FLOWS, standard_cell_netlist
from hwsim.synthesis.hardware import TOP, Mappable, circuit_rtlil
from hwsim.synthesis.layer_operands import Streams
from hwsim.synthesis.mapping import synthesise
from hwsim.synthesis.netlist import Netlist
from hwsim.synthesis.switching import switching

IntArray = NDArray[np.int64]
Operands = tuple[IntArray, IntArray]  #: Codes of weights and activations, each of shape (cycles, streams).

NO_CONTROLS: Mapping[str, IntArray] = MappingProxyType({})

CYCLES, STREAMS = 256, 16  #: Length and number of the random streams that switching is counted on.


def measure(circuit: Mappable, flows: Iterable[str] = FLOWS) -> dict[str, float]:
    """Return what the flows measure of a circuit, and the energy of its switching on independent operands.

    The netlist of standard cells must compute what the simulator does: see `hwsim.synthesis.check.check_netlist`.

    Raises:
        WrongNetlistError: it does not.
        YosysError: there is no Yosys, or it failed.
        ModuleNotFoundError: Amaranth, which describes the circuits, is not installed.
    """
    rtlil = circuit_rtlil(circuit)
    measures: dict[str, float] = {}
    for flow in flows:
        mapped = synthesise(rtlil, TOP, flow, language="rtlil")
        measures |= mapped.measures
        if flow == "sky130":
            netlist = standard_cell_netlist(mapped.netlist, TOP)
            check_netlist(netlist, circuit)
            measures |= energy(netlist, random_operands(circuit.multiplier))
    return measures


def mapped_energy(circuit: Mappable, streams: Streams) -> dict[str, float]:
    """Return `energy` of a circuit on a layer's operands, its netlist mapped now or found in the user's cache.

    A processing element clears its sum where an output begins.

    Raises:
        ValueError: a code is not one of the circuit's operands.
        YosysError, ModuleNotFoundError: as `measure`.
    """
    circuit.multiplier.weight.checked(streams.w)
    circuit.multiplier.activation.checked(streams.a)
    netlist = synthesise(circuit_rtlil(circuit), TOP, "sky130", language="rtlil").netlist
    return energy(standard_cell_netlist(netlist, TOP), (streams.w, streams.a), {"clear": streams.clear})


def prove(circuit: Mappable) -> None:
    """Prove that a circuit's netlist of standard cells computes what its hardware description does, for all inputs.

    Raises:
        NotEquivalentError: it does not.
        YosysError, ModuleNotFoundError: as `measure`.
    """
    source = circuit_rtlil(circuit)
    mapped = synthesise(source, TOP, "sky130", language="rtlil")
    prove_equivalent(source, mapped.netlist, TOP, language="rtlil")


def energy(netlist: Netlist, operands: Operands, controls: Mapping[str, IntArray] = NO_CONTROLS) -> dict[str, float]:
    """Return energy and clock_energy in fJ per cycle on streams of operands, with what drives the control signals."""
    found = switching(netlist, _ports(netlist, operands, controls))
    return {"energy": round(found.energy_fj, 3), "clock_energy": round(found.clock_fj, 3)}


def random_operands(multiplier: Multiplier, cycles: int = CYCLES, streams: int = STREAMS) -> Operands:
    """Return independent codes, every used one equally likely; the same whenever they are asked for."""
    generator = np.random.default_rng(0)

    def codes(fmt: Format) -> IntArray:
        return generator.choice(fmt.codes, (cycles, streams))

    return codes(multiplier.weight), codes(multiplier.activation)


def _ports(
    netlist: Netlist, operands: Operands, controls: Mapping[str, IntArray] = NO_CONTROLS
) -> Mapping[str, IntArray]:
    """Return what drives each input port: the operands, and control signals, by default accumulating every cycle."""
    w, a = operands
    given = {"w": w, "a": a, "enable": np.ones_like(w), **controls}
    return {name: given.get(name, np.zeros_like(w)) for name in netlist.inputs}

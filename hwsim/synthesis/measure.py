"""One circuit of the table, measured: mapped by every flow, checked operand by operand, its switching counted."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hwsim.arithmetic import fit
from hwsim.errors import CheckFailedError
from hwsim.formats import Format
from hwsim.multipliers import Multiplier
from hwsim.synthesis.circuits import Circuit
from hwsim.synthesis.equivalence import prove_equivalent
from hwsim.synthesis.evaluate import evaluate, run, word
from hwsim.synthesis.flows import FLOWS, standard_cell_netlist
from hwsim.synthesis.hardware import TOP, circuit_rtlil
from hwsim.synthesis.layer_operands import Streams
from hwsim.synthesis.mapping import synthesise
from hwsim.synthesis.netlist import Netlist
from hwsim.synthesis.switching import switching

IntArray = NDArray[np.int64]
Operands = tuple[IntArray, IntArray]  #: Codes of weights and activations, each of shape (cycles, streams).

NO_CONTROLS: Mapping[str, IntArray] = MappingProxyType({})

CYCLES, STREAMS = 256, 16  #: Length and number of the random streams that switching is counted on.


class WrongNetlistError(CheckFailedError):
    """A mapped circuit computes something else than the simulator."""


def measure(circuit: Circuit, flows: Iterable[str] = FLOWS) -> dict[str, float]:
    """Return what the flows measure of a circuit, and the energy of its switching on independent operands.

    The netlist of standard cells is computed on every pair of operand codes (a processing element: on streams of
    random ones, every cycle) and must equal the simulator.

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


def mapped_energy(circuit: Circuit, streams: Streams) -> dict[str, float]:
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


def prove(circuit: Circuit) -> None:
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


def check_netlist(netlist: Netlist, circuit: Circuit) -> None:
    """Compare a netlist of standard cells with the simulator: all pairs of codes, or every cycle of random streams.

    Raises:
        WrongNetlistError: they differ; the message names the first operands.
    """
    (_check_element if circuit.unit == "pe" else _check_products)(netlist, circuit)


def _check_products(netlist: Netlist, circuit: Circuit) -> None:
    expected = circuit.multiplier.table()
    w, a = np.meshgrid(*map(np.arange, expected.shape), indexing="ij")
    found = evaluate(netlist, {"w": w, "a": a}, signed=("product",))["product"]
    _compare(circuit, found, expected, (w, a))


def _check_element(netlist: Netlist, circuit: Circuit) -> None:
    w, a = random_operands(circuit.multiplier, cycles=64)
    sums = np.cumsum(circuit.multiplier.multiply(w, a), axis=0)
    expected = fit(sums, circuit.accumulator_bits or 63, "wrap")
    states = run(netlist, _ports(netlist, (w, a)))
    bits = netlist.outputs["sum"]
    found = np.stack([word(nets, bits, signed=True) for nets in states])
    _compare(circuit, found[1:], expected[:-1], (w[:-1], a[:-1]))  # the register shows a sum one cycle later


def _compare(circuit: Circuit, found: IntArray, expected: IntArray, operands: Operands) -> None:
    wrong = np.argwhere(found != expected)
    if len(wrong):
        place = tuple(wrong[0])
        w, a = (int(codes[place]) for codes in operands)
        raise WrongNetlistError(
            f"{circuit.name}: the netlist differs from the simulator in {len(wrong)} of {found.size} places, first at "
            f"w={w}, a={a}: {found[place]} instead of {expected[place]}"
        )


def _ports(
    netlist: Netlist, operands: Operands, controls: Mapping[str, IntArray] = NO_CONTROLS
) -> Mapping[str, IntArray]:
    """Return what drives each input port: the operands, and control signals, by default accumulating every cycle."""
    w, a = operands
    given = {"w": w, "a": a, "enable": np.ones_like(w), **controls}
    return {name: given.get(name, np.zeros_like(w)) for name in netlist.inputs}

"""Simulators of circuits: Amaranth's own, and Yosys' CXXRTL, which is compiled and far faster. One per file."""

from collections.abc import Callable, Mapping

from hwsim.errors import unknown_name
from hwsim.rtl.simulators import amaranth_simulator, cxxrtl
from hwsim.rtl.unit import Unit

__all__ = ["SIMULATORS", "Respond", "simulate"]

#: Takes the value of every output and returns values for some inputs, or None to end the simulation.
Respond = Callable[[Mapping[str, int]], Mapping[str, int] | None]

SIMULATORS: dict[str, Callable[[Unit, Respond, bool], None]] = {
    "amaranth": amaranth_simulator.run,
    "cxxrtl": cxxrtl.run,
}


def simulate(unit: Unit, respond: Respond, simulator: str = "amaranth", clocked: bool = True) -> None:
    """Run a circuit from reset: again and again take outputs, set the inputs that respond returns, pass a clock edge.

    Inputs keep their values until they are set again; at first they are 0. clocked: False for a circuit without
    registers, whose outputs then follow its inputs at once.

    Raises:
        ValueError: an unknown simulator.
        OSError: the simulator needs a program that is absent or failed.
    """
    if simulator not in SIMULATORS:
        raise unknown_name("simulator", simulator, SIMULATORS)
    SIMULATORS[simulator](unit, respond, clocked)

"""What can be mapped, as hardware: the components of `hwsim.rtl`, in Yosys' own language RTLIL."""

from dataclasses import dataclass
from typing import Protocol

from hwsim.accumulator import Accumulator
from hwsim.multipliers import Multiplier

TOP = "circuit"


class Mappable(Protocol):
    """What a circuit says about itself so that it can be built, mapped, checked and measured."""

    @property
    def name(self) -> str:
        """The circuit in a few words."""

    @property
    def multiplier(self) -> Multiplier:
        """What it multiplies, as the simulator computes it."""

    @property
    def accumulator(self) -> Accumulator | None:
        """What sums the products, None for a bare multiplier."""

    @property
    def style(self) -> str | None:
        """Style of the multiplier's circuit, None for the first of its kind."""


@dataclass(frozen=True)
class CustomCircuit:
    """A circuit of a user's choice: any multiplier, alone or with any accumulator."""

    name: str
    multiplier: Multiplier
    accumulator: Accumulator | None = None
    style: str | None = None


def circuit_rtlil(circuit: Mappable) -> str:
    """Return the RTLIL of a circuit, its top module `circuit`.

    Raises:
        ModuleNotFoundError: Amaranth is not installed; the message says how to install it.
        ValueError: an unknown style.
    """
    from hwsim.rtl.multipliers import circuit_for
    from hwsim.rtl.processing_element import ProcessingElement
    from hwsim.rtl.verilog import rtlil_text

    if circuit.accumulator is None:
        return rtlil_text(circuit_for(circuit.multiplier, circuit.style), TOP)
    return rtlil_text(ProcessingElement(circuit.multiplier, circuit.accumulator, circuit.style), TOP)

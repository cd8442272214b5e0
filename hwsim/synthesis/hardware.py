"""The circuits of the table as hardware, by the components of `hwsim.rtl`, in Yosys' own language RTLIL."""

from hwsim.accumulator import Accumulator
from hwsim.synthesis.circuits import Circuit

TOP = "circuit"

#: Style of the multiplier's circuit where it is not the first of its kind: by kind, or by layout of POST's table.
STYLES = {"booth": "booth", "inferred": "inferred", "literal": "rom"}


def circuit_rtlil(circuit: Circuit) -> str:
    """Return the RTLIL of a circuit, its top module `circuit`.

    Raises:
        ModuleNotFoundError: Amaranth is not installed; the message says how to install it.
    """
    from hwsim.rtl.multipliers import circuit_for
    from hwsim.rtl.processing_element import ProcessingElement
    from hwsim.rtl.verilog import rtlil_text

    style = STYLES.get(circuit.layout or circuit.kind)
    if circuit.accumulator_bits is None:
        return rtlil_text(circuit_for(circuit.multiplier, style), TOP)
    return rtlil_text(ProcessingElement(circuit.multiplier, Accumulator(circuit.accumulator_bits), style), TOP)

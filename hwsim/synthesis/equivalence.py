"""Formal equivalence: a mapped netlist against the Verilog that it was made from, for all inputs, by Yosys."""

from hwsim.synthesis.cells import cell_models
from hwsim.synthesis.yosys import Yosys, YosysError, find_yosys

#: Both as gates, a circuit that compares all outputs, and a proof by SAT that no input makes them differ.
SCRIPT = """
read_verilog -sv design.v
hierarchy -check -top {top}
proc
flatten
opt
rename {top} gold
design -stash gold
read_verilog cells.v
read_json netlist.json
hierarchy -check -top {top}
proc
flatten
opt
rename {top} gate
design -stash gate
design -copy-from gold gold
design -copy-from gate gate
miter -equiv -flatten -make_outputs gold gate miter
hierarchy -top miter
opt -full
sat -verify -prove trigger 0 -set-def-inputs {options} miter
"""


class NotEquivalentError(ValueError):
    """A netlist computes something else than the Verilog it was made from."""


def prove_equivalent(verilog: str, netlist: str, top: str, cycles: int = 0, yosys: Yosys | None = None) -> None:
    """Prove that a netlist of the flow `sky130` computes what the module does, for all inputs.

    cycles: 0 for a combinational module; else the registers begin at 0 and so many clock cycles are compared.

    Raises:
        NotEquivalentError: some input makes an output differ.
        YosysError: Yosys failed in another way.
    """
    options = f"-seq 1 -set-init-zero -seq {cycles}" if cycles else ""
    files = {"design.v": verilog, "netlist.json": netlist, "cells.v": cell_models()}
    try:
        (yosys or find_yosys()).run(SCRIPT.format(top=top, options=options), files, [])
    except YosysError as error:
        if "SAT proof finished - model found: FAIL" in str(error) or "Called with -verify and proof did fail" in str(
            error
        ):
            raise NotEquivalentError(f"the netlist of {top} differs from its Verilog for some inputs") from error
        raise

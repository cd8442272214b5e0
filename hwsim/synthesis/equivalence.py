"""Formal equivalence: a mapped netlist against the module that it was made from, for all inputs, by Yosys."""

from hwsim.synthesis.cells import cell_models
from hwsim.synthesis.flows import standard_cell_netlist
from hwsim.synthesis.mapping import READERS
from hwsim.synthesis.yosys import Yosys, YosysError, find_yosys

PROOF_FAILED = "Called with -verify and proof did fail"
#: A proof by SAT; with registers, by induction over clock cycles: from zero on, and after any cycle of equal outputs.
COMBINATIONAL, SEQUENTIAL = "", "-tempinduct -set-init-zero -seq 1 -maxsteps 20"
#: Both as gates, and a circuit that compares all outputs, which no input may make differ.
SCRIPT = """
{reader}
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
sat -verify {method} -prove trigger 0 -set-def-inputs miter
"""


class NotEquivalentError(ValueError):
    """A netlist computes something else than the module it was made from."""


def prove_equivalent(
    source: str, netlist: str, top: str, yosys: Yosys | None = None, *, language: str = "verilog"
) -> None:
    """Prove that a netlist of the flow `sky130` computes what the module does, for all inputs, in every clock cycle.

    source: the module, as for `synthesise`. Registers begin at 0, and must show in the outputs.

    Raises:
        NotEquivalentError: some input makes an output differ.
        YosysError: Yosys failed in another way, or took too long.
    """
    method = SEQUENTIAL if standard_cell_netlist(netlist, top).registers else COMBINATIONAL
    script = SCRIPT.format(top=top, method=method, reader=READERS[language])
    files = {"design": source, "netlist.json": netlist, "cells.v": cell_models()}
    try:
        (yosys or find_yosys()).run(script, files, [])
    except YosysError as error:
        if PROOF_FAILED in str(error):
            raise NotEquivalentError(f"the netlist of {top} differs from its source for some inputs") from error
        raise

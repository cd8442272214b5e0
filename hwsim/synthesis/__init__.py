"""Synthesis: what Verilog becomes in gates, measured, checked and cached. Needs Yosys; reading netlists does not."""

from hwsim.synthesis.equivalence import NotEquivalentError, prove_equivalent
from hwsim.synthesis.evaluate import evaluate
from hwsim.synthesis.flows import FLOWS, UNITS, Flow, standard_cell_netlist
from hwsim.synthesis.mapping import Mapped, synthesise
from hwsim.synthesis.netlist import Gate, Netlist, read_netlist
from hwsim.synthesis.switching import Switching, switching
from hwsim.synthesis.timing import delay_ps, logic_depth
from hwsim.synthesis.yosys import Yosys, YosysError, find_yosys

__all__ = [
    "FLOWS",
    "UNITS",
    "Flow",
    "Gate",
    "Mapped",
    "Netlist",
    "NotEquivalentError",
    "Switching",
    "Yosys",
    "YosysError",
    "delay_ps",
    "evaluate",
    "find_yosys",
    "logic_depth",
    "prove_equivalent",
    "read_netlist",
    "standard_cell_netlist",
    "switching",
    "synthesise",
]

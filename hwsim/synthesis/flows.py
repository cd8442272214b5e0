"""What a circuit is mapped to, and what is measured there: one flow per target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwsim.synthesis.cells import FLIP_FLOP, genlib, liberty, load_cells
from hwsim.synthesis.netlist import Netlist, read_netlist
from hwsim.synthesis.timing import delay_ps, logic_depth

Measures = Mapping[str, float]

#: Any flip-flop becomes a plain one; resets and enables become gates. How it wakes up is left open: a reset decides.
PLAIN_FLIP_FLOPS = "setattr -unset init\ndfflegalize -cell $_DFF_P_ x\nopt -nodffe -nosdff\n"
GENERIC = "synth -flatten -top {top}\n"
#: What synth_xilinx begins with, but for a second of reading primitives that no circuit here has.
XILINX_CELLS = "read_verilog -lib -specify +/xilinx/cells_sim.v\n"
#: Technology-independent optimization and structural choices as in Yosys' own script, then mapping for area. For delay
#: (`map`) see benchmarks/mapping_spread.py. Yosys' own mapper (&nf) needs a buffer cell, which nothing here wants, and
#: gave larger circuits.
ABC_SCRIPT = "strash\n&get -n\n&fraig -x\n&put\nscorr\ndc2\ndretime\nstrash\ndch -f\namap\n"


@dataclass(frozen=True)
class Flow:
    """One target: what it is, the Yosys script that maps `{top}` to it, what else the script reads, and what it says.

    measure: quantities of the number of cells by type and of the text of the mapped netlist (in Yosys' JSON).
    """

    title: str
    script: str
    measure: Callable[[Mapping[str, int], str, str], Measures]
    files: Callable[[], Mapping[str, str]] = dict


#: Unit of each quantity that a flow measures.
UNITS = {
    "gates": "gate",
    "transistors": "transistor",
    "gate_depth": "gate",
    "cells": "cell",
    "flip_flops": "cell",
    "area": "um2",
    "delay": "ps",
    "cell_depth": "cell",
    "lut6": "LUT",
    "lut6_depth": "LUT",
    "xc7_lut": "LUT",
    "xc7_carry4": "CARRY4",
    "xc7_dsp": "DSP48E1",
    "ice40_lut4": "LUT",
    "ice40_carry": "SB_CARRY",
}

#: Transistors of a gate in static CMOS, as `stat -tech cmos` of Yosys counts them.
TRANSISTORS = {"$_NAND_": 4, "$_NOR_": 4, "$_NOT_": 2, "$_DFF_P_": 16}


def standard_cell_netlist(text: str, top: str) -> Netlist:
    """Return the netlist of the flow `sky130` as what can be evaluated and timed."""
    return read_netlist(text, top, (FLIP_FLOP,))


def _gates(count: Mapping[str, int], text: str, top: str) -> Measures:
    gates = read_netlist(text, top, ("$_DFF_P_",))
    return {
        "gates": sum(number for kind, number in count.items() if kind != "$_DFF_P_"),
        "transistors": sum(TRANSISTORS[kind] * number for kind, number in count.items()),
        "gate_depth": logic_depth(gates),
    }


def _standard_cells(count: Mapping[str, int], text: str, top: str) -> Measures:
    netlist, cells = standard_cell_netlist(text, top), load_cells()
    return {
        "cells": sum(count.values()),
        "flip_flops": count.get(FLIP_FLOP, 0),
        "area": round(sum(cells[kind].area_um2 * number for kind, number in count.items()), 4),
        "delay": round(delay_ps(netlist), 2),
        "cell_depth": logic_depth(netlist),
    }


def _luts(count: Mapping[str, int], text: str, top: str) -> Measures:
    netlist = read_netlist(text, top, ("$_DFF_P_",))
    return {"lut6": count.get("$lut", 0), "lut6_depth": logic_depth(netlist)}


def _xilinx(count: Mapping[str, int], _text: str, _top: str) -> Measures:
    luts = sum(number for kind, number in count.items() if kind.startswith("LUT"))
    return {"xc7_lut": luts, "xc7_carry4": count.get("CARRY4", 0), "xc7_dsp": count.get("DSP48E1", 0)}


def _ice40(count: Mapping[str, int], _text: str, _top: str) -> Measures:
    return {"ice40_lut4": count.get("SB_LUT4", 0), "ice40_carry": count.get("SB_CARRY", 0)}


FLOWS: dict[str, Flow] = {
    "cmos": Flow(
        "NAND2, NOR2 and inverters: gates, transistors, depth",
        f"{GENERIC}{PLAIN_FLIP_FLOPS}abc -g cmos2\n",
        _gates,
    ),
    "sky130": Flow(
        "standard cells of sky130_fd_sc_hd: area, delay, depth",
        f"read_liberty -lib cells.lib\n{GENERIC}{PLAIN_FLIP_FLOPS}dfflibmap -liberty cells.lib\n"
        "abc -genlib cells.genlib -script cells.abc\n",
        _standard_cells,
        lambda: {"cells.lib": liberty(), "cells.genlib": genlib(), "cells.abc": ABC_SCRIPT},
    ),
    "lut6": Flow(
        "6-input look-up tables without carry chains: number, depth",
        f"{GENERIC}{PLAIN_FLIP_FLOPS}abc -lut 6\n",
        _luts,
    ),
    "xc7": Flow(
        "AMD 7 series: LUT, CARRY4, DSP48E1",
        f"{XILINX_CELLS}synth_xilinx -family xc7 -flatten -noclkbuf -run prepare: -top {{top}}\n",
        _xilinx,
    ),
    "ice40": Flow("Lattice iCE40: LUT4, carry", "synth_ice40 -flatten -top {top}\n", _ice40),
}

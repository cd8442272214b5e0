"""The standard cells that circuits are mapped to: a few of SkyWater's sky130_fd_sc_hd, from facts of our own list.

`sky130.csv` holds facts, not the library:

* width_um and gate_area_um2: SIZE and ANTENNAGATEAREA of each cell's .lef in google/skywater-pdk-libs-sky130_fd_sc_hd
  (Copyright 2020 The SkyWater PDK Authors, Apache-2.0). All cells are `ROW_HEIGHT_UM` high.
* delay_ps, from each input to the output: the pin delays of the cells of drive strength 2 in
  `experiments/cell_libraries/sky130.genlib` of lsils/mockturtle (MIT), which ABC derived from the library's tables at a
  constant ratio of load to input capacitance: one number per pin, whatever the load. The inverter's, which that list
  lacks, is the mean of inv_1's rise and fall tables at tt_025C_1v80, 10 ps input slew and a load of 2.5 of its own
  inputs; the same reading of nand2_1's pin A gives 53 ps, the list 51. At a constant ratio a delay depends little on
  the drive strength, so they stand for the cells of drive strength 1 (and2: 0) that are used here.

So areas are the foundry's; delays compare circuits with each other, and are no timing sign-off: no wires, no slews.
"""

import ast
import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]

ROW_HEIGHT_UM = 2.72
#: Input capacitance per gate area: pin A of nand2_1, 2.315 fF at tt_025C_1v80, over its 0.2475 um2.
FF_PER_UM2 = 2.315 / 0.2475
SUPPLY_V = 1.8  #: Of the typical corner, tt_025C_1v80.
FLIP_FLOP = "dfxtp_1"
GATE_EQUIVALENT = "nand2_1"


@dataclass(frozen=True)
class Cell:
    """A standard cell: its area, its function, and delay and gate area of each input."""

    name: str
    area_um2: float
    output: str
    function: str
    delay_ps: Mapping[str, float]
    gate_area_um2: Mapping[str, float]

    def evaluate(self, inputs: Mapping[str, BoolArray]) -> BoolArray:
        """Return the output for arrays of input values by pin."""
        return _value(_parsed(self.function), inputs)

    def capacitance_ff(self, pin: str) -> float:
        """Return the input capacitance of a pin, by its gate area."""
        return self.gate_area_um2[pin] * FF_PER_UM2


@cache
def load_cells() -> Mapping[str, Cell]:
    """Return the cells by name."""
    text = resources.files("hwsim.synthesis").joinpath("sky130.csv").read_text(encoding="utf-8")
    return {row["cell"]: _cell(row) for row in csv.DictReader(io.StringIO(text))}


def liberty() -> str:
    """Return the cells as a Liberty library: areas and functions. Yosys maps flip-flops by it."""
    blocks = "\n".join(_liberty_cell(cell) for cell in load_cells().values())
    return f"library(hwsim_sky130) {{\n{blocks}\n}}\n"


def genlib() -> str:
    """Return the gates as an SIS genlib library, areas and pin delays, which is what ABC maps by."""
    gates = (line for cell in load_cells().values() if cell.function for line in _genlib_gate(cell))
    return "\n".join(("GATE ZERO 0 Y=CONST0;", "GATE ONE 0 Y=CONST1;", *gates)) + "\n"


def cell_models() -> str:
    """Return a Verilog module for each cell."""
    return "\n".join(_model(cell) for cell in load_cells().values())


def _model(cell: Cell) -> str:
    ports = ", ".join((*(f"input {pin}" for pin in cell.gate_area_um2), f"output {cell.output}"))
    if cell.name == FLIP_FLOP:
        return f"module {cell.name}({ports}); reg q; always @(posedge CLK) q <= D; assign Q = q; endmodule"
    return f"module {cell.name}({ports}); assign {cell.output} = {cell.function.replace('!', '~')}; endmodule"


def _genlib_gate(cell: Cell) -> Iterator[str]:
    function = cell.function.replace("&", "*").replace("|", "+")
    yield f"GATE {cell.name} {cell.area_um2} {cell.output}={function};"
    for pin, delay in cell.delay_ps.items():
        yield f"  PIN {pin} UNKNOWN 1 999 {delay} 0 {delay} 0"


def _cell(row: Mapping[str, str]) -> Cell:
    pins = row["pins"].split()
    delays = (float(value) for value in row["delay_ps"].split())
    gates = (float(value) for value in row["gate_area_um2"].split())
    area = round(float(row["width_um"]) * ROW_HEIGHT_UM, 4)
    delay_ps = dict(zip(pins, delays, strict=True)) if row["function"] else {}
    return Cell(row["cell"], area, row["output"], row["function"], delay_ps, dict(zip(pins, gates, strict=True)))


def _liberty_cell(cell: Cell) -> str:
    inputs = "".join(f"  pin({pin}) {{ direction : input; }}\n" for pin in cell.gate_area_um2)
    if cell.name == FLIP_FLOP:
        state = '  ff(IQ, IQN) { clocked_on : "CLK"; next_state : "D"; }\n'
        inputs = inputs.replace("pin(CLK) {", "pin(CLK) { clock : true;")
        function = "IQ"
    else:
        state, function = "", cell.function
    output = f'  pin({cell.output}) {{ direction : output; function : "{function}"; }}\n'
    return f"cell({cell.name}) {{\n  area : {cell.area_um2};\n{state}{inputs}{output}}}"


@cache
def _parsed(function: str) -> ast.expr:
    return ast.parse(function.replace("!", "~"), mode="eval").body


def _value(node: ast.expr, inputs: Mapping[str, BoolArray]) -> BoolArray:
    match node:
        case ast.Name(id=pin):
            return inputs[pin]
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return ~_value(operand, inputs)
        case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
            return _value(left, inputs) & _value(right, inputs)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _value(left, inputs) | _value(right, inputs)
        case ast.BinOp(left=left, op=ast.BitXor(), right=right):
            return _value(left, inputs) ^ _value(right, inputs)
    raise ValueError(f"a cell's function has !, &, |, ^ and pins, got {ast.unparse(node)!r}")

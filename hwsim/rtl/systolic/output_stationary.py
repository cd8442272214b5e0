"""The output-stationary array: each element keeps one sum, activations flow east, weights flow south."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.rtl.logic import passed_if
from hwsim.rtl.processing_element import ProcessingElement
from hwsim.rtl.systolic.array import SystolicArray, delayed
from hwsim.rtl.systolic.controller import Controller


class OutputCell(wiring.Component):
    """A processing element that hands its operands on.

    east, south: what comes from the west and from the north, a cycle later. west holds the activation code, whether it
    is one, and whether it is the last of a sum; north the weight code and whether it is one. `done` says that `sum` is
    finished, for one cycle, after which the element begins at 0; in other cycles sum is 0, so that a column's sums can
    be joined by OR.
    """

    def __init__(self, element: ProcessingElement) -> None:
        self.element = element
        west, north = unsigned(len(element.a) + 2), unsigned(len(element.w) + 1)
        flows = {"west": In(west), "north": In(north), "east": Out(west), "south": Out(north)}
        super().__init__({**flows, "sum": Out(unsigned(len(element.sum))), "done": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        m.submodules.element = self.element
        *_, used, last = self.west
        enable = used & self.north[-1]
        m.d.comb += [
            self.element.a.eq(self.west[:-2]),
            self.element.w.eq(self.north[:-1]),
            self.element.enable.eq(enable),
            self.element.clear.eq(self.done),
            self.sum.eq(passed_if(self.done, self.element.sum.as_unsigned())),
        ]
        m.d.sync += [self.east.eq(self.west), self.south.eq(self.north), self.done.eq(last & enable)]
        return m


class OutputStationaryArray(SystolicArray):
    """Rows are positions m, columns are channels n; feeding asks for a[row_base + r, index], w[column_base + c, index].

    A tile takes K + rows + columns - 2 cycles. Column c puts out the sums of its rows one after the other, from the
    first row down: for each tile, `row_base` first.
    """

    dataflow = "output-stationary"
    words = (
        "Rows are m, columns are n.",
        "While feeding, a holds a[row_base + row, index] and w holds w[column_base + column, index].",
        "Each column puts out its sums in the order of m, tile after tile.",
    )

    def connect(self, m: Module, control: Controller) -> None:
        """Skew the operands, chain the cells, join the sums of each column."""
        m.d.comb += [control.length.eq(self.size_k), control.row_size.eq(self.size_m)]
        cells = [[self._cell(m, row, column) for column in range(self.columns)] for row in range(self.rows)]
        for row, line in enumerate(cells):
            code = self.a.word_select(row, self.a_bits)
            used = control.feeding & control.rows_used[row]
            west = delayed(m, f"a{row}", Cat(code, used, control.last), row)
            m.d.comb += [cell.west.eq(flow) for cell, flow in zip(line, [west, *(c.east for c in line)], strict=False)]
        for column, stack in enumerate(zip(*cells, strict=True)):
            code = self.w.word_select(column, self.w_bits)
            north = delayed(m, f"w{column}", Cat(code, control.columns_used[column]), column)
            m.d.comb += [
                cell.north.eq(flow) for cell, flow in zip(stack, [north, *(c.south for c in stack)], strict=False)
            ]
            m.d.comb += self.sums.word_select(column, self.accumulator.bits).eq(reduce(or_, (c.sum for c in stack)))
            m.d.comb += self.valid[column].eq(reduce(or_, (c.done for c in stack)))

    def _cell(self, m: Module, row: int, column: int) -> OutputCell:
        cell = OutputCell(ProcessingElement(self.multiplier, self.accumulator, self.style))
        m.submodules[f"cell_{row}_{column}"] = cell
        return cell

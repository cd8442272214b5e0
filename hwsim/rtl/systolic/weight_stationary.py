"""The weight-stationary array: each element keeps one weight, activations flow east, sums flow south."""

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.rtl.logic import fitted, passed_if
from hwsim.rtl.multipliers import MultiplierCircuit, circuit_for
from hwsim.rtl.systolic.array import SystolicArray, delayed
from hwsim.rtl.systolic.controller import Controller


class WeightCell(wiring.Component):
    """A weight register, a multiplier, and an adder into the sum that passes.

    With `load` the weight becomes what `north` holds and goes on south. west holds the activation code and whether it
    is one; east has it a cycle later. sum_out is fit(sum_in + product) a cycle later, `valid` goes with it.
    """

    def __init__(self, circuit: MultiplierCircuit, sum_bits: int, overflow: str) -> None:
        self.circuit, self.overflow = circuit, overflow
        west, north = unsigned(len(circuit.a) + 1), unsigned(len(circuit.w))
        flows = {"west": In(west), "north": In(north), "east": Out(west), "south": Out(north), "load": In(1)}
        sums = {"sum_in": In(signed(sum_bits)), "sum_out": Out(signed(sum_bits))}
        super().__init__({**flows, **sums, "valid_in": In(1), "valid_out": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        m.submodules.multiplier = self.circuit
        m.d.comb += [self.circuit.w.eq(self.south), self.circuit.a.eq(self.west[:-1])]
        with m.If(self.load):
            m.d.sync += self.south.eq(self.north)
        total = self.sum_in + passed_if(self.west[-1], self.circuit.product)
        m.d.sync += [
            self.east.eq(self.west),
            self.sum_out.eq(fitted(total, len(self.sum_out), self.overflow)),
            self.valid_out.eq(self.valid_in),
        ]
        return m


class WeightStationaryArray(SystolicArray):
    """Rows are terms k, columns are channels n. A tile takes 2 rows + M + columns - 2 cycles, `rows` of them to load.

    loading asks for w[column_base + c, row_base + index], the bottom row first; feeding asks for a[index, row_base + r]
    and for `sums_in`: the sums [index, column_base + c] that the tile before put out, 0 where row_base is 0. Products
    are added in the order of k, and saturated after each addition, as in the output-stationary array.
    """

    dataflow = "weight-stationary"
    words = (
        "Rows are k, columns are n. While loading, w holds w[column_base + column, row_base + index].",
        "While feeding, a holds a[index, row_base + row], and sums_in holds the sums for m = index that the columns",
        "put out in the tile of rows before, or 0 in the first one.",
        "Each column puts out its sums in the order of m; those of the last tile of rows are finished.",
    )

    @property
    def load_steps(self) -> int:
        """A row of weights per cycle."""
        return self.rows

    def more_ports(self) -> dict[str, object]:
        """Return the port of the sums that go on."""
        return {"sums_in": In(self.columns * self.accumulator.bits)}

    def connect(self, m: Module, control: Controller) -> None:
        """Skew activations and sums, chain the cells."""
        bits = self.accumulator.bits
        m.d.comb += [control.length.eq(self.size_m), control.row_size.eq(self.size_k)]
        cells = [[self._cell(m, control, row, column) for column in range(self.columns)] for row in range(self.rows)]
        for row, line in enumerate(cells):
            code, used = self.a.word_select(row, self.a_bits), control.feeding & control.rows_used[row]
            west = delayed(m, f"a{row}", Cat(code, used), row)
            m.d.comb += [cell.west.eq(flow) for cell, flow in zip(line, [west, *(c.east for c in line)], strict=False)]
        for column, stack in enumerate(zip(*cells, strict=True)):
            weights = [self.w.word_select(column, self.w_bits), *(cell.south for cell in stack)]
            sums = [self._first_sum(m, column), *(cell.sum_out for cell in stack)]
            used = delayed(m, f"used{column}", control.feeding & control.columns_used[column], column)
            valid = [used, *(cell.valid_out for cell in stack)]
            for cell, weight, total, flag in zip(stack, weights, sums, valid, strict=False):
                m.d.comb += [cell.north.eq(weight), cell.sum_in.eq(total), cell.valid_in.eq(flag)]
            m.d.comb += self.sums.word_select(column, bits).eq(sums[-1])
            m.d.comb += self.valid[column].eq(valid[-1])

    def _first_sum(self, m: Module, column: int) -> Signal:
        first = Signal(signed(self.accumulator.bits), name=f"sum{column}")
        m.d.comb += first.eq(self.sums_in.word_select(column, self.accumulator.bits))
        return delayed(m, f"sum{column}", first, column)

    def _cell(self, m: Module, control: Controller, row: int, column: int) -> WeightCell:
        circuit = circuit_for(self.multiplier, self.style)
        cell = WeightCell(circuit, self.accumulator.bits, self.accumulator.overflow)
        m.submodules[f"cell_{row}_{column}"] = cell
        m.d.comb += cell.load.eq(control.loading)
        return cell

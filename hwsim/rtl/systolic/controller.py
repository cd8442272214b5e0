"""The counters that drive a systolic array: which step of which tile comes now."""

from amaranth.hdl import Cat, Module, Mux, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

SIZE_BITS = 20  #: Of every size and index: at most 2^20 - 1 rows, columns or steps of one matrix product.


class Controller(wiring.Component):
    """Walks through the tiles of a matrix product; each tile takes `load_steps` + length + rows + columns - 2 cycles.

    Ports in: start (taken while not busy), and the sizes of the product, each at least 1, which stay while busy:
    `length` (steps that stream through a tile), `row_size` and `column_size` (what rows and columns run over).
    Ports out: busy; `loading` and `feeding` with `index` (in loading it counts down, the bottom row's weight first);
    the `last` step of feeding; `row_base` and `column_base` of the tile, row tiles in the inner loop; for
    each row and column whether the tile fills it.
    """

    def __init__(self, rows: int, columns: int, load_steps: int) -> None:
        self.rows, self.columns, self.load_steps = rows, columns, load_steps
        sizes = {name: In(SIZE_BITS) for name in ("length", "row_size", "column_size")}
        places = {name: Out(SIZE_BITS) for name in ("index", "row_base", "column_base")}
        flags = {name: Out(1) for name in ("busy", "loading", "feeding", "last")}
        used = {"rows_used": Out(unsigned(rows)), "columns_used": Out(unsigned(columns))}
        super().__init__({"start": In(1), **sizes, **places, **flags, **used, "step": Out(SIZE_BITS + 1)})

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        fed = self.step - self.load_steps
        load_index = self.load_steps - 1 - self.step
        m.d.comb += [
            self.loading.eq(self.busy & (self.step < self.load_steps)),
            self.feeding.eq(self.busy & (self.step >= self.load_steps) & (fed < self.length)),
            self.index.eq(Mux(self.loading, load_index, fed)),
            self.last.eq(self.feeding & (fed == self.length - 1)),
            self.rows_used.eq(Cat(self.row_base + row < self.row_size for row in range(self.rows))),
            self.columns_used.eq(Cat(self.column_base + column < self.column_size for column in range(self.columns))),
        ]
        self._advance(m)
        return m

    def _advance(self, m: Module) -> None:
        """Count steps, and after a tile's last step row tiles, and after the last of these column tiles."""
        next_row, next_column = self.row_base + self.rows, self.column_base + self.columns
        with m.If(~self.busy):
            m.d.sync += [self.busy.eq(self.start), self.step.eq(0), self.row_base.eq(0), self.column_base.eq(0)]
        with m.Elif(self.step + 1 != self.length + (self.load_steps + self.rows + self.columns - 2)):
            m.d.sync += self.step.eq(self.step + 1)
        with m.Else():
            rows_end, columns_end = next_row >= self.row_size, next_column >= self.column_size
            m.d.sync += [
                self.step.eq(0),
                self.row_base.eq(Mux(rows_end, 0, next_row)),
                self.column_base.eq(Mux(rows_end, next_column, self.column_base)),
                self.busy.eq(~(rows_end & columns_end)),
            ]

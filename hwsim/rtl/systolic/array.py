"""What every systolic array is: its ports, its controller, and registers that skew what flows in."""

from abc import abstractmethod
from typing import ClassVar

from amaranth.hdl import Module, Signal, Value
from amaranth.lib.wiring import In, Out

from hwsim.accumulator import Accumulator
from hwsim.errors import check_integer
from hwsim.multipliers import Multiplier
from hwsim.rtl.logic import register_words
from hwsim.rtl.multipliers import circuit_for
from hwsim.rtl.systolic.controller import SIZE_BITS, Controller
from hwsim.rtl.unit import Unit

MAX_SIDE = 64  #: Most rows and most columns.


class SystolicArray(Unit):
    """Rows x columns of elements that compute the matrix product sums[m, n] = sum over k of w[n, k] * a[m, k].

    Ports in: start and the sizes `size_m`, `size_n`, `size_k` (each at least 1, kept while busy); `a`, one activation
    code per row, the first row in the lowest bits, and `w`, one weight code per column. They answer, in the same cycle,
    what the ports out ask for: `loading` and `feeding` with `index`, `row_base`, `column_base`.
    Ports out besides: `valid`, a bit per column: that column puts out a finished sum, as `sums` holds for it.

    Tiles follow each other without overlap, row tiles in the inner loop; `busy` lasts as many cycles as the dataflow's
    closed form in `hwsim.cost.systolic` says, plus one, since that counts from 0. The last sums are put out in the
    cycle after.

    Raises:
        ValueError: rows or columns outside 1..64, or multipliers that cannot be built in that style.
    """

    dataflow: ClassVar[str]
    words: ClassVar[tuple[str, ...]]  #: What the dataflow means, for the description.

    def __init__(
        self, multiplier: Multiplier, accumulator: Accumulator, rows: int, columns: int, style: str | None = None
    ) -> None:
        check_integer("rows of a systolic array", rows, 1, MAX_SIDE)
        check_integer("columns of a systolic array", columns, 1, MAX_SIDE)
        self.multiplier, self.accumulator, self.style = multiplier, accumulator, style
        self.rows, self.columns = rows, columns
        self.circuit = circuit_for(multiplier, style)  #: Of each element; this one describes them.
        sizes = {name: In(SIZE_BITS) for name in ("size_m", "size_n", "size_k")}
        codes = {"a": In(rows * self.a_bits), "w": In(columns * self.w_bits)}
        flags = {name: Out(1) for name in ("busy", "loading", "feeding")}
        places = {name: Out(SIZE_BITS) for name in ("index", "row_base", "column_base")}
        sums = {"sums": Out(columns * accumulator.bits), "valid": Out(columns)}
        super().__init__({"start": In(1), **sizes, **codes, **flags, **places, **sums, **self.more_ports()})

    @property
    def a_bits(self) -> int:
        """Bits of an activation code."""
        return self.multiplier.activation.code_bits

    @property
    def w_bits(self) -> int:
        """Bits of a weight code."""
        return self.multiplier.weight.code_bits

    @property
    def load_steps(self) -> int:
        """Cycles at the beginning of each tile in which nothing streams."""
        return 0

    def more_ports(self) -> dict[str, object]:
        """Return the ports that only this dataflow has."""
        return {}

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        control = m.submodules.controller = Controller(self.rows, self.columns, self.load_steps)
        passed_on = ("busy", "loading", "feeding", "index", "row_base", "column_base")
        m.d.comb += [getattr(self, name).eq(getattr(control, name)) for name in passed_on]
        m.d.comb += [control.start.eq(self.start), control.column_size.eq(self.size_n)]
        self.connect(m, control)
        return m

    @abstractmethod
    def connect(self, m: Module, control: Controller) -> None:
        """Give the controller its sizes, make the elements and connect them."""

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        return (
            f"Systolic array, {self.rows} rows x {self.columns} columns, {self.dataflow}:",
            "sums[m, n] = sum over k of w[n, k] * a[m, k], m < size_m, n < size_n, k < size_k.",
            *self.words,
            f"sums: {register_words(self.accumulator.bits, self.accumulator.overflow)}",
            *self.circuit.description(),
        )


def delayed(m: Module, name: str, value: Value, cycles: int) -> Value:
    """Return the value of so many cycles ago, from a chain of registers."""
    for place in range(cycles):
        register = Signal(value.shape(), name=f"{name}_delay{place}")
        m.d.sync += register.eq(value)
        value = register
    return value

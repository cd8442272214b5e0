"""The processing element: a multiplier and the register that sums its products."""

from amaranth.hdl import Module, Mux, signed
from amaranth.lib.wiring import In, Out

from hwsim.accumulator import Accumulator
from hwsim.multipliers import Multiplier
from hwsim.rtl.logic import fitted, named, passed_if, register_words
from hwsim.rtl.multipliers import circuit_for
from hwsim.rtl.unit import Unit

LONGEST_SUM = 4608  #: Products of one output of ResNet-18's widest layers: 512 channels x 3 x 3.


class ProcessingElement(Unit):
    """Multiplier and accumulator: at each clock edge, sum <= fit((0 if clear else sum) + (w * a if enable else 0)).

    fit is the accumulator's overflow: `saturate` stays at the end of the range, `wrap` drops the carry. `error` stands
    for weights that cannot overflow, so its hardware is that of `wrap`. clear with enable begins a new sum.
    """

    def __init__(self, multiplier: Multiplier, accumulator: Accumulator, style: str | None = None) -> None:
        self.circuit = circuit_for(multiplier, style)
        self.accumulator = accumulator
        codes = {"w": In(len(self.circuit.w)), "a": In(len(self.circuit.a))}
        super().__init__({**codes, "enable": In(1), "clear": In(1), "sum": Out(signed(accumulator.bits))})

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        m.submodules.multiplier = self.circuit
        m.d.comb += [self.circuit.w.eq(self.w), self.circuit.a.eq(self.a)]
        product = passed_if(self.enable, self.circuit.product)
        total = named(m, "total", Mux(self.clear, 0, self.sum) + product)
        m.d.sync += self.sum.eq(fitted(total, self.accumulator.bits, self.accumulator.overflow))
        return m

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        return (
            "Processing element: at each clock edge, sum <= (0 if clear else sum) + (w * a if enable else 0).",
            f"sum: {register_words(self.accumulator.bits, self.accumulator.overflow)}",
            *self.circuit.description(),
        )

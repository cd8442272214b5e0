"""A linear layer of ASQ's adapter: the hardware of `hwsim.adapter.AdapterLayer`."""

import numpy as np
from amaranth.hdl import Array, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwsim.adapter import HIDDEN_BITS, AdapterLayer
from hwsim.arithmetic import Requantizer, bits_for
from hwsim.rtl.logic import clipped, value_shape
from hwsim.rtl.lookup import lookup
from hwsim.rtl.requantizer import MULTIPLIER_BITS, SHIFT_BITS
from hwsim.rtl.rounding import rounded_shift
from hwsim.rtl.unit import Unit


class AdapterLayerCircuit(Unit):
    """Takes one code per clock cycle while `ready`, then gives one output per cycle while `out_valid`.

    A multiplier and an accumulator per output, one requantizer for all; weights, biases and scales are constants.
    Outputs are clip(requantize(weight @ codes + bias), low, high), as in the software.
    """

    def __init__(self, layer: AdapterLayer, code: Shape, low: int, high: int) -> None:
        self.layer, self.low, self.high = layer, low, high
        taken = {"code_valid": In(1), "code": In(code), "ready": Out(1)}
        super().__init__({**taken, "out_valid": Out(1), "out": Out(value_shape(low, high))})

    def elaborate(self, platform: object) -> Module:
        """Return the logic: a phase that takes codes, a phase that gives outputs."""
        m = Module()
        outputs, inputs = self.layer.weight.shape
        giving, channel, output = Signal(), Signal(range(inputs)), Signal(range(outputs))
        sums = self._sums(m, channel)
        with m.If(self.code_valid & ~giving):
            m.d.sync += channel.eq(channel + 1)
            with m.If(channel == inputs - 1):
                m.d.sync += [channel.eq(0), giving.eq(1)]
        with m.If(giving):
            m.d.sync += output.eq(output + 1)
            with m.If(output == outputs - 1):
                m.d.sync += [output.eq(0), giving.eq(0)]
        scaled = requantized(m, Array(sums)[output], output, self.layer.requantizer, outputs)
        m.d.comb += [
            self.ready.eq(~giving),
            self.out_valid.eq(giving),
            self.out.eq(clipped(scaled, self.low, self.high)),
        ]
        return m

    def _sums(self, m: Module, channel: Value) -> list[Signal]:
        """Return the accumulators, which begin with the bias."""
        largest = self.layer.largest_sum(1 << len(self.code))
        sums = []
        for j, (row, bias) in enumerate(zip(self.layer.weight, self.layer.bias.tolist(), strict=True)):
            total = Signal(signed(bits_for(-largest, largest)), name=f"sum{j}")
            product = lookup(m, f"weight{j}", channel, row, signed(HIDDEN_BITS)) * self.code
            with m.If(self.code_valid & self.ready):
                m.d.sync += total.eq(product + bias)
                with m.If(channel != 0):
                    m.d.sync += total.eq(product + total)
            sums.append(total)
        return sums

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        outputs, inputs = self.layer.weight.shape
        return (
            f"Layer of ASQ's adapter: {outputs} outputs clip(requantize(weight @ codes + bias), {self.low}, "
            f"{self.high}) of {inputs} codes.",
        )


def requantized(m: Module, x: Value, place: Value, requantizer: Requantizer, places: int) -> Value:
    """Return x scaled by the requantizer's constants for that place (a channel); they are the same if it has one."""
    multipliers, shifts = (np.broadcast_to(v, (places,)) for v in (requantizer.multiplier, requantizer.shift))
    multiplier = lookup(m, "scale", place, multipliers, signed(MULTIPLIER_BITS))
    shift = lookup(m, "scale_shift", place, shifts, unsigned(SHIFT_BITS))
    return rounded_shift(m, x * multiplier, shift, requantizer.rounding)

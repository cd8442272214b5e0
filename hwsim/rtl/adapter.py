"""ASQ's adapter: from the channels' sums to beta, as the node Adapter does."""

from itertools import pairwise

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwsim.adapter import HIDDEN_BITS
from hwsim.nodes import Adapter
from hwsim.rtl.adapter_layer import AdapterLayerCircuit, requantized
from hwsim.rtl.logic import clipped, value_shape
from hwsim.rtl.unit import Unit


class AdapterCircuit(Unit):
    """Takes the sum of one channel per clock cycle while `ready`; `done` is 1 for one cycle when beta is new.

    Each sum becomes a code of the node's format, the layers follow each other, and beta stays until the next one.
    sum_bits: of a channel's sum over all positions. While a layer gives its outputs, nothing is taken.
    """

    def __init__(self, node: Adapter, sum_bits: int) -> None:
        self.node = node
        self.low, self.high = int(node.format.min_level), int(node.format.max_level)
        taken = {"valid": In(1), "sum": In(signed(sum_bits)), "ready": Out(1)}
        super().__init__({**taken, "done": Out(1), "beta": Out(unsigned(node.bits))})

    @property
    def layers(self) -> list[AdapterLayerCircuit]:
        """New circuits of the layers, in order."""
        *inner, last = self.node.layers
        shapes = [value_shape(self.low, self.high), *([unsigned(HIDDEN_BITS)] * len(inner))]
        ends = [*[(0, (1 << HIDDEN_BITS) - 1)] * len(inner), (1, (1 << self.node.bits) - 1)]
        layers = zip((*inner, last), shapes, ends, strict=True)
        return [AdapterLayerCircuit(layer, shape, *end) for layer, shape, end in layers]

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        layers = self.layers
        for place, layer in enumerate(layers):
            m.submodules[f"layer{place}"] = layer
        channels = self.node.layers[0].weight.shape[1]
        channel, ready = Signal(range(channels)), layers[0].ready
        for before, layer in pairwise(layers):
            m.d.comb += [layer.code_valid.eq(before.out_valid), layer.code.eq(before.out)]
            ready &= layer.ready
        scaled = requantized(m, self.sum, channel, self.node.requantizer, channels)
        m.d.comb += [self.ready.eq(ready), layers[0].code.eq(clipped(scaled, self.low, self.high))]
        m.d.comb += layers[0].code_valid.eq(self.valid & ready)
        with m.If(self.valid & ready):
            m.d.sync += channel.eq(channel + 1)
            with m.If(channel == channels - 1):
                m.d.sync += channel.eq(0)
        m.d.sync += self.done.eq(layers[-1].out_valid)
        with m.If(layers[-1].out_valid):
            m.d.sync += self.beta.eq(layers[-1].out)
        return m

    def description(self) -> tuple[str, ...]:
        """Return what it computes."""
        return (
            f"Adapter of ASQ: beta, 1 .. {(1 << self.node.bits) - 1} in units of 2^-{self.node.frac_bits}, of the sums "
            "of a sample's channels.",
            f"sum: {len(self.sum)} bits in two's complement, one channel per cycle while ready",
            *(line for layer in self.layers for line in layer.description()),
        )

"""Small pieces of logic that several circuits share."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned

from hwsim.arithmetic import bits_for, register_bits, register_range


def value_shape(low: int, high: int) -> Shape:
    """Return the narrowest shape for low .. high: two's complement if low is negative; at least one bit."""
    return signed(bits_for(low, high)) if low < 0 else unsigned(max(1, register_bits(low, high)))


def named(m: Module, name: str, value: Value) -> Signal:
    """Return a signal of that name and of the value's shape, which Verilog shows."""
    signal = Signal(value.shape(), name=name)
    m.d.comb += signal.eq(value)
    return signal


def negated_if(negative: Value, value: Value) -> Value:
    """Return the value, or minus the value where `negative` is 1; signed, one bit wider.

    The bits are inverted and 1 is added: one row of XOR gates and an incrementer.
    """
    width = len(value) + 1
    extended = value if value.shape().signed else Cat(value, 0)
    inverted = (extended ^ negative.replicate(width).as_signed())[:width]
    return (inverted + negative)[:width].as_signed()


def passed_if(enable: Value, value: Value) -> Value:
    """Return the value where `enable` is 1, otherwise 0: an AND gate per bit."""
    return Mux(enable, value, 0)


def fitted(value: Value, bits: int, overflow: str) -> Value:
    """Return a signed value as a register of so many bits holds it: saturated, or without the carry."""
    if len(value) <= bits or overflow != "saturate":
        return value[:bits].as_signed()
    low, high = register_range(bits)
    beyond = value[bits - 1 :]
    return Mux(beyond.all() | ~beyond.any(), value[:bits].as_signed(), Mux(value[-1], low, high))


def register_words(bits: int, overflow: str) -> str:
    """Return what a register of signed values is, and what `fitted` does, in words."""
    words = "wraps, but is not meant to happen" if overflow == "error" else overflow
    return f"{bits} bits in two's complement, overflow: {words}"


def clipped(value: Value, low: int, high: int) -> Value:
    """Return the value, at least low and at most high."""
    return Mux(value < low, low, Mux(value > high, high, value))

"""What turns a code into its level: the hardware of `hwsim.multipliers.decoder`."""

from amaranth.hdl import Cat, Module, Mux, Value

from hwsim.formats import Apot, Codebook, Format, Offset, Uniform
from hwsim.rtl.logic import named, negated_if, value_shape
from hwsim.rtl.lookup import lookup


def level(m: Module, name: str, fmt: Format, code: Value) -> Value:
    """Return the integer level of a code, signed if the format is, 0 for a code that the format does not use.

    Raises:
        TypeError: there is no circuit for the format.
    """
    match fmt:
        case Uniform():
            return _uniform(fmt, code)
        case Offset():
            return named(m, name, code - fmt.zero_point) if fmt.zero_point else code
        case Apot():
            return named(m, name, _apot(fmt, code))
        case Codebook():
            shape = value_shape(int(fmt.integer_levels.min()), int(fmt.integer_levels.max()))
            return lookup(m, name, code, fmt.integer_levels, shape)
    raise TypeError(f"no circuit decodes {fmt}")


def _uniform(fmt: Uniform, code: Value) -> Value:
    if fmt.narrow:
        return Mux(code == 1 << (fmt.bits - 1), 0, code.as_signed())
    return code.as_signed() if fmt.signed else code


def _apot(fmt: Apot, code: Value) -> Value:
    """Return the powers of two that the fields name, each of them one bit of the magnitude, with the sign."""
    powers = {}
    for field, exponents in zip(apot_fields(fmt, code), fmt.exponents, strict=True):
        powers.update({exponent: field == place for place, exponent in enumerate(exponents, start=1)})
    magnitude = Cat(powers[exponent] for exponent in sorted(powers))
    return negated_if(code[-1], magnitude) if fmt.signed else magnitude


def apot_fields(fmt: Apot, code: Value) -> list[Value]:
    """Return the field of each term of an APoT code, as `Apot.sign_and_fields` does."""
    fields, place = [], fmt.magnitude_bits
    for exponents in fmt.exponents:
        width = len(exponents).bit_length()
        place -= width
        fields.append(code[place : place + width])
    return fields

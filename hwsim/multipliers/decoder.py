"""What turns an activation or weight code into its level, the number that a circuit computes with."""

from hwsim.formats import Apot, Codebook, IntegerFormat, Offset
from hwsim.multipliers.parts import Operations, Part, Rom


def decoder_parts(fmt: IntegerFormat) -> tuple[Part, ...]:
    """Return the blocks: a memory for a codebook, a subtraction of the zero point, gates that name powers of two.

    An APoT term of two bits sets one of three digits of the level, each an AND of the field's bits; a term of one bit
    is a digit. The codes of a uniform format are their levels.
    """
    match fmt:
        case Codebook():
            return (Part("table_entry", fmt.count, fmt.level_bits),)
        case Offset() if fmt.zero_point:
            return (Part("adder", 1, fmt.level_bits),)
        case Apot():
            return (Part("and_gate", sum(len(term) for term in fmt.exponents if len(term) > 1), 1),)
    return ()


def decoder_operations(fmt: IntegerFormat, count: int) -> Operations:
    """Return what decoding `count` codes costs: a table read each, an addition each, or nothing."""
    match fmt:
        case Codebook():
            return {"table_read": count}
        case Offset() if fmt.zero_point:
            return {"add": count}
    return {}


def decoder_rom(fmt: IntegerFormat) -> tuple[Rom, ...]:
    """Return the decoder's memory, if it has one."""
    return (Rom(fmt.count, fmt.level_bits),) if isinstance(fmt, Codebook) else ()

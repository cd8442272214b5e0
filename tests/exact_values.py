"""What codes and products are worth, written down a second time: Fractions, 100-digit Decimals, Python integers."""

import math
from collections.abc import Iterator
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache

from hwsim.formats import Apot, Codebook, Format, IntegerFormat, Offset, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import LookupTableMultiplier, Multiplier
from hwsim.multipliers.table import LAYOUTS

DIGITS = Context(prec=100)
Exact = Fraction | Decimal


def exponents_that_fit(family: type[PowerOfTwo | PowerOfSqrtTwo], bits: int, extended: bool, room: int) -> int | None:
    """Return how many exponents to ask for so that magnitudes span at most `room` octaves; None for the default."""
    fits = room + 1 if family is PowerOfTwo else 2 * room + 1
    return None if 2 ** (bits - 1) - (not extended) <= fits else fits


def uniform_formats(most_bits: int) -> Iterator[Uniform]:
    """Yield every uniform format up to that width."""
    for bits in range(1, most_bits + 1):
        yield Uniform(bits)
        yield Uniform(bits, signed=False)
        if bits > 1:
            yield Uniform(bits, narrow=True)


def exponent_formats(room: int = 61, most_bits: int = 8) -> Iterator[PowerOfTwo | PowerOfSqrtTwo]:
    """Yield POT and POST at every width, plain and extended, with all exponents that span at most `room` octaves."""
    for family in (PowerOfTwo, PowerOfSqrtTwo):
        for extended in (False, True):
            for bits in range(1 if extended else 2, most_bits + 1):
                yield family(bits, exponents_that_fit(family, bits, extended, room), extended)


def offset_formats(most_bits: int) -> Iterator[Offset]:
    """Yield every zero point up to 4 bits, the corners beyond."""
    for bits in range(1, most_bits + 1):
        top = 2**bits - 1
        points = range(top + 1) if bits <= 4 else (0, 1, top // 2, top - 1, top)
        yield from (Offset(bits, point) for point in points)


def apot_formats(most_bits: int = 8) -> Iterator[Apot]:
    """Yield every APoT format up to that width."""
    for bits in range(1, most_bits + 1):
        yield Apot(bits, signed=False)
        if bits > 1:
            yield Apot(bits)


#: Learned levels, levels without zero, gaps, one level, and a full memory of 8 bits.
CODEBOOKS = (
    Codebook(1, (0,)),
    Codebook(1, (-1, 1)),
    Codebook(2, (-3, -1, 1, 3)),
    Codebook(2, (0, 1, 7)),
    Codebook(3, (-11, -4, 0, 2, 3, 100)),
    Codebook(4, (0, 1, 3, 4, 9, 10, 12, 13, 27, 28, 30, 31, 36, 37, 39, 40)),
    Codebook(8, tuple(n * abs(n) for n in range(-128, 128))),
)


def integer_formats(most_bits: int) -> Iterator[IntegerFormat]:
    """Yield formats with integer levels up to that width."""
    yield from uniform_formats(most_bits)
    yield from offset_formats(most_bits)
    yield from apot_formats(most_bits)
    yield from (book for book in CODEBOOKS if book.bits <= most_bits)


#: The powers of two of each APoT term in the order of their fields, by magnitude bits: read off the authors' code.
APOT_TERMS = {
    1: ((1,),),
    2: ((1, 2, 4),),
    3: ((1, 4, 8), (2,)),
    4: ((2, 8, 32), (1, 4, 16)),
    5: ((2, 16, 64), (1, 8, 32), (4,)),
    6: ((4, 32, 256), (2, 16, 128), (1, 8, 64)),
    7: ((4, 64, 512), (2, 32, 256), (1, 16, 128), (8,)),
    8: ((8, 128, 2048), (4, 64, 1024), (2, 32, 512), (1, 16, 256)),
}


def apot_integer(fmt: Apot, code: int) -> int:
    """Return the level of an APoT code, read as a string of bits."""
    bits = format(code, f"0{fmt.bits}b")
    sign, bits = (1 - 2 * int(bits[0]), bits[1:]) if fmt.signed else (1, bits)
    total = 0
    for term in APOT_TERMS[len(bits)]:
        width = 1 if len(term) == 1 else 2
        field, bits = int(bits[:width], 2), bits[width:]
        total += (0, *term)[field]
    return sign * total


def integer_level(fmt: Format, code: int) -> int:
    """Return the level of a code of a format with integer levels, 0 for an unused code."""
    match fmt:
        case Uniform():
            return uniform_integer(fmt, code)
        case Offset():
            return code - fmt.zero_point
        case Apot():
            return apot_integer(fmt, code)
        case Codebook():
            return dict(enumerate(fmt.integers)).get(code, 0)
    raise TypeError(fmt)


def uniform_integer(fmt: Uniform, code: int) -> int:
    """Return the integer that a two's complement or unsigned code stands for, 0 for an unused code."""
    pattern = format(code, f"0{fmt.bits}b")
    value = sum(int(bit) << place for place, bit in enumerate(reversed(pattern[1:])))
    if not fmt.signed:
        return value + (int(pattern[0]) << (fmt.bits - 1))
    if fmt.narrow and pattern == "1" + "0" * (fmt.bits - 1):
        return 0
    return value - (int(pattern[0]) << (fmt.bits - 1))


@cache
def codes_by_level(fmt: Format) -> tuple[int, ...]:
    """Return the used codes by ascending level."""
    used = [code for code in range(2 ** code_width(fmt)) if is_used(fmt, code)]
    return tuple(sorted(used, key=lambda code: as_decimal(exact_level(fmt, code))))


@cache
def code_of_zero(fmt: IntegerFormat) -> int:
    """Return the code of the level 0; 0 if there is none."""
    return next((code for code in codes_by_level(fmt) if integer_level(fmt, code) == 0), 0)


def code_width(fmt: Format) -> int:
    """Return the bits of one code: the nominal ones, and one more for the papers' extended set."""
    return fmt.bits + int(getattr(fmt, "extended", False))


def used_magnitudes(fmt: PowerOfTwo | PowerOfSqrtTwo) -> int:
    """Return F, the number of non-zero magnitudes."""
    full = 2 ** (fmt.bits - 1) if fmt.extended else 2 ** (fmt.bits - 1) - 1
    return full if fmt.exponents is None else fmt.exponents


def sign_and_field(fmt: PowerOfTwo | PowerOfSqrtTwo, code: int) -> tuple[int, int]:
    """Return (sign, field) of a used code, (0, 0) for zero and for unused codes."""
    negative, field = divmod(code, 2 ** (code_width(fmt) - 1))
    if not 1 <= field <= used_magnitudes(fmt):
        return 0, 0
    return (-1 if negative else 1), field


def is_used(fmt: Format, code: int) -> bool:
    """Return whether a bit pattern names a level."""
    if isinstance(fmt, Uniform):
        return not fmt.narrow or code != 2 ** (fmt.bits - 1)
    if isinstance(fmt, Apot):
        return not fmt.signed or code != 2 ** (fmt.bits - 1)
    if isinstance(fmt, Offset | Codebook):
        return isinstance(fmt, Offset) or code < len(fmt.integers)
    assert isinstance(fmt, PowerOfTwo | PowerOfSqrtTwo)
    return code == 0 or sign_and_field(fmt, code)[1] > 0


def exact_level(fmt: Format, code: int) -> Exact:
    """Return the level of a used code: a Fraction where it is rational, otherwise a Decimal of 100 digits."""
    if isinstance(fmt, IntegerFormat):
        return Fraction(integer_level(fmt, code))
    assert isinstance(fmt, PowerOfTwo | PowerOfSqrtTwo)
    sign, field = sign_and_field(fmt, code)
    below_one = used_magnitudes(fmt) - field
    if isinstance(fmt, PowerOfTwo):
        return Fraction(sign, 2**below_one)
    if below_one % 2 == 0:
        return Fraction(sign, 2 ** (below_one // 2))
    return DIGITS.divide(sign, DIGITS.sqrt(Decimal(2**below_one)))


def mid_point(low: Exact, high: Exact) -> Exact:
    """Return (low + high) / 2, rational if both are."""
    if isinstance(low, Fraction) and isinstance(high, Fraction):
        return (low + high) / 2
    return DIGITS.divide(DIGITS.add(as_decimal(low), as_decimal(high)), Decimal(2))


def as_decimal(value: Exact) -> Decimal:
    """Return the value as a Decimal of 100 digits."""
    return value if isinstance(value, Decimal) else DIGITS.divide(value.numerator, value.denominator)


def product_square(multiplier: Multiplier, w_code: int, a_code: int) -> int:
    """Return (weight level x activation level / unit)^2, an integer for every circuit."""
    weight, activation = multiplier.weight, multiplier.activation
    a = integer_level(activation, a_code)
    if isinstance(weight, IntegerFormat):
        return (integer_level(weight, w_code) * a) ** 2
    assert isinstance(weight, PowerOfTwo | PowerOfSqrtTwo)
    sign, field = sign_and_field(weight, w_code)
    if sign == 0:
        return 0
    if isinstance(weight, PowerOfTwo):
        return a * a << 2 * (field - 1)
    assert isinstance(multiplier, LookupTableMultiplier)
    return a * a << field - 1 + 2 * multiplier.fraction_bits


def product_sign(multiplier: Multiplier, w_code: int, a_code: int) -> int:
    """Return the sign of the product, 0 where the weight is zero or unused."""
    weight = multiplier.weight
    w = integer_level(weight, w_code) if isinstance(weight, IntegerFormat) else sign_and_field(weight, w_code)[0]  # type: ignore[arg-type]
    return -1 if w * integer_level(multiplier.activation, a_code) < 0 else 1


def rounded_root(square: int) -> int:
    """Return the integer nearest to sqrt(square)."""
    floor = math.isqrt(square)
    return floor if square <= floor**2 + floor else floor + 1


def exact_product(multiplier: Multiplier, w_code: int, a_code: int) -> int:
    """Return the product that the circuit promises, from integer squares."""
    sign = product_sign(multiplier, w_code, a_code)
    if isinstance(multiplier, LookupTableMultiplier) and multiplier.layout == LAYOUTS[0]:
        field = sign_and_field(multiplier.weight, w_code)[1]
        if field and field % 2 == 0:
            a = integer_level(multiplier.activation, a_code)
            return sign * rounded_root(2 * a * a << 2 * multiplier.fraction_bits) << (field - 2) // 2
    return sign * rounded_root(product_square(multiplier, w_code, a_code))

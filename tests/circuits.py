"""Small circuits of every kind, for tests that run over all of them."""

import pytest
from exact_values import (
    CODEBOOKS,
    apot_formats,
    code_width,
    exponent_formats,
    uniform_formats,
)

from hwsim.formats import Apot, Format, IntegerFormat, Offset, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import (
    Multiplier,
    multiplier_for,
)


def all_codes(fmt: Format) -> range:
    return range(2 ** code_width(fmt))


def small_multipliers() -> list[Multiplier]:
    """Return circuits of every kind, width 1 to 4, with corners: one exponent, few exponents, extended, 8 bits."""
    uniform = [Uniform(1), Uniform(2, signed=False), Uniform(3, narrow=True), Uniform(4)]
    weights: list[Format] = [*uniform_formats(4), *exponent_formats(most_bits=4)]
    weights += [PowerOfTwo(3, 1), PowerOfSqrtTwo(3, 1), PowerOfSqrtTwo(4, 2), PowerOfSqrtTwo(4, 4, True)]
    pairs: list[tuple[Format, IntegerFormat]] = [(w, a) for w in weights for a in uniform]
    pairs += [(PowerOfTwo(8, 50), Uniform(2)), (PowerOfSqrtTwo(8, 80), Uniform(2)), (Uniform(7), Uniform(5))]
    pairs += [(w, a) for w in (Uniform(3), PowerOfTwo(3), PowerOfSqrtTwo(4), *apot_formats(5)) for a in OTHERS]
    pairs += [(w, a) for w in OTHERS if not isinstance(w, Apot) for a in (Uniform(3), *OTHERS)]
    pairs += [(Apot(8), Uniform(3, signed=False)), (Uniform(3), Apot(8, signed=False)), (CODEBOOKS[-1], Uniform(2))]
    return [multiplier_for(w, a, *o) for w, a in pairs for o in OPTIONS.get(type(w), [(6, "shared")])]


OTHERS = (Offset(3, 0), Offset(3, 2), Offset(2, 3), Apot(4), Apot(3, signed=False), *CODEBOOKS[:5])
OPTIONS: dict[type[Format], list[tuple[int, str]]] = {
    PowerOfSqrtTwo: [(0, "full"), (0, "shared"), (5, "full"), (12, "shared")]
}


SMALL = small_multipliers()


every_small = pytest.mark.parametrize("multiplier", SMALL, ids=str)

"""Small circuits of every kind, for tests that run over all of them."""

import pytest
from exact_values import (
    code_width,
    exponent_formats,
    uniform_formats,
)

from hwsim.formats import Format, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import (
    Multiplier,
    multiplier_for,
)


def all_codes(fmt: Format) -> range:
    return range(2 ** code_width(fmt))


def small_multipliers() -> list[Multiplier]:
    """Return circuits of every kind, width 1 to 4, with corners: one exponent, few exponents, extended, 8 bits."""
    activations = [Uniform(1), Uniform(2, signed=False), Uniform(3, narrow=True), Uniform(4)]
    weights: list[Format] = [*uniform_formats(4), *exponent_formats(most_bits=4)]
    weights += [PowerOfTwo(3, 1), PowerOfSqrtTwo(3, 1), PowerOfSqrtTwo(4, 2), PowerOfSqrtTwo(4, 4, True)]
    pairs = [(w, a) for w in weights for a in activations]
    pairs += [(PowerOfTwo(8, 50), Uniform(2)), (PowerOfSqrtTwo(8, 80), Uniform(2)), (Uniform(7), Uniform(5))]
    options = {"table": [(0, "full"), (0, "shared"), (5, "full"), (12, "shared")]}
    kinds = {Uniform: "array", PowerOfTwo: "shift", PowerOfSqrtTwo: "table"}
    return [multiplier_for(w, a, *o) for w, a in pairs for o in options.get(kinds[type(w)], [(6, "shared")])]


SMALL = small_multipliers()


every_small = pytest.mark.parametrize("multiplier", SMALL, ids=str)

"""Formats as values: which are refused, and their way through JSON."""

import re
from typing import Any

import pytest

from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, format_from_dict, make_format

REFUSED: list[tuple[str, int, dict[str, Any], str]] = [
    ("uniform", 0, {}, "bits must be an integer in 1..16 for uniform, got 0"),
    ("uniform", 17, {}, "bits must be an integer in 1..16 for uniform, got 17"),
    ("uniform", -3, {}, "bits must be an integer in 1..16 for uniform, got -3"),
    ("uniform", 1, {"narrow": True}, "bits must be an integer in 2..16 for narrow uniform, got 1"),
    ("uniform", 4, {"narrow": True, "signed": False}, "narrow uniform must be signed"),
    ("pot", 1, {}, "bits must be an integer in 2..8 for pot, got 1"),
    ("pot", 9, {}, "bits must be an integer in 2..8 for pot, got 9"),
    ("post", 1, {}, "bits must be an integer in 2..8 for post, got 1"),
    ("post", 0, {"extended": True}, "bits must be an integer in 1..8 for post, got 0"),
    ("post", 9, {"extended": True}, "bits must be an integer in 1..8 for post, got 9"),
    ("pot", 4.0, {}, "bits must be an integer in 2..8 for pot, got 4.0"),  # type: ignore[list-item]
    ("pot", True, {"extended": True}, "bits must be an integer in 1..8 for pot, got True"),
    ("pot", "4", {}, "bits must be an integer in 2..8 for pot, got '4'"),  # type: ignore[list-item]
    ("pot", 4, {"exponents": 0}, "exponents must be an integer in 1..7 for 4-bit pot, got 0"),
    ("pot", 4, {"exponents": 8}, "exponents must be an integer in 1..7 for 4-bit pot, got 8"),
    ("pot", 4, {"exponents": 9, "extended": True}, "exponents must be an integer in 1..8 for 4-bit pot, got 9"),
    ("pot", 4, {"exponents": 2.5}, "exponents must be an integer in 1..7 for 4-bit pot, got 2.5"),
    ("pot", 4, {"exponents": "3"}, "exponents must be an integer in 1..7 for 4-bit pot, got '3'"),
    ("post", 4, {"exponents": True}, "exponents must be an integer in 1..7 for 4-bit post, got True"),
    ("pot", 8, {}, "8-bit pot with 127 exponents makes products of 127 bits with 1-bit activations, more than 62; "
                   "at most exponents=62 fit"),
    ("pot", 7, {}, "bits must be at most 6 for pot with all its exponents, got 7: "),
    ("post", 8, {}, "8-bit post with 127 exponents makes products of 64 bits with 1-bit activations, more than 62; "
                    "at most exponents=123 fit"),
    ("post", 8, {"extended": True}, "bits must be at most 7 for post with all its exponents, got 8: "),
    ("pott", 4, {}, "unknown format 'pott'; did you mean 'pot'? (known: uniform, offset, pot, post, apot, codebook)"),
    ("psot", 4, {}, "unknown format 'psot'; did you mean 'pot' or 'post'? (known: uniform"),
    ("POST", 4, {}, "unknown format 'POST'; did you mean 'post'? (known: uniform, offset, pot, post, apot, codebook)"),
    ("xyz", 4, {}, "unknown format 'xyz' (known: uniform, offset, pot, post, apot, codebook)"),
    ("pot", 4, {"exponent": 3}, "unknown option of format pot 'exponent'; did you mean 'exponents'?"),
    ("uniform", 4, {"extended": True}, "unknown option of format uniform 'extended'"),
    ("offset", 0, {}, "bits must be an integer in 1..16 for offset, got 0"),
    ("offset", 17, {}, "bits must be an integer in 1..16 for offset, got 17"),
    ("offset", 3, {"zero_point": 8}, "zero_point must be an integer in 0..7 for 3-bit offset, got 8"),
    ("offset", 3, {"zero_point": -1}, "zero_point must be an integer in 0..7 for 3-bit offset, got -1"),
    ("offset", 3, {"zero_point": 1.5}, "zero_point must be an integer in 0..7 for 3-bit offset, got 1.5"),
    ("apot", 1, {}, "bits must be an integer in 2..8 for apot, got 1"),
    ("apot", 9, {}, "bits must be an integer in 2..8 for apot, got 9"),
    ("apot", 0, {"signed": False}, "bits must be an integer in 1..8 for unsigned apot, got 0"),
    ("codebook", 0, {"integers": (0,)}, "bits must be an integer in 1..8 for codebook, got 0"),
    ("codebook", 9, {"integers": (0,)}, "bits must be an integer in 1..8 for codebook, got 9"),
    ("codebook", 2, {}, "a 2-bit codebook has 1..4 integers, got 0"),
    ("codebook", 2, {"integers": range(5)}, "a 2-bit codebook has 1..4 integers, got 5"),
    ("codebook", 2, {"integers": (0, 1.5)}, "a codebook's level must be an integer in -16777216..16777216, got 1.5"),
    ("codebook", 2, {"integers": (0, 2**24 + 1)}, "a codebook's level must be an integer in"),
    ("codebook", 2, {"integers": (0, 2, 2)}, "the integers of a codebook must ascend, got 2 before 2"),
    ("pot", 4, {"extended": 2**70}, f"extended must be true or false for pot, got {2**70}"),
    ("post", 4, {"extended": 1}, "extended must be true or false for post, got 1"),
    ("uniform", 4, {"signed": 2}, "signed must be true or false for uniform, got 2"),
    ("uniform", 4, {"narrow": None}, "narrow must be true or false for uniform, got None"),
    ("apot", 4, {"signed": "no"}, "signed must be true or false for apot, got 'no'"),
    ("codebook", 2, {"integers": (1, 0)}, "the integers of a codebook must ascend, got 1 before 0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bits", "options", "message"), REFUSED)
def test_refusals_name_the_rule_and_the_value(name: str, bits: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make_format(name, bits, **options)


def test_the_stated_number_of_exponents_fits_and_one_more_does_not() -> None:
    assert PowerOfTwo(8, exponents=62).magnitudes == 62
    assert PowerOfSqrtTwo(8, exponents=123).magnitudes == 123
    for family, most in ((PowerOfTwo, 62), (PowerOfSqrtTwo, 123)):
        with pytest.raises(ValueError, match=f"at most exponents={most} fit"):
            family(8, exponents=most + 1)


@pytest.mark.parametrize(("values", "missing"), [({"bits": 4}, "name"), ({"name": "pot"}, "bits")])
def test_a_dict_without_a_name_or_bits_is_refused(values: dict[str, Any], missing: str) -> None:
    with pytest.raises(ValueError, match=f"a format needs '{missing}', got "):
        format_from_dict(values)


def test_from_dict_leaves_its_argument_alone() -> None:
    values = PowerOfTwo(4).to_dict()
    format_from_dict(values)
    assert values == PowerOfTwo(4).to_dict()

"""What circuits are made of, what products cost, and which circuits are refused."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from circuits import SMALL, all_codes, every_small
from exact_values import (
    exact_product,
    sign_and_field,
    used_magnitudes,
)

from hwsim.formats import Apot, Codebook, Format, Offset, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import (
    MULTIPLIERS,
    ArrayMultiplier,
    CodebookMultiplier,
    LookupTableMultiplier,
    Multiplier,
    Part,
    ShiftAddMultiplier,
    ShiftMultiplier,
    multiplier_for,
    multiplier_from_dict,
)


@every_small
def test_operations_count_what_each_code_costs(multiplier: Multiplier) -> None:
    codes = np.resize(multiplier.weight.codes, (3, 7, 2))
    expected = Counter(product_operations(multiplier, [int(code) for code in codes.flat]))
    decoded = [multiplier.activation, multiplier.weight][: 1 + isinstance(multiplier, CodebookMultiplier)]
    for fmt in decoded:
        expected["table_read"] += 42 * isinstance(fmt, Codebook)
        expected["add"] += 42 * (isinstance(fmt, Offset) and fmt.zero_point > 0)
    assert +Counter(multiplier.operations(codes)) == +expected


def product_operations(multiplier: Multiplier, codes: list[int]) -> dict[str, int]:
    """Return the operations of the products alone, their operands decoded."""
    match multiplier:
        case ArrayMultiplier() | CodebookMultiplier():
            return {"multiply": len(codes)}
        case ShiftMultiplier():
            return {"shift": len(codes)}
        case ShiftAddMultiplier():
            two_bits, one_bit = divmod(multiplier.weight.bits - multiplier.weight.signed, 2)
            return {"shift": two_bits * len(codes), "add": (two_bits + one_bit - 1) * len(codes)}
    assert isinstance(multiplier, LookupTableMultiplier)
    fields = [sign_and_field(multiplier.weight, code)[1] for code in codes]
    reads = sum(field > 0 and field % 2 == 0 for field in fields)
    return {"shift": len(codes) if multiplier.layout == "shared" else len(codes) - reads, "table_read": reads}


@every_small
def test_parts_are_counted_in_whole_numbers(multiplier: Multiplier) -> None:
    for part in multiplier.parts():
        assert isinstance(part.quantity, int)
        assert isinstance(part.bits, int)
        assert min(part.quantity, part.bits) >= 0


def test_operations_of_single_codes() -> None:
    full = LookupTableMultiplier(PowerOfSqrtTwo(3), Uniform(3), 6, "full")
    shared = LookupTableMultiplier(PowerOfSqrtTwo(3), Uniform(3), 6, "shared")
    for code, odd in [(0, 0), (1, 0), (2, 1), (3, 0), (5, 0), (6, 1), (7, 0)]:
        assert full.operations(code) == {"shift": 1 - odd, "table_read": odd}
        assert shared.operations([code]) == {"shift": 1, "table_read": odd}
    assert full.operations([]) == {"shift": 0, "table_read": 0}


@every_small
def test_table_size_is_that_of_the_stored_columns(multiplier: Multiplier) -> None:
    decoders = [multiplier.activation, multiplier.weight][: 1 + isinstance(multiplier, CodebookMultiplier)]
    books = [(len(fmt.integers), width(fmt.integers)) for fmt in decoders if isinstance(fmt, Codebook)]
    decoding = sum(entries for entries, _ in books), sum(entries * bits for entries, bits in books)
    if not isinstance(multiplier, LookupTableMultiplier):
        assert (multiplier.table_entries, multiplier.table_bits) == decoding
        assert multiplier.read_bits == max((bits for _, bits in books), default=0)
        return
    odd = [field for field in range(1, used_magnitudes(multiplier.weight) + 1) if field % 2 == 0]
    stored = odd if multiplier.layout == "full" else odd[:1]
    entries = [[exact_product(multiplier, field, a) for a in all_codes(multiplier.activation)] for field in stored]
    assert multiplier.columns.tolist() == entries
    assert multiplier.table_entries == len(stored) * 2**multiplier.activation.bits + decoding[0]
    flat = [entry for column in entries for entry in column]
    assert multiplier.table_bits == len(flat) * width(flat) + decoding[1]
    assert multiplier.read_bits == max(width(flat) if flat else 0, *(bits for _, bits in books), 0)


def width(integers: Sequence[int]) -> int:
    """Return the bits of a word that holds each of these, with a sign if one is negative."""
    low, high = min(integers, default=0), max(integers, default=0)
    return next(n for n in range(65) if (-(2 ** (n - 1)) <= low and high < 2 ** (n - 1) if low < 0 else high < 2**n))


def test_our_3_bit_table_stores_only_the_odd_exponents_of_the_papers_8_by_4() -> None:
    """The paper's 3-bit table is [8, 4]: 8 activation codes x 4 magnitudes of the extended set, e = 0 .. 3.

    Even exponents are shifts here and need no column: 8 x 2 entries (e = 1, 3), or 8 x 1 when the column is shared.
    """
    extended = PowerOfSqrtTwo(3, extended=True)
    assert extended.magnitudes == 4
    full = LookupTableMultiplier(extended, Uniform(3, signed=False), 0, "full")
    shared = LookupTableMultiplier(extended, Uniform(3, signed=False), 0, "shared")
    assert full.columns.tolist() == [[0, 1, 3, 4, 6, 7, 8, 10], [0, 3, 6, 8, 11, 14, 17, 20]]
    assert shared.columns.tolist() == [[0, 1, 3, 4, 6, 7, 8, 10]]
    assert (full.table_entries, full.table_bits) == (16, 16 * 5)
    assert (shared.table_entries, shared.table_bits) == (8, 8 * 4)
    assert shared.table()[4].tolist() == [0, 2, 6, 8, 12, 14, 16, 20]


def test_parts_are_the_circuits_blocks() -> None:
    unsigned = Uniform(4, signed=False)
    assert ArrayMultiplier(Uniform(3), unsigned).parts() == (Part("and_gate", 12, 1), Part("adder", 2, 4))
    assert ArrayMultiplier(Uniform(1), Uniform(2)).parts() == (Part("and_gate", 2, 1), Part("adder", 0, 2))
    # f - 1 in 0 .. 6 needs 3 stages on 4 + 6 bits; a product is +-15 * 64: 11 bits with its sign
    assert ShiftMultiplier(PowerOfTwo(4), unsigned).parts() == (Part("shifter_stage", 3, 10), Part("negate", 1, 11))
    assert ShiftMultiplier(PowerOfTwo(4, 5), unsigned).parts() == (Part("shifter_stage", 3, 8), Part("negate", 1, 9))
    assert ShiftMultiplier(PowerOfTwo(4, 1), unsigned).parts()[0] == Part("shifter_stage", 0, 4)
    # e in 0 .. 6, shared: even exponents shift by 0 .. 3, a read by 0 .. 2; full: only the even ones shift
    for layout, entries, width in [("shared", 16, 5), ("full", 48, 7)]:
        multiplier = LookupTableMultiplier(PowerOfSqrtTwo(4), unsigned, 0, layout)
        assert multiplier.parts() == (
            Part("table_entry", entries, width),
            Part("shifter_stage", 2, 8),
            Part("mux2", 1, 8),
            Part("negate", 1, 8),
        )
    # e in 0 .. 3: shared shifts by 0 or 1, full by 0 or 1
    assert LookupTableMultiplier(PowerOfSqrtTwo(4, 4), unsigned, 0, "shared").parts()[1].quantity == 2
    assert LookupTableMultiplier(PowerOfSqrtTwo(4, 4), unsigned, 0, "full").parts()[1].quantity == 1
    # two terms of two bits and one of one bit, levels up to 2^6 + 2^5 + 2^2, products up to 1500
    assert ShiftAddMultiplier(Apot(6), unsigned).parts() == (
        Part("shifter_stage", 4, 12),
        Part("and_gate", 3, 12),
        Part("adder", 2, 12),
        Part("negate", 1, 12),
    )
    # levels -3 .. 12 in 5 bits; 0 .. 7 in 3 bits, three of them; three digits of each of two terms
    assert ArrayMultiplier(Uniform(3), Offset(4, 3)).parts()[0] == Part("adder", 1, 5)
    assert ArrayMultiplier(Uniform(3), Offset(4, 0)).parts() == ArrayMultiplier(Uniform(3), unsigned).parts()
    assert ShiftMultiplier(PowerOfTwo(3), Codebook(2, (0, 1, 7))).parts()[0] == Part("table_entry", 3, 3)
    assert CodebookMultiplier(Codebook(2, (0, 1, 7)), Apot(4, signed=False)).parts() == (
        Part("table_entry", 3, 3),
        Part("and_gate", 6, 1),
        Part("and_gate", 18, 1),
        Part("adder", 2, 6),
    )
    assert LookupTableMultiplier(PowerOfSqrtTwo(4, 1), unsigned, 0, "full").parts() == (
        Part("table_entry", 0, 0),
        Part("shifter_stage", 0, 5),
        Part("mux2", 0, 5),
        Part("negate", 1, 5),
    )


@every_small
def test_dict_round_trip_through_json(multiplier: Multiplier) -> None:
    again = multiplier_from_dict(json.loads(json.dumps(multiplier.to_dict())))
    assert again == multiplier
    assert hash(again) == hash(multiplier)
    assert type(again) is type(multiplier) is MULTIPLIERS[multiplier.name]


def test_multipliers_are_values() -> None:
    assert len(set(SMALL)) == len(SMALL)
    assert {multiplier.name for multiplier in SMALL} == set(MULTIPLIERS)
    assert multiplier_for(PowerOfSqrtTwo(4), Uniform(4)) == LookupTableMultiplier(
        PowerOfSqrtTwo(4), Uniform(4), 6, "shared"
    )


def build(name: str, **options: Any) -> Multiplier:
    return MULTIPLIERS[name](**options)


DEFAULTS = {
    "array": (Uniform(4), Uniform(4)),
    "shift": (PowerOfTwo(4), Uniform(4)),
    "table": (PowerOfSqrtTwo(4), Uniform(4)),
    "shift_add": (Apot(4), Uniform(4)),
    "codebook": (Codebook(1, (0, 1)), Uniform(4)),
}

REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("shift", {"weight": Uniform(4)}, "the shift multiplier takes pot weights, got Uniform(bits=4"),
    ("array", {"weight": PowerOfTwo(4)}, "the array multiplier takes uniform weights, got PowerOfTwo("),
    ("table", {"weight": PowerOfTwo(4)}, "the table multiplier takes post weights, got PowerOfTwo("),
    ("array", {"activation": Apot(4)}, "the array multiplier takes uniform or offset activations, got Apot("),
    ("shift_add", {"weight": Codebook(1, (0, 1))}, "the shift_add multiplier takes apot weights, got Codebook("),
    ("codebook", {"weight": PowerOfTwo(4)}, "the codebook multiplier takes integer-level weights, got PowerOfTwo("),
    ("shift", {"activation": PowerOfTwo(4)}, "the shift multiplier takes integer-level activations, got PowerOfTwo("),
    (
        "shift",
        {"weight": PowerOfTwo(8, 60), "activation": Codebook(1, (0, 255))},
        "8-bit pot with 60 exponents makes products of 67 bits with 8-bit activations, more than 62",
    ),
    ("table", {"weight": PowerOfSqrtTwo(4), "fraction_bits": -1}, "fraction_bits must be an integer in 0..12, got -1"),
    ("table", {"weight": PowerOfSqrtTwo(4), "fraction_bits": 13}, "fraction_bits must be an integer in 0..12, got 13"),
    (
        "table",
        {"weight": PowerOfSqrtTwo(4), "fraction_bits": 2.5},
        "fraction_bits must be an integer in 0..12, got 2.5",
    ),
    ("table", {"weight": PowerOfSqrtTwo(4), "layout": "share"}, "unknown table layout 'share'; did you mean 'shared'?"),
    (
        "shift",
        {"weight": PowerOfTwo(8, 60), "activation": Uniform(8)},
        "8-bit pot with 60 exponents makes products of 67 bits with 8-bit activations, more than 62; "
        "at most exponents=55 fit",
    ),
    (
        "table",
        {"weight": PowerOfSqrtTwo(8, 104), "activation": Uniform(8), "fraction_bits": 6},
        "8-bit post with 104 exponents makes products of 66 bits with 8-bit activations, more than 62; "
        "at most exponents=97 fit",
    ),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSALS)
def test_refusals_name_the_rule_and_the_value(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        build(name, **(dict(zip(("weight", "activation"), DEFAULTS[name], strict=True)) | options))


def test_the_stated_number_of_exponents_fits() -> None:
    assert ShiftMultiplier(PowerOfTwo(8, 55), Uniform(8, signed=False)).product_bits == 63
    table = LookupTableMultiplier(PowerOfSqrtTwo(8, 97), Uniform(8, signed=False), 6)
    assert table.product_bits == 63
    with pytest.raises(ValueError, match="at most exponents=97 fit"):
        LookupTableMultiplier(PowerOfSqrtTwo(8, 98), Uniform(8, signed=False), 6)


def test_multiplier_for_refuses_a_format_without_a_circuit() -> None:
    class Strange(Format):
        name = "strange"

        @property
        def levels(self) -> np.ndarray[Any, np.dtype[np.float64]]:
            return np.zeros(16)

    with pytest.raises(ValueError, match=r"no multiplier takes .*Strange\(bits=4\) weights with Uniform"):
        multiplier_for(Strange(4), Uniform(4))


UNIFORM4 = Uniform(4).to_dict()


BAD_DICTS: list[tuple[dict[str, Any], str]] = [
    ({}, "unknown multiplier 'None'"),
    ({"name": "tabel", "weight": UNIFORM4, "activation": UNIFORM4}, "'tabel'; did you mean 'table'?"),
    ({"name": "array", "weight": UNIFORM4}, "a array multiplier cannot have"),
    ({"name": "array", "weight": UNIFORM4, "activation": UNIFORM4, "layout": "full"}, "array multiplier cannot have"),
    ({"name": "array", "weight": {"name": "uniform"}, "activation": UNIFORM4}, "a format needs 'bits'"),
    ({"name": "array", "weight": 3, "activation": UNIFORM4}, "array multiplier cannot have"),
]


@pytest.mark.parametrize(("values", "message"), BAD_DICTS)
def test_bad_dicts_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        multiplier_from_dict(values)

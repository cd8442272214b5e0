"""Product tables of the user's: construction, files, factorization, the examples' published properties."""

from pathlib import Path

import numpy as np
import pytest

from hwsim.arithmetic import IntArray
from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import ArrayMultiplier, TableMultiplier, multiplier_for, multiplier_from_dict, shipped
from hwsim.multipliers.custom import error_statistics
from hwsim.multipliers.custom_files import SHIPPED, named_table, read_table
from hwsim.multipliers.examples import EXAMPLES, example
from hwsim.multipliers.factorize import factorize
from hwsim.multipliers.factorize import rank as table_rank

BYTE = Uniform(8, signed=False)
NIBBLE = Uniform(4, signed=False)


def random_table(seed: int, shape: tuple[int, int], rank: int) -> IntArray:
    rng = np.random.default_rng(seed)
    return rng.integers(-9, 10, (shape[0], rank)) @ rng.integers(-9, 10, (rank, shape[1]))


@pytest.mark.parametrize("rank", range(1, 5))
@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8)])
def test_factorization_is_exact_and_of_lowest_rank(shape: tuple[int, int], rank: int) -> None:
    table = random_table(rank, shape, rank)
    weight, activation = factorize(table)
    np.testing.assert_array_equal(weight.T @ activation, table)
    assert len(weight) in {rank, len(np.unique(table, axis=0))}
    assert table_rank(table) == np.linalg.matrix_rank(table) == rank


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
def test_tables_of_many_rows_have_their_lowest_rank_too(rank: int) -> None:
    """Up to a rank of 4; more terms would be of no use."""
    table = random_table(rank, (256, 256), rank)
    distinct = len(np.unique(table, axis=0))
    weight, activation = factorize(table)
    np.testing.assert_array_equal(weight.T @ activation, table)
    assert len(weight) == (rank if rank <= 4 else distinct)


def test_a_table_of_full_rank_has_a_term_per_row() -> None:
    table = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (256, 256))
    table[255] = table[0]
    weight, activation = factorize(table)
    np.testing.assert_array_equal(weight.T @ activation, table)
    assert len(weight) == 255


def test_a_circuit_of_two_terms_is_found_to_have_two() -> None:
    post = multiplier_for(PowerOfSqrtTwo(4), NIBBLE)
    weight, activation = factorize(post.table())
    assert len(weight) == len(post.terms().weight) == 2
    np.testing.assert_array_equal(weight.T @ activation, post.table())


def test_a_table_of_zeros_has_one_term() -> None:
    weight, activation = factorize(np.zeros((4, 2), dtype=np.int64))
    assert weight.tolist() == [[0] * 4]
    assert activation.tolist() == [[0] * 2]


def test_an_exact_table_is_the_array_multiplier() -> None:
    for signed in (True, False):
        exact = ArrayMultiplier(Uniform(4), Uniform(3, signed))
        table = TableMultiplier.from_table(exact.table(), exact.weight, exact.activation)
        codes = np.arange(16)[:, None], np.arange(8)[None]
        np.testing.assert_array_equal(table.multiply(*codes), exact.multiply(*codes))
        assert (table.rank, table.max_error, table.product_bits) == (1, 0.0, exact.product_bits)
        assert TableMultiplier.from_function(lambda x, y: x * y, Uniform(4), Uniform(3, signed)).table().tolist() == (
            exact.table().tolist()
        )
        assert multiplier_from_dict(table.to_dict()) == table
        assert [end.tolist() for end in table.product_range] == [end.tolist() for end in exact.product_range]


def test_error_statistics_by_hand() -> None:
    table = [[0, 0], [0, 3]]
    one_bit = Uniform(1, signed=False)
    statistics = error_statistics(TableMultiplier.from_table(table, one_bit, one_bit))
    assert (statistics.mean, statistics.worst, statistics.bias, statistics.relative) == (0.5, 2.0, 0.5, 2.0)
    assert statistics.rate == 0.25
    power = TableMultiplier.from_table([[0, 0], [0, 1], [0, 0], [0, -1]], PowerOfTwo(2), one_bit)
    assert error_statistics(power).worst == 0.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((4, 4)), r"has shape \(16, 16\), got \(4, 4\)"),
        (np.full((16, 16), 0.5), "holds integers, got 0.5 in row 0, column 0"),
        (np.full((16, 16), np.nan), "holds integers, got nan in row 0, column 0"),
        (np.full((16, 16), "a"), "holds integers, got <U1"),
        (np.diag([0] * 15 + [-(2**30)]), r"holds integers below 2\^30, got -1073741824 in row 15, column 15"),
    ],
)
def test_refused_tables(table: IntArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableMultiplier.from_table(table, NIBBLE, NIBBLE)


@pytest.mark.parametrize(
    ("lowest", "highest", "bits"), [(0, 225, 8), (0, 256, 9), (-128, 127, 8), (-128, 128, 9), (-129, 0, 9)]
)
def test_entries_are_checked_against_their_declared_width(lowest: int, highest: int, bits: int) -> None:
    table = np.zeros((16, 16), dtype=np.int64)
    table[3, 5], table[4, 0] = lowest, highest
    assert TableMultiplier.from_table(table, NIBBLE, NIBBLE, product_bits=bits).product_bits <= bits
    with pytest.raises(ValueError, match=rf"beyond its declared width of {bits - 1} bits, .*, got -?\d+ in row [34], "):
        TableMultiplier.from_table(table, NIBBLE, NIBBLE, product_bits=bits - 1)


@pytest.mark.parametrize("weight_bits", range(1, 9))
@pytest.mark.parametrize("signs", [(True, False), (False, True)])
def test_tables_of_any_width_multiply(weight_bits: int, signs: tuple[bool, bool]) -> None:
    weight, activation = Uniform(weight_bits, signs[0]), Uniform(9 - weight_bits, signs[1])
    table = TableMultiplier.from_function(lambda w, a: 3 * w - a, weight, activation)
    found = table.multiply(np.arange(2**weight.bits)[:, None], np.arange(2**activation.bits))
    np.testing.assert_array_equal(found, 3 * weight.levels[:, None] - activation.levels)


def test_refused_operands_and_entries() -> None:
    with pytest.raises(ValueError, match="operands of at most 8 bits, got 9 and 4"):
        TableMultiplier(Uniform(9), NIBBLE)
    with pytest.raises(ValueError, match="cannot be decoded"):
        TableMultiplier(NIBBLE, NIBBLE, "no base 64")


def test_files_of_every_kind_hold_the_same_table(tmp_path: Path) -> None:
    table = np.arange(16).reshape(4, 4) - 3
    rows = [", ".join(map(str, row)) for row in table.tolist()]
    np.save(tmp_path / "t.npy", table.astype(np.int16))
    (tmp_path / "t.csv").write_text("\n".join(rows))
    (tmp_path / "t.h").write_text(f"/* {{ */ const short t[16] = {{ // rows\n{','.join(rows)} }};")
    (tmp_path / "t.c").write_text("int t[4][4] = {" + ",".join("{" + row + "}" for row in rows) + "};")
    for suffix in (".npy", ".csv", ".h", ".c"):
        np.testing.assert_array_equal(read_table(tmp_path / f"t{suffix}"), table)
    named = named_table(str(tmp_path / "t.csv"), Uniform(2), Uniform(2))
    assert (named.label, named.table().tolist()) == ("t", table.tolist())


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("t.txt", "1", "is a .npy, .csv, .h, .c file, got 't.txt'"),
        ("t.csv", "1,2\n3,x", "t.csv does not hold a product table: row 1, column 1 holds 'x', which is no integer"),
        ("t.csv", "1,2\n3", "row 1 has 1 entries, row 0 has 2"),
        ("t.csv", "1,2\n3,4.5", "row 1, column 1 holds '4.5'"),
        ("t.h", "const int8_t t[2][2] = {{1, 2}, {128, 4}};", "declared width, int8_t: got 128 in row 1, column 0"),
        ("t.h", "uint16_t t[4] = {1, 2, 3, -1};", "declared width, uint16_t: got -1 in row 1, column 1"),
        ("t.h", "int t;", "no numbers between braces"),
        ("t.h", "int a[2][2] = {{1, 2}, {3, 4}}; int b[2][2] = {{1, 2}, {3, 4}};", "holds more than one array"),
        ("t.npy", "1", "does not hold a product table"),
        ("t.c", "{{1, 2}, {3}}", "does not hold a product table"),
    ],
)
def test_refused_files(tmp_path: Path, name: str, content: str, error: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=error):
        read_table(tmp_path / name)


def test_a_header_may_use_its_declared_width(tmp_path: Path) -> None:
    (tmp_path / "t.h").write_text("static const uint8_t t[2][2] = {{0x0, 255u}, {7, 1}};")
    assert read_table(tmp_path / "t.h").tolist() == [[0, 255], [7, 1]]


def test_a_function_of_a_file_gives_the_products(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def floor(w, a):\n    return (w * a) >> 1\n\ndef half(w, a):\n    return w * a / 2\n")
    table = named_table(f"{file}:floor", Uniform(2), Uniform(3, signed=False))
    assert (table.label, table.multiply([3, 2], [5, 7]).tolist()) == ("floor", [-3, -7])
    with pytest.raises(ValueError, match=r"mine\.py: half\(0, 0\) must return an integer, got 0\.0"):
        named_table(f"{file}:half", Uniform(2), Uniform(3, signed=False))
    file.write_text("def crash(w, a):\n    return w // a\n\ndef one(w):\n    return w\n")
    with pytest.raises(ValueError, match=r"crash\(0, 0\) fails: ZeroDivisionError: "):
        named_table(f"{file}:crash", Uniform(2), Uniform(2))
    with pytest.raises(ValueError, match=r"one\(0, 0\) fails: TypeError: "):
        named_table(f"{file}:one", Uniform(2), Uniform(2))
    file.write_text("def (")
    with pytest.raises(ValueError, match=r"mine\.py does not run: SyntaxError: "):
        named_table(f"{file}:floor", Uniform(2), Uniform(2))
    file.write_text("def floor(w, a):\n    return (w * a) >> 1\n")
    with pytest.raises(ValueError, match=r"unknown function of .*mine.py 'flor'; did you mean 'floor'"):
        named_table(f"{file}:flor", Uniform(2), Uniform(2))
    with pytest.raises(FileNotFoundError, match="no Python file at"):
        named_table(f"{tmp_path}/none.py:floor", Uniform(2), Uniform(2))


def test_shipped_tables_are_what_is_generated_now(tmp_path: Path) -> None:
    shipped.main(tmp_path)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == sorted(file.name for file in SHIPPED.iterdir())
    assert len(names) == 2 * len(EXAMPLES) + 1
    for name in names:
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes()


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("bits", [4, 8])
def test_a_shipped_table_is_the_example_of_its_name(name: str, bits: int) -> None:
    operands = Uniform(bits), Uniform(bits, signed=False)
    np.testing.assert_array_equal(
        named_table(f"{name}_s{bits}u{bits}", *operands).table(), named_table(name, *operands).table()
    )


def test_a_missing_file_and_an_unknown_example(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no product table at"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="did you mean 'mitchell'"):
        example("mitchel", BYTE, BYTE)


def test_mitchell_is_never_above_and_at_most_a_ninth_below() -> None:
    """Mitchell, section on errors: the product is at most 11.1 % too small; powers of two are exact."""
    table = example("mitchell", BYTE, BYTE).table()
    exact = np.arange(256)[:, None] * np.arange(256)
    assert (table <= exact).all()
    assert (9 * (exact - table) <= exact + 9).all()
    powers = 1 << np.arange(8)
    np.testing.assert_array_equal(table[powers], exact[powers])


def test_drum_is_exact_for_short_operands_and_nearly_unbiased() -> None:
    multiplier = example("drum", BYTE, BYTE)
    table, exact = multiplier.table(), np.arange(256)[:, None] * np.arange(256)
    np.testing.assert_array_equal(table[:16, :16], exact[:16, :16])
    assert abs((table - exact).sum() / exact.sum()) < 0.03


def test_cut_arrays_leave_out_the_cells_of_their_definition() -> None:
    for name, horizontal, vertical in [("truncated", 0, 7), ("broken_array", 2, 6)]:
        table = example(name, BYTE, BYTE).table()
        for x, y in np.random.default_rng(0).integers(0, 256, (200, 2)).tolist():
            missing = sum(
                (x >> i & 1) * (y >> j & 1) << (i + j)
                for i in range(8)
                for j in range(8)
                if j < horizontal or i + j < vertical
            )
            assert table[x, y] == x * y - missing


@pytest.mark.parametrize("name", EXAMPLES)
def test_signed_examples_are_odd(name: str) -> None:
    table = example(name, Uniform(4), Uniform(4)).table()
    levels = np.arange(1, 8)
    np.testing.assert_array_equal(table[levels][:, levels], -table[16 - levels][:, levels])
    np.testing.assert_array_equal(table[levels][:, levels], table[16 - levels][:, 16 - levels])

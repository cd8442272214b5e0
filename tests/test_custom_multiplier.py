"""Product tables of the user's: construction, files, factorization, the examples' published properties."""

from pathlib import Path

import numpy as np
import pytest

from hwsim.arithmetic import IntArray
from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import ArrayMultiplier, TableMultiplier, multiplier_for, multiplier_from_dict
from hwsim.multipliers.custom import error_statistics
from hwsim.multipliers.custom_files import named_table, read_table
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
    power = TableMultiplier.from_table([[0, 0], [0, 1], [0, 0], [0, -1]], PowerOfTwo(2), one_bit)
    assert error_statistics(power).worst == 0.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((4, 4)), r"has shape \(16, 16\), got \(4, 4\)"),
        (np.full((16, 16), 0.5), "holds integers below 2\\^30"),
        (np.full((16, 16), 2**30), "holds integers below 2\\^30"),
    ],
)
def test_refused_tables(table: IntArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableMultiplier.from_table(table, NIBBLE, NIBBLE)


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
        ("t.txt", "1", "is a .npy, .csv, .h, .c file"),
        ("t.csv", "1,x", "does not hold a product table"),
        ("t.h", "int t;", "no numbers between braces"),
        ("t.npy", "1", "does not hold a product table"),
        ("t.c", "{{1, 2}, {3}}", "does not hold a product table"),
    ],
)
def test_refused_files(tmp_path: Path, name: str, content: str, error: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=error):
        read_table(tmp_path / name)


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

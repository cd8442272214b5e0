"""Product tables by name or in files: an example, a shipped table, .npy, .csv, a C-style header, a Python function."""

import csv
import re
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import read_array

from hwsim.arithmetic import IntArray
from hwsim.errors import unknown_name
from hwsim.formats import IntegerFormat
from hwsim.multipliers.custom import TableMultiplier
from hwsim.multipliers.examples import EXAMPLES, example

SHIPPED = Path(__file__).parent / "tables"  #: The example tables as files; `shipped` writes them.


def read_table(path: str | Path) -> IntArray:
    """Return the integers of a two-dimensional product table: rows are weights, columns activations, by bit pattern.

    .npy: an integer array. .csv: one row per line, separated by commas. .h or .c: the numbers between the first pair of
    braces, decimal or hexadecimal, as many rows as columns unless inner braces say otherwise; an element type of
    stdint.h (int8_t, uint16_t, ...) declares the width that entries are checked against.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another kind of file, or one that does not hold a table of integers; rows and columns are counted
            from 0, as the codes are.
    """
    file = Path(path)
    if file.suffix not in READERS:
        raise ValueError(f"a product table is a {', '.join(READERS)} file, got {file.name!r}")
    if not file.is_file():
        raise FileNotFoundError(f"no product table at {path}")
    try:
        table = READERS[file.suffix](file)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path} does not hold a product table: {error}") from error
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.integer):
        raise ValueError(f"{path} must hold a two-dimensional table of integers, got {table.dtype} {table.shape}")
    return table.astype(np.int64)


def named_table(
    name: str, weight: IntegerFormat, activation: IntegerFormat, product_bits: int | None = None
) -> TableMultiplier:
    """Return the example, the shipped table, the file or the function (`file.py:function`) of that name.

    product_bits: declared width of a product, as `TableMultiplier.from_table` takes it.

    Raises:
        FileNotFoundError, ValueError: as `read_table`, an unknown name, or a table of another size; the message begins
            with the name.
    """
    if name in EXAMPLES:
        return example(name, weight, activation)
    file, _, function = name.rpartition(":")
    if file.endswith(".py"):
        products, label = _function_table(Path(file), function, weight, activation), function
    else:
        products, label = read_table(table_file(name)), Path(name).stem
    try:
        return TableMultiplier.from_table(products, weight, activation, label=label, product_bits=product_bits)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def is_for_any_width(name: str) -> bool:
    """Return whether the name stands for a construction rather than for a table of one size."""
    return name in EXAMPLES or name.rpartition(":")[0].endswith(".py")


def file_widths(name: str) -> tuple[int, int]:
    """Return the bits of the weights and of the activations that a table's size says.

    Raises:
        FileNotFoundError, ValueError: as `read_table`, or a side that is no power of two.
    """
    sides = read_table(table_file(name)).shape
    if any(side < 2 or side & (side - 1) for side in sides):
        raise ValueError(f"{name}: a product table has 2^bits rows and columns, got {sides[0]} x {sides[1]}")
    return sides[0].bit_length() - 1, sides[1].bit_length() - 1


def table_file(name: str) -> Path:
    """Return the file of a shipped table, or the path itself.

    Raises:
        ValueError: a bare word that is neither an example nor a shipped table.
    """
    if not re.fullmatch(r"\w+", name):
        return Path(name)
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.npy"))}
    if name not in shipped:
        raise unknown_name("product table", name, [*EXAMPLES, *shipped])
    return shipped[name]


def _function_table(file: Path, name: str, weight: IntegerFormat, activation: IntegerFormat) -> IntArray:
    """Return the products of a function of a Python file, which is run for it."""
    if not file.is_file():
        raise FileNotFoundError(f"no Python file at {file}")
    try:
        found = runpy.run_path(str(file))
    except Exception as error:
        raise ValueError(f"{file} does not run: {type(error).__name__}: {error}") from error
    functions = {key: value for key, value in found.items() if callable(value)}
    if name not in functions:
        raise unknown_name(f"function of {file}", name, functions)
    try:
        return TableMultiplier.from_function(functions[name], weight, activation, label=name).table()
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _read_npy(file: Path) -> IntArray:
    with file.open("rb") as content:
        return np.asarray(read_array(content, allow_pickle=False))


def _read_csv(file: Path) -> IntArray:
    with file.open(newline="", encoding="utf-8-sig") as text:
        return _table_of([row for row in csv.reader(text) if row])


def _read_header(file: Path) -> IntArray:
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    first, last = text.find("{"), text.rfind("}")
    if first < 0 or last < first:
        raise ValueError("there are no numbers between braces")
    body = text[first + 1 : last]
    if "=" in body or ";" in body:
        raise ValueError("it holds more than one array; keep the one that is the table")
    table = _table_of([row.replace(",", " ").split() for row in re.findall(r"\{([^{}]*)\}", body) or [body]])
    side = round(table.size**0.5)
    if len(table) == 1 and side * side == table.size:
        table = table.reshape(side, side)
    _check_type(table, text[:first])
    return table


def _check_type(table: IntArray, declaration: str) -> None:
    """Refuse an entry that the declared element type of stdint.h does not hold."""
    found = re.search(r"\b(u?)int(8|16|32)_t\b", declaration)
    if found is None:
        return
    limits = np.iinfo(f"{found[1]}int{found[2]}")
    wrong = np.argwhere((table < limits.min) | (table > limits.max))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"an entry is beyond its declared width, {found[0]}: got {table[row, column]} in row {row}, column {column}"
        )


def _table_of(rows: Sequence[Sequence[str]]) -> IntArray:
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(f"row {number} has {len(row)} entries, row 0 has {len(rows[0])}")
    return np.array([[_integer(c, i, j) for j, c in enumerate(row)] for i, row in enumerate(rows)], dtype=np.int64)


def _integer(text: str, row: int, column: int) -> int:
    try:
        return int(re.sub("(?<=[0-9a-fA-F])[uUlL]+$", "", text.strip()), 0)
    except ValueError:
        raise ValueError(f"row {row}, column {column} holds {text.strip()!r}, which is no integer") from None


READERS: dict[str, Callable[[Path], IntArray]] = {
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".h": _read_header,
    ".c": _read_header,
}

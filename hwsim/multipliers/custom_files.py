"""Product tables in files: .npy, .csv, a C-style header, or the name of an example."""

import re
from pathlib import Path

import numpy as np

from hwsim.arithmetic import IntArray
from hwsim.formats import Uniform
from hwsim.multipliers.custom import TableMultiplier
from hwsim.multipliers.examples import EXAMPLES, example


def read_table(path: str | Path) -> IntArray:
    """Return the integers of a two-dimensional product table: rows are weights, columns activations, by bit pattern.

    .npy: an integer array. .csv: one row per line, separated by commas. .h or .c: the numbers between the first pair of
    braces, decimal or hexadecimal, as many rows as columns unless inner braces say otherwise.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another kind of file, or one that does not hold a table of integers.
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


def named_table(name: str, weight: Uniform, activation: Uniform) -> TableMultiplier:
    """Return the example of that name, or the table in the file of that name, for these operands.

    Raises:
        FileNotFoundError, ValueError: as `read_table`, or a table of another size.
    """
    if name in EXAMPLES:
        return example(name, weight, activation)
    return TableMultiplier.from_table(read_table(name), weight, activation, label=Path(name).stem)


def _read_npy(file: Path) -> IntArray:
    return np.asarray(np.load(file, allow_pickle=False))


def _read_csv(file: Path) -> IntArray:
    return np.loadtxt(file, delimiter=",", dtype=np.int64, ndmin=2)


def _read_header(file: Path) -> IntArray:
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read_text(), flags=re.DOTALL)
    first, last = text.find("{"), text.rfind("}")
    if first < 0 or last < first:
        raise ValueError("there are no numbers between braces")
    body = text[first + 1 : last]
    rows = re.findall(r"\{([^{}]*)\}", body) or [body]
    numbers = [[int(entry, 0) for entry in row.replace(",", " ").split()] for row in rows]
    table = np.array(numbers, dtype=np.int64)
    side = round(table.size**0.5)
    return table.reshape(side, side) if len(rows) == 1 and side * side == table.size else table


READERS = {".npy": _read_npy, ".csv": _read_csv, ".h": _read_header, ".c": _read_header}

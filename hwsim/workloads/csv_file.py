"""Workloads as CSV files: one line per layer, every column stated."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hwsim.files import atomic_write
from hwsim.workload import SIZES, Layer, Workload, WorkloadError

#: Field of a layer and position in it, for the columns that hold part of a tuple.
TUPLES = {
    "strides": ("stride_y", "stride_x"),
    "padding": ("pad_top", "pad_left", "pad_bottom", "pad_right"),
    "dilation": ("dilation_y", "dilation_x"),
}
TEXTS = ("name", "part", "kind", "op", "inputs")
FLAGS = ("has_weight", "has_bias", "shared")
INTEGERS = (*SIZES, *(column for columns in TUPLES.values() for column in columns))
COLUMNS = (*TEXTS, *INTEGERS, *FLAGS)


def read_csv(path: str | Path) -> Workload:
    """Return the workload of a CSV file, named after the file.

    Columns (all needed, any order): name, part, kind (of `hwsim.workload.KINDS`), op, inputs (keys of earlier layers,
    separated by spaces), the sizes N K C OY OX IY IX FY FX groups, stride_y stride_x, pad_top pad_left pad_bottom
    pad_right, dilation_y dilation_x, and 0 or 1 for has_weight has_bias shared. Only part, op and inputs may be empty.

    Raises:
        WorkloadError: the file is not UTF-8, a column is missing or unknown, no line follows, a cell is not what the
            column holds, or a layer cannot be; the message names file, line and column.
        OSError: the file cannot be read.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets put a byte order mark in front
    except UnicodeDecodeError as error:
        raise WorkloadError(
            f"{path}: a layer list is UTF-8 text, got the byte {error.object[error.start]:#04x}"
        ) from error
    return parse_csv(text, file.stem, str(path))


def parse_csv(text: str, name: str, where: str) -> Workload:
    """Return the workload of a CSV text; `where` is its place for error messages.

    Raises:
        WorkloadError: as `read_csv`.
    """
    reader = csv.reader(io.StringIO(text))
    header = next(reader, [])
    _check_columns(header, where)
    lines = [(reader.line_num, row) for row in reader if row]
    if not lines:
        raise WorkloadError(f"{where}: no layers below the header")
    return Workload(name, tuple(_layer(header, row, f"{where}, line {number}") for number, row in lines))


def to_csv(workload: Workload) -> str:
    """Return the workload as CSV text.

    Raises:
        WorkloadError: a layer has a format, scales or a chosen accumulator, which the columns do not hold.
    """
    for layer in workload:
        if layer.activation or layer.weight or layer.scales or layer.accumulator_bits:
            raise WorkloadError(
                f"workload {workload.name} cannot be a CSV file, which holds no formats, scales or accumulators: layer "
                f"{layer.key} has some"
            )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(layer) for layer in workload)
    return text.getvalue()


def write_csv(workload: Workload, path: str | Path) -> None:
    """Write the workload as a CSV file.

    Raises:
        WorkloadError: as `to_csv`.
        OSError: the file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(to_csv(workload), encoding="utf-8")


def _check_columns(header: list[str], where: str) -> None:
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise WorkloadError(f"{where}: no column {missing[0]!r} (columns are {', '.join(COLUMNS)})")
    strange = [column for column in header if column not in COLUMNS or header.count(column) > 1]
    if strange:
        raise WorkloadError(f"{where}: column {strange[0]!r} is unknown or stands twice")


def _layer(header: list[str], row: list[str], where: str) -> Layer:
    if len(row) != len(header):
        raise WorkloadError(f"{where}: {len(row)} cells for {len(header)} columns")
    cells = dict(zip(header, row, strict=True))
    numbers = {column: _integer(cells[column], column, where) for column in INTEGERS}
    sizes: dict[str, Any] = {letter: numbers[letter] for letter in SIZES}
    stride_y, stride_x = (numbers[column] for column in TUPLES["strides"])
    top, left, bottom, right = (numbers[column] for column in TUPLES["padding"])
    dilation_y, dilation_x = (numbers[column] for column in TUPLES["dilation"])
    has_weight, has_bias, shared = (_flag(cells[column], column, where) for column in FLAGS)
    try:
        return Layer(
            cells["name"],
            cells["kind"],
            strides=(stride_y, stride_x),
            padding=(top, left, bottom, right),
            dilation=(dilation_y, dilation_x),
            has_weight=has_weight,
            has_bias=has_bias,
            shared=shared,
            inputs=tuple(cells["inputs"].split()),
            part=cells["part"],
            op=cells["op"],
            **sizes,
        )
    except WorkloadError as error:
        raise WorkloadError(f"{where}: {error}") from error


def _integer(text: str, column: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise WorkloadError(f"{where}: column {column} holds an integer, got {text!r}") from None


def _flag(text: str, column: str, where: str) -> bool:
    if text not in ("0", "1"):
        raise WorkloadError(f"{where}: column {column} holds 0 or 1, got {text!r}")
    return text == "1"


def _cells(layer: Layer) -> Iterable[str | int]:
    tuples = (size for field in TUPLES for size in getattr(layer, field))
    sizes = (getattr(layer, letter) for letter in SIZES)
    flags = (int(getattr(layer, flag)) for flag in FLAGS)
    return (layer.name, layer.part, layer.kind, layer.op, " ".join(layer.inputs), *sizes, *tuples, *flags)

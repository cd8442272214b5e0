"""The example multipliers as files, for other tools and as examples of the format.

`python -m hwsim.multipliers.shipped FOLDER` writes them and their index; a test compares them with what ships.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.arithmetic import IntArray
from hwsim.files import atomic_write
from hwsim.formats import Uniform
from hwsim.multipliers.examples import EXAMPLES, example

WIDTHS = (4, 8)  #: Bits of both operands: signed weights, unsigned activations.
INDEX = "index.csv"
COLUMNS = ("table", "weights", "activations", "construction", "source")


def tables() -> Iterator[tuple[str, IntArray]]:
    """Yield the name and the products of each table: rows by the weight's bit pattern, columns by the activation's."""
    for name in EXAMPLES:
        for bits in WIDTHS:
            products = example(name, Uniform(bits), Uniform(bits, signed=False)).table()
            yield f"{name}_s{bits}u{bits}", products


def index() -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` per table."""
    return [
        (f"{name}_s{bits}u{bits}", f"{bits}-bit signed", f"{bits}-bit unsigned", made.construction, made.source)
        for name, made in EXAMPLES.items()
        for bits in WIDTHS
    ]


def narrowest(products: IntArray) -> "np.dtype[Any]":
    """Return numpy's narrowest integer type that holds the products, little-endian."""
    types = [np.dtype(name) for name in ("<i1", "<i2", "<i4")]
    return next(t for t in types if np.iinfo(t).min <= products.min() and products.max() <= np.iinfo(t).max)


def main(folder: Path) -> None:
    """Write every table, in the narrowest of numpy's integer types, and the index into the folder."""
    for name, products in tables():
        with atomic_write(folder / f"{name}.npy") as temporary:
            np.save(temporary, products.astype(narrowest(products)))
    with atomic_write(folder / INDEX) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, *index()])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

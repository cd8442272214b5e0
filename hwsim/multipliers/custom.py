"""A multiplier given by its product table: an approximate circuit, or anything else that a user measures or invents."""

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.arithmetic import BoolArray, register_range
from hwsim.errors import check_integer
from hwsim.formats import Format, IntegerFormat
from hwsim.multipliers.factorize import factorize, rank
from hwsim.multipliers.multiplier import IntArray, Multiplier, Terms
from hwsim.multipliers.parts import Operations, Part, Rom

MAX_BITS = 8
LARGEST = 1 << 30  #: Entries stay below this magnitude.
MAX_PRODUCT_BITS = 31


@dataclass(frozen=True)
class TableMultiplier(Multiplier):
    """Any integer product table of at most 8 x 8 bits: rows by the weight's bit pattern, columns by the activation's.

    entries: the table as text, made by `from_table`: little-endian int32, row by row, compressed, in base 64. fraction:
    fraction bits of a product. label: what to call the circuit.

    Raises:
        ValueError: operands wider than 8 bits, or entries that are not a table of their size.
    """

    entries: str = ""
    fraction: float = 0.0
    label: str = "table"

    name: ClassVar[str] = "custom"
    weight_formats: ClassVar[tuple[type[Format], ...]] = (Format,)  # any of them

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.weight.code_bits, self.activation.code_bits) > MAX_BITS:
            raise ValueError(
                f"a product table takes operands of at most {MAX_BITS} bits, "
                f"got {self.weight.code_bits} and {self.activation.code_bits}"
            )
        if self._decoded.size != 2 ** (self.weight.code_bits + self.activation.code_bits):
            raise ValueError(f"a product table for {self.weight} and {self.activation} has {self._shape} entries")

    @classmethod
    def from_table(
        cls,
        table: ArrayLike,
        weight: Format,
        activation: IntegerFormat,
        fraction: float = 0.0,
        label: str = "table",
        product_bits: int | None = None,
    ) -> "TableMultiplier":
        """Return the multiplier of a table, integers of shape (2**weight code bits, 2**activation bits).

        Rows and columns are in the order of the bit patterns: of a signed operand, the negative half comes second.
        product_bits: the width of a product as the circuit declares it, with its sign if the table holds one; entries
        are checked against it.

        Raises:
            ValueError: another shape, or an entry that is no integer, of more than 31 bits, or beyond its declared
                width; the message names its row and column, counted from 0 as the codes are.
        """
        products = np.asarray(table)
        shape = (2**weight.code_bits, 2**activation.code_bits)
        if products.shape != shape:
            operands = f"{weight.code_bits} x {activation.code_bits} bits"
            raise ValueError(f"a product table of {operands} has shape {shape}, got {products.shape}")
        _check_entries(products, product_bits)
        packed = zlib.compress(products.astype("<i4").tobytes(), 9)
        return cls(weight, activation, base64.b64encode(packed).decode(), fraction, label)

    @classmethod
    def from_function(
        cls,
        function: Callable[[int, int], int],
        weight: IntegerFormat,
        activation: IntegerFormat,
        label: str = "function",
    ) -> "TableMultiplier":
        """Return the multiplier whose products are function(weight level, activation level), both Python integers.

        Raises:
            ValueError: the function fails or returns no integer; or as `from_table`.
        """
        rows, columns = weight.integer_levels.tolist(), activation.integer_levels.tolist()
        table = [[_product(function, w, a, label) for a in columns] for w in rows]
        return cls.from_table(table, weight, activation, 0.0, label)

    @property
    def _shape(self) -> tuple[int, int]:
        return 2**self.weight.code_bits, 2**self.activation.code_bits

    @cached_property
    def _decoded(self) -> IntArray:
        try:
            data = zlib.decompress(base64.b64decode(self.entries, validate=True))
        except (ValueError, zlib.error) as error:
            raise ValueError(f"the entries of a product table cannot be decoded: {error}") from error
        return np.frombuffer(data, dtype="<i4").astype(np.int64)

    @property
    def frac_bits(self) -> float:
        """Fraction bits of a product."""
        return self.fraction

    def table(self) -> IntArray:
        """Return every product, shape (2**weight code bits, 2**activation bits)."""
        return self._decoded.reshape(self._shape)

    def multiply(self, w_codes: ArrayLike, a_codes: ArrayLike) -> IntArray:
        """Return the table's entry for each pair of codes."""
        return self.table()[self.weight.checked(w_codes), self.activation.checked(a_codes)]

    @cached_property
    def product_range(self) -> tuple[IntArray, IntArray]:
        """Lowest and highest product of each weight code, over all activation codes."""
        return self.table().min(axis=1), self.table().max(axis=1)

    @cached_property
    def _terms(self) -> Terms:
        return Terms(*factorize(self.table()))

    def terms(self) -> Terms:
        """Return an exact factorization: of lowest rank (see `factorize`) or a term per distinct row."""
        return self._terms

    @cached_property
    def rank(self) -> int:
        """How many terms the table needs at least."""
        return rank(self.table())

    @property
    def max_error(self) -> float:
        """Largest |product - exact|, in units of the product's last bit."""
        return error_statistics(self).worst

    @property
    def roms(self) -> tuple[Rom, ...]:
        """The table: its entries, as wide as a product."""
        return (Rom(self._decoded.size, self.product_bits),)

    def parts(self) -> tuple[Part, ...]:
        """Return the table; what circuit computes it is not known."""
        return (Part("table_entry", self.table_entries, self.product_bits),)

    def operations(self, w_codes: ArrayLike) -> Operations:
        """Return one table read per code."""
        return {"table_read": int(np.size(w_codes))}


def _check_entries(products: NDArray[Any], product_bits: int | None) -> None:
    """Raise a ValueError that names the first entry which is no integer, or is out of range."""
    if products.dtype.kind not in "biuf":
        raise ValueError(f"a product table holds integers, got {products.dtype}")
    _refuse_first(products, ~(products == np.rint(products)), "a product table holds integers")
    _refuse_first(products, np.abs(products.astype(np.float64)) >= LARGEST, "a product table holds integers below 2^30")
    if product_bits is not None:
        check_integer("product bits", product_bits, 1, MAX_PRODUCT_BITS)
        low, high = register_range(product_bits) if products.min() < 0 else (0, (1 << product_bits) - 1)
        rule = f"an entry is beyond its declared width of {product_bits} bits, {low}..{high}"
        _refuse_first(products, (products < low) | (products > high), rule)


def _refuse_first(products: NDArray[Any], wrong: BoolArray, rule: str) -> None:
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"{rule}, got {products[row, column]} in row {row}, column {column}")


@dataclass(frozen=True)
class ErrorStatistics:
    """How far a multiplier's products are from the exact ones, over all pairs of used codes, in product LSBs.

    mean: of |error|; worst: largest |error|; bias: mean of the error; relative: mean of |error| / |exact| where the
    exact product is not 0 (MRED); rate: share of the pairs whose product is not exact (Liang, Han and Lombardi, IEEE
    Trans. Comput. 62(9), 2013).
    """

    mean: float
    worst: float
    bias: float
    relative: float
    rate: float


def error_statistics(multiplier: Multiplier) -> ErrorStatistics:
    """Return the statistics over all pairs of codes that the formats use."""
    weights, activations = multiplier.weight.codes, multiplier.activation.codes
    exact = multiplier.weight.levels[weights][:, None] * multiplier.activation.levels[activations] / multiplier.unit
    error = multiplier.table()[weights][:, activations] - exact
    some = exact != 0
    relative = float(np.abs(error[some] / exact[some]).mean()) if some.any() else 0.0
    distance = np.abs(error)
    return ErrorStatistics(
        float(distance.mean()), float(distance.max()), float(error.mean()), relative, float((distance > 0).mean())
    )


def _product(function: Callable[[int, int], int], weight: int, activation: int, label: str) -> int:
    """Return the function's product as an integer."""
    call = f"{label}({weight}, {activation})"
    try:
        product = function(weight, activation)
    except Exception as error:
        raise ValueError(f"{call} fails: {type(error).__name__}: {error}") from error
    try:
        return index(product)
    except TypeError:
        raise ValueError(f"{call} must return an integer, got {product!r}") from None

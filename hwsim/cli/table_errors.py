"""The user's own product tables beside each other: how far their products are from the exact ones."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwsim.multipliers import TableMultiplier
    from hwsim.output import Row

Widths = Sequence[tuple[int, int]]  #: (weight bits, activation bits)


def table_rows(
    names: Sequence[str], widths: Widths, signed: tuple[bool, bool], product_bits: int | None
) -> "list[Row]":
    """Return a row per table: its operands, its rank, and its error over all pairs of codes.

    names: as `named_table` takes them. widths: of the tables that are made for any (examples and functions); a file's
    size says its own. signed: whether weights and activations are. product_bits: declared width of every table.

    Raises:
        ValueError, OSError: a table is unknown, or not in order.
    """
    return [_row(name, table) for name in names for table in _tables(name, widths, signed, product_bits)]


def _tables(
    name: str, widths: Widths, signed: tuple[bool, bool], product_bits: int | None
) -> "Iterator[TableMultiplier]":
    from hwsim.formats import Uniform
    from hwsim.multipliers.custom_files import file_widths, is_for_any_width, named_table

    for weight_bits, act_bits in widths if is_for_any_width(name) else [file_widths(name)]:
        yield named_table(name, Uniform(weight_bits, signed[0]), Uniform(act_bits, signed[1]), product_bits)


def _row(name: str, table: "TableMultiplier") -> "Row":
    from hwsim.multipliers.custom import error_statistics

    statistics = error_statistics(table)
    return {
        "table": name,
        "weight_bits": table.weight.bits,
        "act_bits": table.activation.bits,
        "product": table.product_bits,
        "rank": table.rank,
        "mean_error": statistics.bias,
        "mean_absolute_error": statistics.mean,
        "worst_error": statistics.worst,
        "mean_relative_error": statistics.relative,
        "error_rate": statistics.rate,
    }

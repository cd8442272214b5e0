"""Options that several commands share, and how their texts become values."""

from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """How a table is written."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    latex = "latex"


FormatOption = Annotated[Output, typer.Option("--format", "-f", help="How the table is written to stdout.")]
BitsOption = Annotated[str, typer.Option("--bits", help="Bit widths, separated by commas.", metavar="B,B,...")]


def parse_bits(text: str, low: int = 1, high: int = 16) -> list[int]:
    """Return the bit widths of a comma-separated list.

    Raises:
        ValueError: an entry is not an integer, or outside low..high; the message names it.
    """
    bits = []
    for entry in text.split(","):
        try:
            value = int(entry)
        except ValueError:
            raise ValueError(f"--bits takes integers separated by commas, got {entry!r} in {text!r}") from None
        if not low <= value <= high:
            raise ValueError(f"bits must be in {low}..{high}, got {value}")
        bits.append(value)
    return bits

"""Options that several commands share, and how their texts become values."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from hwsim.cli.completion import from_list

#: What `--data` takes; a test compares it with the registry, which is not imported for a help text.
DATA_SETS = "digits, mnist, fashion_mnist, cifar10, cifar100, strokes, imagefolder"


complete_data = from_list(DATA_SETS)


class Output(StrEnum):
    """How a table is written."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    latex = "latex"


FormatOption = Annotated[Output, typer.Option("--format", "-f", help="How the table is written to stdout.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check, print what would be done, and write nothing.")]
BitsOption = Annotated[str, typer.Option("--bits", help="Bit widths, separated by commas.", metavar="B,B,...")]


def parse_names(text: str, option: str) -> list[str]:
    """Return the entries of a comma-separated list.

    Raises:
        ValueError: an entry is empty or stands twice.
    """
    entries = [entry.strip() for entry in text.split(",")]
    for entry in entries:
        if not entry or entries.count(entry) > 1:
            raise ValueError(f"{option} takes different entries separated by commas, got {entry!r} in {text!r}")
    return entries


def parse_bits(text: str, low: int = 1, high: int = 16, option: str = "--bits") -> list[int]:
    """Return the bit widths of a comma-separated list.

    Raises:
        ValueError: an entry is not an integer, outside low..high, or stands twice; the message names it.
    """
    return [parse_width(entry, low, high, option) for entry in parse_names(text, option)]


def parse_ranges(text: str, low: int, high: int, option: str = "--bits") -> list[int]:
    """Return the bit widths of a comma-separated list whose entries are widths or ranges, such as 8-12.

    Raises:
        ValueError: an entry is neither, is empty, is outside low..high, or a width stands twice.
    """
    widths: list[int] = []
    for entry in parse_names(text, option):
        first, _, last = entry.partition("-")
        ends = [parse_width(end, low, high, option) for end in (first, last or first)]
        widths += range(ends[0], ends[1] + 1)
        if ends[0] > ends[1] or len(set(widths)) < len(widths):
            raise ValueError(f"{option} takes rising ranges of different widths, got {entry!r} in {text!r}")
    return widths


def parse_settings(entries: list[str] | None, option: str) -> dict[str, Any]:
    """Return the values of a repeatable name=value option; a value is JSON, such as 0.5 or [1, 2], or else a word.

    Raises:
        ValueError: an entry is not name=value, or a name stands twice.
    """
    settings: dict[str, Any] = {}
    for entry in entries or []:
        name, separator, text = entry.partition("=")
        if not separator or not name or name in settings:
            raise ValueError(f"{option} takes NAME=VALUE with different names, got {entry!r}")
        try:
            settings[name] = json.loads(text)
        except json.JSONDecodeError:
            settings[name] = text
    return settings


def parse_integers(text: str, option: str) -> list[int]:
    """Return the different integers of a comma-separated list.

    Raises:
        ValueError: an entry is not an integer, or stands twice.
    """
    return [parse_integer(entry, option) for entry in parse_names(text, option)]


def parse_integer(text: str, option: str) -> int:
    """Return one integer.

    Raises:
        ValueError: the text is not one.
    """
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{option} takes integers, got {text!r}") from None


def parse_width(text: str, low: int = 1, high: int = 16, option: str = "--bits") -> int:
    """Return one bit width.

    Raises:
        ValueError: the text is not an integer, or outside low..high.
    """
    value = parse_integer(text, option)
    if not low <= value <= high:
        raise ValueError(f"bits must be in {low}..{high}, got {value}")
    return value

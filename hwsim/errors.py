"""Errors that name the rule and the value."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """Return the error for a name that is not in a registry.

    Suggested is the nearest known name, and beside it a near one of the same letters in another order.
    """
    names, word = list(known), str(name).lower()
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    likely = near[:1] + [other for other in near[1:] if sorted(other) == sorted(word)]
    hint = f"; did you mean {' or '.join(map(repr, likely))}?" if likely else ""
    return ValueError(f"unknown {kind} {name!r}{hint} (known: {', '.join(names)})")


def check_integer(what: str, value: object, low: int, high: int, where: str = "") -> None:
    """Raise a ValueError unless the value is an integer (a bool is not) in low .. high."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} must be an integer in {low}..{high}{where}, got {value!r}")


def check_number(what: str, value: object, where: str = "") -> None:
    """Raise a ValueError unless the value is an integer or a float (a bool is neither)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what} must be a number{where}, got {value!r}")


def check_flag(what: str, value: object, where: str = "") -> None:
    """Raise a ValueError unless the value is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{what} must be true or false{where}, got {value!r}")


class CheckFailedError(ValueError):
    """What was checked was found to be not so; commands exit with code 1, not with 2 as for bad input."""


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Begin the message of a ValueError from the block with what it is about, such as `layer 'conv1'`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error

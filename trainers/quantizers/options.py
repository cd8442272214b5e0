"""What kind of value an option of a method takes, by the annotation in its constructor."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

from hwsim.errors import check_flag, check_number


def check_kind(what: str, value: object, annotation: Any) -> None:
    """Check a value against an annotation: one of `KINDS`, or that or None.

    Raises:
        ValueError: the value is of another kind.
    """
    alternatives = [kind for kind in (annotation, *get_args(annotation)) if kind in KINDS]
    is_optional = type(None) in get_args(annotation)
    if not (value is None and is_optional):
        KINDS[alternatives[0]](what, value)


def _check_integer(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what} must be an integer, got {value!r}")  # the method knows its range


def _check_name(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a name, got {value!r}")


def _check_numbers(what: str, value: object) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{what} must be several numbers, got {value!r}")
    for number in value:
        check_number(f"each of {what}", number)


#: What checks a value, by the annotation of what takes it.
KINDS: dict[object, Callable[[str, object], None]] = {
    bool: check_flag,
    int: _check_integer,
    float: check_number,
    str: _check_name,
    tuple[float, ...]: _check_numbers,
    Sequence[float]: _check_numbers,
}

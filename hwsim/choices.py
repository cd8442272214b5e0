"""What a user chooses for all layers of a network, or for some of them: VALUE, or PATTERN=VALUE."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Choice:
    """A value for the layers whose name matches a shell pattern."""

    pattern: str
    value: str


def parse_choices(texts: Sequence[str], names: Collection[str] | None = None) -> tuple[Choice, ...]:
    """Return the choices that `VALUE` (every layer) and `PATTERN=VALUE` stand for, in their order.

    names: the network's layers; None: patterns are not checked.

    Raises:
        ValueError: an empty pattern or value, or a pattern that matches no layer.
    """
    choices = tuple(_choice(text) for text in texts)
    for choice in choices:
        if names is not None and not any(fnmatchcase(name, choice.pattern) for name in names):
            raise ValueError(f"pattern {choice.pattern!r} matches no layer; layers are {', '.join(names)}")
    return choices


def chosen(choices: Sequence[Choice], name: str) -> str | None:
    """Return the value for a layer: of the last choice that matches its name; None if none does."""
    values = [choice.value for choice in choices if fnmatchcase(name, choice.pattern)]
    return values[-1] if values else None


def _choice(text: str) -> Choice:
    pattern, equals, value = text.rpartition("=")
    if not value or (equals and not pattern):
        raise ValueError(f"a choice is VALUE or PATTERN=VALUE, got {text!r}")
    return Choice(pattern or "*", value)

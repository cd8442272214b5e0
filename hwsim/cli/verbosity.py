"""How much a command says on stderr: errors only, also what happens, or also what was chosen.

Every command takes --quiet and --verbose, before or after its name. Tables on stdout do not depend on them.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any

from typer import Option

PANEL = "Messages"

QuietOption = Annotated[
    bool, Option("--quiet", "-q", help="Errors only: no progress, no notes.", rich_help_panel=PANEL)
]
VerboseOption = Annotated[
    bool,
    Option("--verbose", "-v", help="Also what was chosen (engines, paths, caches), and where errors come from.",
           rich_help_panel=PANEL),
]  # fmt: skip
OPTIONS = {"quiet": QuietOption, "verbose": VerboseOption}


class Level(IntEnum):
    """How much is said."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


_level: ContextVar[Level] = ContextVar("level", default=Level.NORMAL)


def is_quiet() -> bool:
    """Return whether nothing but errors is to be said."""
    return _level.get() is Level.QUIET


def is_verbose() -> bool:
    """Return whether what was chosen is to be said, too."""
    return _level.get() is Level.VERBOSE


def note(text: object) -> None:
    """Say on stderr what happens, unless the command is quiet."""
    if not is_quiet():
        print(text, file=sys.stderr, flush=True)


def detail(text: object) -> None:
    """Say on stderr what was chosen, if the command is verbose."""
    if is_verbose():
        print(text, file=sys.stderr, flush=True)


def choose(quiet: bool, verbose: bool) -> None:
    """Set the level if one of them is given.

    Raises:
        ValueError: both are, here or before and after the command's name.
    """
    for level, is_wanted in ((Level.QUIET, quiet), (Level.VERBOSE, verbose)):
        if is_wanted and _level.get() not in (Level.NORMAL, level):
            raise ValueError("--quiet and --verbose exclude each other: give one of them")
        if is_wanted:
            _level.set(level)


@contextmanager
def one_command() -> Iterator[None]:
    """Begin a block at the normal level; what libraries of ours log in it is said if the command is verbose."""
    token, handler, logger = _level.set(Level.NORMAL), _Details(), logging.getLogger("hwsim")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        _level.reset(token)


class _Details(logging.Handler):
    """Takes log records for details."""

    def emit(self, record: logging.LogRecord) -> None:
        detail(self.format(record))


def with_levels(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with --quiet and --verbose as further parameters."""

    @wraps(command)
    def with_parameters(*, quiet: bool, verbose: bool, **given: Any) -> None:
        choose(quiet, verbose)
        command(**given)

    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=kind) for name, kind in OPTIONS.items()]
    own = signature(command)
    with_parameters.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    with_parameters.__annotations__ = {**command.__annotations__, **OPTIONS}
    return with_parameters

"""How a command ends: the exit codes of `docs/terminal.md`, and one line on stderr where it could not do its work."""

import os
import sys
import traceback
from enum import IntEnum
from typing import Any, NoReturn

from typer.core import TyperGroup

from hwsim.cli import verbosity
from hwsim.errors import CheckFailedError

INTERRUPTED = "interrupted: run the same command again; if it had saved anything, that is kept"


class ExitCode(IntEnum):
    """What the exit code of a command means."""

    DONE = 0
    CHECK_FAILED = 1  #: The command ran, and what it checked is not so.
    INPUT = 2  #: An option, a file or a missing package, which the user can mend.
    DEFECT = 70  #: An error in hwsim; EX_SOFTWARE of sysexits.h.
    INTERRUPTED = 130


class Commands(TyperGroup):
    """The commands; errors that the user can mend become one line, and every end its exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run one command line."""
        if os.environ.get("NO_COLOR"):
            from typer import rich_utils

            rich_utils.COLOR_SYSTEM = None
        with verbosity.one_command():
            return super().main(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command, and see its output off."""
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has enough: say no more
        except CheckFailedError as error:
            fail(str(error), ExitCode.CHECK_FAILED)
        except (ValueError, OSError, ModuleNotFoundError) as error:
            fail(next_step(error))
        except KeyboardInterrupt:
            fail(INTERRUPTED, ExitCode.INTERRUPTED)


def next_step(error: Exception) -> str:
    """Return what an error says; of a package that is not installed, also how to install it."""
    from hwsim.extras import missing_package

    return missing_package(error) or str(error)


def fail(message: str, code: int = ExitCode.INPUT) -> NoReturn:
    """Print one line on stderr and leave; verbose, the traceback of the present error before it."""
    if verbosity.is_verbose() and sys.exc_info()[0] not in (None, KeyboardInterrupt):
        traceback.print_exc()
    print(f"hwsim: error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(int(code))

"""How a command ends when it cannot do what it was asked: one line on stderr and an exit code."""

import os
import sys
from typing import Any, NoReturn

from typer.core import TyperGroup


class Commands(TyperGroup):
    """The commands; errors that the user can mend become one line and exit code 2, an interrupt 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command, and see its output off."""
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has enough: say no more
        except (ValueError, OSError, ModuleNotFoundError) as error:
            fail(str(error))
        except KeyboardInterrupt:
            fail("interrupted; what was saved is kept: run the same command again", code=130)


def fail(message: str, code: int = 2) -> NoReturn:
    """Print one line on stderr and leave."""
    print(f"hwsim: error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)

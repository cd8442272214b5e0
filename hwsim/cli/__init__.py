"""The door: every command of hwsim. What a command needs is imported when it runs, so that `--help` is instant."""

import os
import sys

import typer

from hwsim.cli.accelerator import accelerator
from hwsim.cli.catalogue import formats, multipliers
from hwsim.cli.cost import bops, cost, storage
from hwsim.cli.demo import demo
from hwsim.cli.figure import figure
from hwsim.cli.overhead import overhead, tables
from hwsim.cli.report import report
from hwsim.cli.simulate import simulate
from hwsim.cli.train import train
from hwsim.cli.workload import workload

app = typer.Typer(
    name="hwsim",
    help="Accuracy and hardware cost of low-bit neural networks, from the same integers.",
    epilog="Tables go to stdout in the chosen --format, progress and messages to stderr. Errors exit with code 2.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    *(demo, formats, multipliers, train, simulate, report, figure),
    *(workload, cost, bops, storage, overhead, tables, accelerator),
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command line; errors that the user can mend become one line and exit code 2."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has enough: say no more
    except (ValueError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted; run the same command again to continue", code=130)


def fail(message: str, code: int = 2) -> None:
    """Print one line on stderr and leave."""
    print(f"hwsim: error: {message}", file=sys.stderr)
    raise SystemExit(code)

"""The door: every command of hwsim. What a command needs is imported when it runs, so that `--help` is instant."""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from hwsim.cli import verbosity
from hwsim.cli.accelerator import accelerator
from hwsim.cli.accumulators import accumulators
from hwsim.cli.allocate import allocate
from hwsim.cli.catalogue import formats, multipliers
from hwsim.cli.compare_runs import compare_runs
from hwsim.cli.cost import bops, cost, storage
from hwsim.cli.demo import demo
from hwsim.cli.doctor import doctor
from hwsim.cli.errors import Commands, ExitCode
from hwsim.cli.evaluate import evaluate
from hwsim.cli.figure import figure
from hwsim.cli.gates import compare, synth, table
from hwsim.cli.methods import methods
from hwsim.cli.overhead import overhead, tables
from hwsim.cli.paper_table import paper_table
from hwsim.cli.report import report
from hwsim.cli.rtl_emit import emit
from hwsim.cli.rtl_verify import verify
from hwsim.cli.simulate import simulate
from hwsim.cli.train import train
from hwsim.cli.worker import worker
from hwsim.cli.workload import workload

app = typer.Typer(
    cls=Commands,
    name="hwsim",
    help="Accuracy and hardware cost of low-bit neural networks, from the same integers.",
    epilog="Tables go to stdout in the chosen --format, progress and messages to stderr. Exit codes: 0 done, 1 a check "
    "failed, 2 bad input, 70 a defect of hwsim, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: The commands by panel of `--help`.
PANELS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "Train and simulate": (demo, train, evaluate, allocate, simulate, accumulators, worker),
    "Cost": (cost, bops, storage, overhead, tables, accelerator, workload),
    "Report": (report, figure, compare_runs, paper_table),
    "What there is": (doctor, formats, multipliers, methods),
}
COMMANDS = tuple(command for commands in PANELS.values() for command in commands)
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(verbosity.with_levels(command))
rtl = typer.Typer(name="rtl", help="Multipliers as hardware: Verilog, proof, cost in gates.", no_args_is_help=True)
for rtl_command in (emit, verify, synth, compare, table):
    rtl.command()(verbosity.with_levels(rtl_command))
app.add_typer(rtl, rich_help_panel="Hardware")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        print(f"hwsim {version('hwsim')}")
        raise typer.Exit


@app.callback()
def hwsim(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
    quiet: verbosity.QuietOption = False,
    verbose: verbosity.VerboseOption = False,
) -> None:
    """Accuracy and hardware cost of low-bit neural networks, from the same integers."""
    verbosity.choose(quiet, verbose)


def main() -> None:
    """Run the command line; an error that no command expects is a defect, told with its traceback."""
    try:
        app()
    except Exception:
        import traceback

        traceback.print_exc()
        print("hwsim: error: this is a defect of hwsim: report it with the lines above", file=sys.stderr)
        sys.exit(ExitCode.DEFECT)

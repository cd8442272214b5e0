"""The door: every command of hwsim. What a command needs is imported when it runs, so that `--help` is instant."""

import typer

from hwsim.cli.accelerator import accelerator
from hwsim.cli.accumulators import accumulators
from hwsim.cli.allocate import allocate
from hwsim.cli.catalogue import formats, multipliers
from hwsim.cli.compare_runs import compare_runs
from hwsim.cli.cost import bops, cost, storage
from hwsim.cli.demo import demo
from hwsim.cli.errors import Commands
from hwsim.cli.evaluate import evaluate
from hwsim.cli.figure import figure
from hwsim.cli.gates import compare, synth, table
from hwsim.cli.methods import methods
from hwsim.cli.overhead import overhead, tables
from hwsim.cli.report import report
from hwsim.cli.rtl import emit, verify
from hwsim.cli.simulate import simulate
from hwsim.cli.train import train
from hwsim.cli.worker import worker
from hwsim.cli.workload import workload

app = typer.Typer(
    cls=Commands,
    name="hwsim",
    help="Accuracy and hardware cost of low-bit neural networks, from the same integers.",
    epilog="Tables go to stdout in the chosen --format, progress and messages to stderr. Errors exit with code 2.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    *(demo, formats, multipliers, methods, train, evaluate, allocate, simulate, worker, accumulators, report, figure),
    compare_runs,
    *(workload, cost, bops, storage, overhead, tables, accelerator),
)
for command in COMMANDS:
    app.command()(command)
rtl = typer.Typer(name="rtl", help="Multipliers as hardware: Verilog, proof, cost in gates.", no_args_is_help=True)
for rtl_command in (emit, verify, synth, compare, table):
    rtl.command()(rtl_command)
app.add_typer(rtl)


def main() -> None:
    """Run the command line."""
    app()

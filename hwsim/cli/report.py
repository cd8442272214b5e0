"""`hwsim report`: tables and figures from run records."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.options import FormatOption, Output


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="Folder below which the run records lie.")],
    out: Annotated[Path | None, typer.Option(help="Folder of tables/ and figures/ (default: RUN_FOLDER).")] = None,
    output: FormatOption = Output.table,
) -> None:
    """Write every table (CSV, Markdown) and figure (PNG, PDF) of a study, and print the table of designs.

    Example: hwsim report runs/demo --format markdown
    """
    import sys

    from reports.report import write_report

    written = write_report(run_folder, out)
    print_designs(run_folder, output)
    for path in written:
        print(path, file=sys.stderr)


def print_designs(run_folder: Path, output: Output) -> None:
    """Print the table of designs of a study."""
    from hwsim.output import write
    from reports.records import load_study
    from reports.tables import TABLES

    exact = output in (Output.csv, Output.json)
    for table in TABLES["designs"](load_study(run_folder)):
        write(table.rows if exact else table.shown, output.value, title=table.title, units=table.units)

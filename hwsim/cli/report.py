"""`hwsim report`: pages, tables and figures from run records."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.options import DryRunOption, FormatOption, Output
from hwsim.cli.verbosity import note

if TYPE_CHECKING:
    from reports.records import Study


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Folders below which the run records lie.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report, with its index.html (default: the first of RUNS)."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve the pages on this machine until Ctrl-C, anew with every run.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of --watch (0: any that is free).", min=0, max=65535)] = 0,
    dry_run: DryRunOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Write a study as a page to look at, every table (CSV, Markdown) and figure (PNG, PDF); print its designs.

    Open index.html in a browser: it holds all that it shows and needs no network.

    Example: hwsim report runs/demo --out report
    """
    from hwsim.files import check_folder
    from reports.records import load_study
    from reports.report import report_files, write_report

    if watch and dry_run:
        raise ValueError("--dry-run is of the report that is written, --watch serves it: give one of them")
    if watch and not serve(runs, port):
        return
    study = load_study(*runs)
    check_folder(out or runs[0])
    if dry_run:
        print_files(report_files(study, out or runs[0]), len(study.records), output)
        return
    written = write_report(study, out or runs[0])
    print_designs(study, output)
    for path in written:
        note(path)


def print_files(files: Sequence[Path], records: int, output: Output) -> None:
    """Print which files a report would write, and which of them it would replace."""
    from hwsim.output import write

    rows = [{"file": str(path), "would": "replace" if path.exists() else "write"} for path in files]
    write(rows, output.value, title=f"Report of {records} run records: {len(files)} files")


def serve(runs: Sequence[Path], port: int) -> bool:
    """Serve the pages of these folders until an interrupt; return whether there are records then.

    Raises:
        FileNotFoundError: one of them does not exist.
        OSError: the port is taken.
    """
    from reports.records import RECORD_NAME
    from reports.watch import watch

    for folder in runs:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}")
    try:
        watch(runs, port, lambda address: note(f"{address} shows the runs; Ctrl-C ends it"))
    except KeyboardInterrupt:
        note("writing the report")
    return any(next(folder.rglob(RECORD_NAME), None) for folder in runs)


def print_designs(study: "Study", output: Output) -> None:
    """Print the table of designs of a study."""
    from hwsim.output import write
    from reports.tables import TABLES

    exact = output in (Output.csv, Output.json)
    for table in TABLES["designs"](study):
        write(table.rows if exact else table.shown, output.value, title=table.title, units=table.units)

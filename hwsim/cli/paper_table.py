"""`hwsim paper-table`: a table of a paper beside what was measured here."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.completion import from_registry
from hwsim.cli.verbosity import note

complete_table = from_registry("reports/published/__init__.py", "PAPER_TABLES")


class PaperOutput(StrEnum):
    """How a table of a paper is written; a test compares it with the registry."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    latex = "latex"
    html = "html"


def paper_table(
    name: Annotated[
        str | None,
        typer.Argument(help="Table; without it they are listed.", metavar="[NAME]", autocompletion=complete_table),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUNS]...", help="Records of runs, or folders of them, to stand beside."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; links start from its folder (default: stdout).", metavar="FILE")
    ] = None,
    output: Annotated[
        PaperOutput, typer.Option("--format", "-f", help="How the table is written.")
    ] = PaperOutput.table,
) -> None:
    """Print a table of a paper, each number with its source, beside what was measured here.

    Runs find their row by what their records say: data, network, methods, widths. Means and deviations are over seeds;
    a number of ours links to its records. Numbers that are not certain are marked, contradictions stand below, and
    missing ones say whether they were not published or not measured. csv and json have a row per number, exact.

    Example: hwsim paper-table asq-cifar10 benchmarks/results/cifar10 --format markdown
    """
    from hwsim.errors import unknown_name
    from reports.published import PAPER_TABLES
    from reports.report import write_text
    from reports.run_groups import run_groups
    from reports.tables.paper import paper_view, render_paper

    if name is None:
        list_tables(output)
        return
    if name not in PAPER_TABLES:
        raise unknown_name("table", name, PAPER_TABLES)
    home = out.parent if out else Path()
    view = paper_view(name, run_groups(runs) if runs else [], home)
    text = render_paper(view, output.value, home)
    if out is None:
        sys.stdout.write(text)
        return
    note(write_text(out, text))


def list_tables(output: PaperOutput) -> None:
    """Print the names of the tables and what they show.

    Raises:
        ValueError: the format is html, which is of one table.
    """
    from hwsim.output import Row, write
    from reports.published import PAPER_TABLES, read_published

    if output is PaperOutput.html:
        raise ValueError("html is a format of one table: name it")
    rows: list[Row] = [
        {
            "table": name,
            "numbers": sum(number.value is not None for number in read_published(name)),
            "shows": table.title,
        }
        for name, table in PAPER_TABLES.items()
    ]
    write(rows, output.value, title="Tables of papers")

"""The report of a study: every page, every table and every figure, as files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hwsim.files import atomic_write
from hwsim.output import render
from reports.figures import FIGURES, HARDWARE_FIGURES, FigureKind, style
from reports.figures.accuracy_cost import ON_NETWORK
from reports.pages import Download, build_pages
from reports.pages.design import page_designs
from reports.records import Study
from reports.tables import TABLES, Table

TABLE_ENDINGS = {"csv": ".csv", "markdown": ".md"}
FIGURE_ENDINGS = (".png", ".pdf")


def write_report(study: Study, out: str | Path) -> list[Path]:
    """Write all pages, tables (CSV, Markdown) and figures (PNG, PDF, and their numbers as CSV), and return the paths.

    Equal records give equal bytes. Each file is replaced as a whole or not at all. The last path is index.html's.

    Args:
        study: the records.
        out: folder that gets `tables/`, `figures/`, `designs/` and `index.html`.

    Raises:
        ValueError: no design was measured, the runs of one differ in a size, or a network beside a record is damaged
            or of another design.
        OSError: a file cannot be written.
    """
    target = Path(out)
    tables = [table for make in TABLES.values() for table in make(study)]
    kinds = report_figures(study)
    figures = {name: draw_figure(kind, study) for name, kind in kinds.items()}  # all, before any file is written
    pages = build_pages(study, target, downloads=_downloads(tables, kinds))
    written = [path for table in tables for path in write_table(table, target / "tables")]
    for name, (drawing, numbers) in figures.items():
        written += write_figure(name, drawing, numbers, target / "figures")
    return written + [write_text(target / name, pages[name]) for name in reversed(pages)]


def report_files(study: Study, out: str | Path) -> list[Path]:
    """Return the paths that `write_report` would return, with nothing drawn or written.

    Raises:
        ValueError: as `write_report`.
    """
    target = Path(out)
    tables = [table for make in TABLES.values() for table in make(study)]
    files = [target / name for download in _downloads(tables, report_figures(study)) for name in download.files]
    return files + [target / name for name in reversed(build_pages(study, target))]


def report_figures(study: Study) -> dict[str, FigureKind]:
    """Return the figures that a report of the study holds, by name: those of hardware as far as its networks tell.

    Raises:
        ValueError: as `write_report`.
    """
    known = {name for design in page_designs(study) if design.accuracy("integer") for name in design.costs}
    of_hardware = [f"accuracy-{name}" for name in ON_NETWORK if name in known]
    return {**FIGURES, **{name: HARDWARE_FIGURES[name] for name in of_hardware}}


def _downloads(tables: Sequence[Table], figures: Mapping[str, FigureKind]) -> list[Download]:
    """Return the files of all tables and figures in the order in which they are written."""
    of_tables = [
        Download(table.title, tuple(f"tables/{table.name}{ending}" for ending in TABLE_ENDINGS.values()))
        for table in tables
    ]
    endings = (*FIGURE_ENDINGS, ".csv")
    return of_tables + [
        Download(kind.caption, tuple(f"figures/{name}{ending}" for ending in endings)) for name, kind in figures.items()
    ]


def draw_figure(kind: FigureKind, study: Study) -> tuple[Figure, pd.DataFrame]:
    """Return one figure of a study and the numbers that it shows."""
    numbers = kind.data(study)
    return draw_numbers(kind.draw, numbers), numbers


def draw_numbers(draw: Callable[[pd.DataFrame], Figure], numbers: pd.DataFrame) -> Figure:
    """Return the figure of these numbers, ready to be saved."""
    return style.arranged(draw(numbers))


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write one table as CSV (exact) and Markdown (rounded); return the paths."""
    contents = {"csv": table.rows, "markdown": table.shown}
    texts = {name: render(rows, name, title=table.title, units=table.units) for name, rows in contents.items()}
    return [write_text(folder / f"{table.name}{TABLE_ENDINGS[name]}", text) for name, text in texts.items()]


def write_figure(name: str, drawing: Figure, numbers: pd.DataFrame, folder: Path) -> list[Path]:
    """Write one figure as PNG and PDF, and the numbers that it shows as CSV; return the paths."""
    pictures = [style.save(drawing, folder / f"{name}{ending}") for ending in FIGURE_ENDINGS]
    return [*pictures, write_numbers(numbers, folder / f"{name}.csv")]


def write_numbers(numbers: pd.DataFrame, path: Path) -> Path:
    """Write the numbers that a figure shows as CSV, exactly, and return the path.

    Raises:
        OSError: the file cannot be written.
    """
    return write_text(path, numbers.to_csv(index=False, lineterminator="\n"))


def write_text(path: Path, text: str) -> Path:
    """Write the file at once or not at all, and return its path.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return path

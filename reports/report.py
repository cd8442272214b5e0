"""The report of a study: every page, every table and every figure, as files."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hwsim.files import atomic_write
from hwsim.output import render
from reports.figures import FIGURES, FigureKind, style
from reports.pages import build_pages
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
        ValueError: no design was measured, the runs of one differ in a size, or a network beside a record is damaged.
        OSError: a file cannot be written.
    """
    target = Path(out)
    tables = [table for make in TABLES.values() for table in make(study)]
    figures = {name: draw_figure(kind, study) for name, kind in FIGURES.items()}  # all, before any file is written
    pages = build_pages(study, target)
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
    tables = [table.name for make in TABLES.values() for table in make(study)]
    files = [target / "tables" / f"{name}{ending}" for name in tables for ending in TABLE_ENDINGS.values()]
    files += [target / "figures" / f"{name}{ending}" for name in FIGURES for ending in (*FIGURE_ENDINGS, ".csv")]
    return files + [target / name for name in reversed(build_pages(study, target))]


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

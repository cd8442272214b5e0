"""The report of a study: every table and every figure, as files."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hwsim.files import atomic_write
from hwsim.output import render
from reports.figures import FIGURES, FigureKind, style
from reports.records import Study, load_study
from reports.tables import TABLES, Table

TABLE_ENDINGS = {"csv": ".csv", "markdown": ".md"}
FIGURE_ENDINGS = (".png", ".pdf")


def write_report(run_folder: str | Path, out: str | Path | None = None) -> list[Path]:
    """Write all tables (CSV, Markdown) and figures (PNG, PDF, and their numbers as CSV), and return their paths.

    Equal records give equal bytes. Each file is replaced as a whole or not at all.

    Args:
        run_folder: folder below which the run records lie.
        out: folder that gets `tables/` and `figures/`; the run folder itself if None.

    Raises:
        FileNotFoundError: there are no run records.
        ValueError: a record is damaged or not ours, or no design was measured.
        OSError: a file cannot be written.
    """
    study = load_study(run_folder)
    target = Path(run_folder if out is None else out)
    tables = [table for make in TABLES.values() for table in make(study)]
    figures = {name: draw_figure(kind, study) for name, kind in FIGURES.items()}  # all, before any file is written
    written = [path for table in tables for path in write_table(table, target / "tables")]
    for name, (drawing, numbers) in figures.items():
        written += write_figure(name, drawing, numbers, target / "figures")
    return written


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
    return [_write(folder / f"{table.name}{TABLE_ENDINGS[name]}", text) for name, text in texts.items()]


def write_figure(name: str, drawing: Figure, numbers: pd.DataFrame, folder: Path) -> list[Path]:
    """Write one figure as PNG and PDF, and the numbers that it shows as CSV; return the paths."""
    pictures = [style.save(drawing, folder / f"{name}{ending}") for ending in FIGURE_ENDINGS]
    return [*pictures, write_numbers(numbers, folder / f"{name}.csv")]


def write_numbers(numbers: pd.DataFrame, path: Path) -> Path:
    """Write the numbers that a figure shows as CSV, exactly, and return the path.

    Raises:
        OSError: the file cannot be written.
    """
    return _write(path, numbers.to_csv(index=False, lineterminator="\n"))


def _write(path: Path, text: str) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return path

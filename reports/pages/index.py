"""The first page of a report: question, answer, plot, and the table of designs."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from reports.pages.answer import answer
from reports.pages.axes import AXES
from reports.pages.design import PageDesign, losses
from reports.pages.template import render
from reports.paired import student_quantile
from reports.significance import Comparison
from reports.statement import statement
from reports.tables.table import plain


@dataclass(frozen=True)
class Download:
    """A table or a figure as files.

    Attributes:
        title: what it shows, in a sentence.
        files: paths in the report's folder, with slashes; each ends with its kind.
    """

    title: str
    files: tuple[str, ...]


def index_page(designs: Sequence[PageDesign], folder: str, live: bool, downloads: Sequence[Download] = ()) -> str:
    """Return the page.

    Args:
        designs: all designs of the study.
        folder: where the designs' pages are, relative to this one.
        live: whether it asks its server for news.
        downloads: what it links to.
    """
    groups: dict[tuple[str, ...], list[PageDesign]] = {}
    for design in designs:
        groups.setdefault(design.group, []).append(design)
    against_float = losses(designs)
    rows = [
        _row(design, list(groups).index(design.group), against_float.get(design.slug), folder) for design in designs
    ]
    most = max(len(design.runs) for design in designs)
    shown = [name for name in AXES if any(name in design.costs for design in designs)]
    return render(
        "index.html",
        title=_title(groups),
        groups=[{"name": ", ".join(key), "answer": answer(members)} for key, members in groups.items()],
        axes={name: AXES[name] for name in shown},
        absent=[AXES[name].label for name in AXES if name not in shown],
        rows=rows,
        data={
            "designs": rows,
            "groups": [", ".join(key) for key in groups],
            "axes": {name: vars(AXES[name]) for name in shown},
            "quantiles": [student_quantile(freedom) for freedom in range(1, most)],
        },
        runs=sum(len(design.runs) for design in designs),
        downloads=[_links(download) for download in downloads],
        version=version("hwsim"),
        live=live,
    )


def _links(download: Download) -> dict[str, Any]:
    links = [(name.rpartition(".")[2].upper(), quote(name)) for name in download.files]
    return {"title": download.title, "links": links}


def _title(groups: dict[tuple[str, ...], list[PageDesign]]) -> str:
    studies = dict.fromkeys(key[0] for key in groups)
    return f"{'Study' if len(studies) == 1 else 'Studies'} {', '.join(studies)}"


def _row(design: PageDesign, group: int, comparison: Comparison | None, folder: str) -> dict[str, Any]:
    """Return what the table and the plot show of a design; accuracies in percent."""
    row, kind = design.row, "float" if design.is_float else "integer"
    difference = comparison.difference if comparison else None
    return {
        "name": design.name,
        "group": group,
        "family": str(row["weights"]),
        "bits": plain(row["bits"]),
        "act_bits": plain(row["act_bits"]),
        "accuracy": _percent(row[f"accuracy_{kind}_mean"]),
        "deviation": _percent(row[f"accuracy_{kind}_sd"]),
        "seeds": len(design.runs),
        "measured": len(design.accuracy(kind)),
        "by_seed": {seed: 100 * value for seed, value in design.accuracy(kind).items()},
        "agreement": _percent(row["agreement_mean"]),
        "loss": 100 * difference.mean if difference else None,
        "loss_text": statement(comparison) if comparison and difference else "",
        "costs": design.costs,
        "page": f"{folder}/{design.slug}.html",
    }


def _percent(share: Any) -> float | None:
    value = plain(share)
    return None if value is None else 100 * float(value)

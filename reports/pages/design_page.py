"""The page of one design: its runs, its layers, its codes, its multiplier, its recipe."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hwsim.cli.train_command import train_command
from hwsim.multipliers import Multiplier
from reports.links import relative_link
from reports.pages.axes import AXES
from reports.pages.design import PageDesign
from reports.pages.networks import CodeHistogram, format_words, gates_of
from reports.pages.template import render
from reports.records import Record
from reports.significance import Comparison
from reports.statement import statement
from reports.tables import Table

HEIGHT, WIDTH = 60, 240  #: Of a histogram, in units of its drawing.
SUMMED = ("codes", "codes_differing", "accumulator_overflows", "datapath_overflows")
WIDEST = ("required_bits", "accumulator_bits")
LARGE = 40  #: A histogram of more levels shows no gaps between its bars.


def design_page(design: PageDesign, loss: Comparison | None, layers: Table | None, home: Path, live: bool) -> str:
    """Return the page.

    Args:
        design: the design.
        loss: the design against the float network; None: it is that.
        layers: what its layers cost; None: its runs hold no cost.
        home: folder of the page, which links to the records relative to it.
        live: whether it asks its server for news.
    """
    config = next(iter(design.runs.values()))["config"]
    return render(
        "design.html",
        design=design,
        runs=[_run(path, record, home) for path, record in design.runs.items()],
        costs=[(AXES[name], value) for name, value in design.costs.items()],
        loss=statement(loss) if loss and loss.difference else "",
        problem=design.facts.problem if design.facts else "",
        layers=layers,
        exported=_exported(design.runs.values()),
        histograms=[(histogram, bars(histogram)) for histogram in (design.facts.histograms if design.facts else ())],
        height=HEIGHT,
        width=WIDTH,
        multipliers=_multipliers(design.facts.multipliers if design.facts else {}),
        config=sorted((name, value) for name, value in config.items() if name != "seed"),
        command=train_command(config, [record["seed"] for record in design.runs.values()]),
        live=live,
    )


def bars(histogram: CodeHistogram) -> str:
    """Return the outline of a histogram as the path of an SVG drawing, HEIGHT x WIDTH, zero at the bottom."""
    step, top = WIDTH / len(histogram.counts), max(histogram.counts) or 1
    width = step * (1 if len(histogram.counts) > LARGE else 0.8)
    tall = ((i * step, HEIGHT * count / top) for i, count in enumerate(histogram.counts) if count)
    return "".join(f"M{x:.1f} {HEIGHT}v{-height:.1f}h{width:.1f}V{HEIGHT}z" for x, height in tall)


def _run(path: Path, record: Record, home: Path) -> dict[str, Any]:
    volatile = record.get("volatile", {})
    return {
        "name": record["run_id"],
        "link": relative_link(path, home),
        "accuracy": {name: record["accuracy"].get(name) for name in ("float", "qat", "integer", "agreement")},
        "counts": record.get("counts", {}),
        "versions": ", ".join(f"{name} {text}" for name, text in record.get("versions", {}).items()),
        "command": volatile.get("command", ""),
    }


def _exported(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return what export checked, a row per layer: the widest registers and summed counts of all runs."""
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        for layer in record.get("export", {}).get("layers", []):
            row = rows.setdefault(layer["layer"], {"layer": layer["layer"], "runs": 0, "law_holds": 0})
            row["runs"] += 1
            row["law_holds"] += bool(layer["law_holds"])
            row |= {name: max(row.get(name, 0), layer[name]) for name in WIDEST}
            row |= {name: row.get(name, 0) + layer[name] for name in SUMMED}
    return list(rows.values())


def _multipliers(circuits: Mapping[tuple[str, ...], Multiplier]) -> list[dict[str, Any]]:
    return [
        {
            "layers": layers,
            "name": circuit.name,
            "weight": format_words(circuit.weight),
            "activation": format_words(circuit.activation),
            "product_bits": circuit.product_bits,
            "parts": circuit.parts(),
            "gates": gates_of(circuit, "multiplier"),
        }
        for layers, circuit in circuits.items()
    ]

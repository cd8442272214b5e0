"""Accuracy of trained networks against the fraction bits of POST's product table, for both of its layouts."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.table_precision import FRACTION_BITS, accuracy_rows, has_table
from reports.figures import lines, style
from reports.figures.table_error import LAYOUT_LOOKS
from reports.tested import TrainedNetwork, check_designs

COLUMNS = ["design", "exports", "seed", "layout", "fraction_bits", "images", "correct", "accuracy", "change"]
FINEST = "full"  #: The layout whose most precise table the others are compared with.


def data(networks: Sequence[TrainedNetwork], fraction_bits: Sequence[int] = FRACTION_BITS) -> pd.DataFrame:
    """Return the accuracy of each network that has a table with each other one, as `hwsim.table_precision` simulates.

    Every network gets all tables, so of networks that were exported from the same training with different ones only
    the first is simulated. Columns: design, exports (designs that its training was exported as), seed, layout,
    fraction_bits, images, correct, accuracy (share of the images), and change: accuracy less that of the same network
    with the full table of most fraction bits.

    Raises:
        ValueError: no network has a table, there are more designs than a figure has room for, or images that do not fit
            a network.
    """
    chosen = [run for run in networks if has_table(run.network)]
    if not chosen:
        raise ValueError("none of the networks has a layer with POST weights, so none has a product table")
    trainings: dict[str, list[TrainedNetwork]] = {}
    for run in chosen:
        trainings.setdefault(run.training, []).append(run)
    check_designs([same[0] for same in trainings.values()])
    return pd.concat([_of_training(same, fraction_bits) for same in trainings.values()], ignore_index=True)[COLUMNS]


def _of_training(same: Sequence[TrainedNetwork], fraction_bits: Sequence[int]) -> pd.DataFrame:
    run, exports = same[0], ", ".join(dict.fromkeys(other.design for other in same))
    rows = pd.DataFrame(accuracy_rows(run.network, run.images, run.labels, fraction_bits))
    finest = rows[rows["layout"] == FINEST].set_index("fraction_bits")["accuracy"][max(fraction_bits)]
    images = len(run.labels)
    return rows.assign(
        design=run.design, exports=exports, seed=run.seed, images=images, change=rows["accuracy"] - finest
    )


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: for each design its accuracy, and how it changes with the table; a line per layout."""
    finest = rows["fraction_bits"].max()
    labels = {"accuracy": "integer accuracy [%]", "change": f"change against {FINEST} table,\n$k$ = {finest} [points]"}
    with style.paper():
        drawing, panels = lines.panels(rows, height_in=0.7, columns=len(labels))
        for design, row in panels.items():
            for axes, (column, label) in zip(row, labels.items(), strict=True):
                _panel(axes, rows[rows["design"] == design], column)
                axes.set_ylabel(label)
        for axes in row:
            axes.set_xlabel("fraction bits of the table, $k$")
        shown = axes.get_legend_handles_labels()
        drawing.legend(*shown, title=_drawn_once(rows), loc="outside upper center", ncols=2)
    return drawing


def _drawn_once(rows: pd.DataFrame) -> str:
    """Return which designs are the same networks, a line for each that is drawn for several; empty: none is."""
    several = [exports for exports in rows["exports"].unique() if ", " in exports]
    return "\n".join(f"the same networks, drawn once: {exports}" for exports in several)


def _panel(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    """Draw a line per layout: the mean over seeds, with bars of one standard deviation."""
    for layout, look in LAYOUT_LOOKS.items():
        seeds = 100 * rows[rows["layout"] == layout].set_index("fraction_bits")[column]
        groups = seeds.groupby(level=0)
        bars: dict[str, Any] = {"yerr": groups.std(ddof=1), "elinewidth": 0.7, "capsize": 1.8, "capthick": 0.7}
        axes.errorbar(sorted(groups.groups), groups.mean(), **bars, label=f"{layout} table", **look)
    axes.set_xticks(sorted(rows["fraction_bits"].unique()))

"""Figures of a study: one per file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from reports.figures import accuracy_cost, levels, table_error
from reports.records import Study

__all__ = ["FIGURES", "FigureKind"]


@dataclass(frozen=True)
class FigureKind:
    """A figure that a report can hold.

    Attributes:
        caption: what it shows, in a sentence: alternative text for who cannot see it.
        data: the study's numbers that it shows; they are written beside it.
        draw: the figure of such numbers.
    """

    caption: str
    data: Callable[[Study], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure]


FIGURES: Mapping[str, FigureKind] = {
    "accuracy-bops": FigureKind(
        "Integer accuracy against bit operations, a point per design, with the Pareto front.",
        accuracy_cost.data,
        partial(accuracy_cost.draw, axis="bops"),
    ),
    "accuracy-storage": FigureKind(
        "Integer accuracy against weight storage, a point per design, with the Pareto front.",
        accuracy_cost.data,
        partial(accuracy_cost.draw, axis="storage"),
    ),
    "levels": FigureKind(
        "The levels of uniform, POT and POST codes at 4 bits, and the region near zero enlarged.",
        lambda _study: levels.data(),
        levels.draw,
    ),
    "table-error": FigureKind(
        "Relative product error of the POST table against its fraction bits, at 3 and 4 bits.",
        lambda _study: table_error.data(),
        table_error.draw,
    ),
}

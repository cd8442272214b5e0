"""One look for all figures: sizes of a two-column paper, a palette that colour-blind readers can tell apart."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from hwsim.files import atomic_write

COLUMN_WIDTH_IN = 3.5  #: one column of an IEEE or ACM page
PAGE_WIDTH_IN = 7.16  #: both columns

BLACK, GREY, LIGHT = "#000000", "#666666", "#c8c8c8"

RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same everywhere
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "figure.facecolor": "white",
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
}

# What a file would say about when and by what it was written: left out, so that equal data give equal bytes.
METADATA: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


@dataclass(frozen=True)
class Look:
    """How a family of designs is drawn in every figure."""

    label: str
    color: str
    marker: str


# Okabe and Ito's palette, https://jfly.uni-koeln.de/color/; shape tells the families apart in black and white.
LOOKS: Mapping[str, Look] = {
    "uniform": Look("uniform", "#0072b2", "o"),
    "pot": Look("POT", "#d55e00", "s"),
    "post": Look("POST", "#009e73", "^"),
    "float": Look("float", BLACK, "D"),
}
SPARE_LOOKS = (("#cc79a7", "v"), ("#e69f00", "P"), ("#56b4e9", "X"), ("#f0e442", "h"))


def look(family: str, families: list[str]) -> Look:
    """Return how a family is drawn; one without its own entry gets a spare look by its place among the others."""
    if family in LOOKS:
        return LOOKS[family]
    others = [name for name in families if name not in LOOKS]
    color, marker = SPARE_LOOKS[others.index(family) % len(SPARE_LOOKS)]
    return Look(family, color, marker)


def paper() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn and saved: this style over matplotlib's defaults.

    A user's own matplotlibrc does not change a figure.
    """
    return matplotlib.style.context(["default", RC])


def figure(width_in: float = COLUMN_WIDTH_IN, height_in: float = 2.5) -> Figure:
    """Return an empty figure that arranges its parts without overlap; it needs no display and no global state."""
    return Figure(figsize=(width_in, height_in), dpi=RC["savefig.dpi"], layout="constrained")


def arranged(drawing: Figure) -> Figure:
    """Return the same figure with its parts fixed where they belong, so that saving it twice arranges it once."""
    with paper():
        drawing.draw_without_rendering()
        drawing.set_layout_engine("none")
    return drawing


def save(drawing: Figure, path: Path) -> Path:
    """Write the figure atomically as .png or .pdf; equal figures give equal bytes.

    Raises:
        ValueError: the ending is another.
        OSError: the file cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in METADATA:
        raise ValueError(f"a figure is saved as {' or '.join(METADATA)}, got {path.name!r}")
    with atomic_write(path) as temporary, paper():
        drawing.savefig(temporary, format=kind, metadata=dict(METADATA[kind]))
    return path

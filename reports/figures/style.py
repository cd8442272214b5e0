"""One look for all figures: sizes of a two-column paper, a palette that colour-blind readers can tell apart."""

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from hwsim.files import atomic_write

COLUMN_WIDTH_IN = 3.5  #: one column of an IEEE or ACM page
PAGE_WIDTH_IN = 7.16  #: both columns

NAME_WIDTH = 22  #: characters of a design's name on one line

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
    "svg.hashsalt": "hwsim",  # names of shared shapes: the same for equal figures
    "savefig.dpi": 300,
}

# What a file would say about when and by what it was written: left out, so that equal data give equal bytes.
METADATA: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
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


def series(names: Sequence[str], what: str) -> dict[str, Look]:
    """Return a look for each of several lines or point clouds, by their order.

    Args:
        names: what is told apart by colour and shape.
        what: what they are, for the message.

    Raises:
        ValueError: there are more than there are looks.
    """
    looks = (*((look.color, look.marker) for look in LOOKS.values()), *SPARE_LOOKS)
    if len(names) > len(looks):
        raise ValueError(f"a figure tells at most {len(looks)} {what} apart, got {len(names)}")
    return {name: Look(name, *pair) for name, pair in zip(names, looks, strict=False)}


def log_scale(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with as many labels as its range needs, written as plain numbers."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1, 1.5, 2, 3, 5, 7) if high < 8 * low else (1, 2, 5) if high < 200 * low else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()


def wrapped(name: str) -> str:
    """Return the name of a design on lines that a column has room for."""
    return textwrap.fill(name, NAME_WIDTH)


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
    """Write the figure atomically as .png, .pdf or .svg; equal figures give equal bytes.

    Raises:
        ValueError: the ending is another.
        OSError: the file cannot be written.
    """
    kind = picture_kind(path)
    with atomic_write(path) as temporary, paper():
        drawing.savefig(temporary, format=kind, metadata=dict(METADATA[kind]))
    return path


def picture_kind(path: Path) -> str:
    """Return the kind of picture that the file's ending names.

    Raises:
        ValueError: it names none that figures are saved as.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in METADATA:
        raise ValueError(f"a figure is saved as {', '.join(f'.{known}' for known in METADATA)}, got {path.name!r}")
    return kind

"""The level sets of the number formats, with the region near zero enlarged (as ASQ, arXiv:2504.17263, Fig. 3)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MultipleLocator

from hwsim.formats import make_format
from reports.figures import style

NEAR_ZERO = 0.2
SHADE = "#f2f2f2"
FAMILIES = ("uniform", "pot", "post")


def data(bits: int = 4, families: tuple[str, ...] = FAMILIES) -> pd.DataFrame:
    """Return the levels of each family, relative to its largest magnitude: columns format, bits, code, level."""
    return pd.concat([_levels(family, bits) for family in families], ignore_index=True)


def _levels(family: str, bits: int) -> pd.DataFrame:
    chosen = make_format(family, bits)
    levels = chosen.levels[chosen.codes] / max(chosen.max_level, -chosen.min_level)
    return pd.DataFrame({"format": family, "bits": bits, "code": chosen.codes, "level": levels})


def draw(levels: pd.DataFrame) -> Figure:
    """Return the figure: every level as a stroke on its format's line, the whole range above, near zero below."""
    with style.paper():
        drawing = style.figure(height_in=2.1)
        whole, near = drawing.subplots(2, 1)
        _lines(whole, levels, 1.0)
        _lines(near, levels[levels["level"].abs() <= NEAR_ZERO], NEAR_ZERO)
        whole.xaxis.tick_top()
        near.set_xlabel(f"level / largest magnitude of the format, {levels['bits'].iloc[0]}-bit codes")
        _connect(drawing, whole, near)
    return drawing


def _lines(axes: Axes, levels: pd.DataFrame, limit: float) -> None:
    families = list(levels["format"].unique())
    for row, family in enumerate(families):
        chosen = levels[levels["format"] == family]
        color = style.look(family, families).color
        axes.axhline(-row, color=style.LIGHT, linewidth=0.6, zorder=0)
        axes.plot(chosen["level"], [-row] * len(chosen), "|", color=color, markersize=9, markeredgewidth=1.1)
    axes.set_yticks([-row for row in range(len(families))], [style.look(f, families).label for f in families])
    axes.set_ylim(-len(families) + 0.4, 0.6)
    axes.set_xlim(-1.05 * limit, 1.05 * limit)
    axes.xaxis.set_major_locator(MultipleLocator(limit / 2))
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def _connect(drawing: Figure, whole: Axes, near: Axes) -> None:
    """Shade the enlarged region and join its corners with the lower panel."""
    limit = near.get_xlim()[1]
    whole.axvspan(-limit, limit, color=SHADE, linewidth=0, zorder=-1)
    near.set_facecolor(SHADE)
    for x in (-limit, limit):
        corner = ConnectionPatch((x, 0), (x, 1), whole.get_xaxis_transform(), near.get_xaxis_transform())
        corner.set(color=style.GREY, linewidth=0.5, linestyle=":")
        drawing.add_artist(corner)

"""Class activation maps of full-precision, mixed and low-precision networks (as BWRF, arXiv:2412.15846, Fig. 5)."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.figures import style
from reports.measured import Arrays, Measured, joined

FULL, PICTURE = "full precision", "picture"
PLACES = ["image", "channel", "y", "x"]
COLUMNS = ["network", *PLACES, "class", "answer", "value"]
PANEL_IN, ANSWER_IN, LINE_IN, FOOT_IN = 0.7, 0.1, 0.1, 0.6
NAME_WIDTH, NAME_SIZE = 13, 6.3  #: characters of a network's name on one line, and their size in points
COLORS, OPACITY = "inferno", 0.65


def data(measured: Measured) -> pd.DataFrame:
    """Return what `trainers.measurements.activation_maps` measured, a row per value of a picture or a map.

    Columns: run, network (`picture` for the images), image (its place), channel, y, x, class (the true one), answer
    (what the network says; missing for pictures), value. Pictures are in 0..1, maps in units of the logits. What later
    runs share with the first, pictures and the float network, is there once.

    Raises:
        ValueError: the runs are of different images.
    """
    label, first = next(iter(measured.items()))
    tables = {label: pd.concat([_rows(PICTURE, first["pictures"], first["classes"]), *_networks(first).values()])}
    for run, arrays in list(measured.items())[1:]:
        if not np.array_equal(first["pictures"], arrays["pictures"]):
            raise ValueError(f"the maps of {run} are of other images than those of {label}")
        shares = np.array_equal(first["maps"][0], arrays["maps"][0])
        tables[run] = pd.concat([rows for name, rows in _networks(arrays).items() if not (shares and name == FULL)])
    return joined(tables)


def _networks(arrays: Arrays) -> dict[str, pd.DataFrame]:
    """Return the rows of each network's maps, by its name."""
    maps, answers = arrays["maps"][:, :, None], arrays["answers"]
    return {
        str(name): _rows(str(name), maps[i], arrays["classes"], answers[i]) for i, name in enumerate(arrays["networks"])
    }


def _rows(name: str, values: NDArray[Any], classes: NDArray[Any], answers: NDArray[Any] | None = None) -> pd.DataFrame:
    """Return values [N, C, H, W] as rows, with the class of each image and the network's answers, [N]."""
    places = dict(zip(PLACES, np.indices(values.shape).reshape(4, -1), strict=True))
    said = pd.array([pd.NA] * len(classes) if answers is None else answers, dtype="Int64")
    numbers = {"class": classes[places["image"]], "answer": said[places["image"]], "value": values.ravel()}
    return pd.DataFrame({"network": name, **places, **numbers})[COLUMNS]


def draw(rows: pd.DataFrame) -> Figure:
    """Return the figure: a row per image, a column per network, maps over pictures, the network's answer below.

    What speaks for the true class is drawn, as a share of the most that any network of the row has in one place; what
    speaks against it is not.
    """
    pictures = rows[rows["network"] == PICTURE]
    networks = {key: group for key, group in rows.groupby(["run", "network"], sort=False) if key[1] != PICTURE}
    images, several = list(pictures["image"].unique()), rows["run"].nunique() > 1
    titles = ["image", *(_title(*map(str, key), several=several) for key in networks)]
    lines = 2 + max(title.count("\n") for title in titles)
    with style.paper():
        width = max(PANEL_IN * (1 + len(networks)), style.COLUMN_WIDTH_IN)
        drawing = style.figure(width, (PANEL_IN + ANSWER_IN) * len(images) + LINE_IN * lines + FOOT_IN)
        drawing.get_layout_engine().set(w_pad=0.02, h_pad=0.03, hspace=0.01)  # type: ignore[union-attr,call-arg]
        grid = drawing.subplots(len(images), 1 + len(networks), squeeze=False)
        for row, image in zip(grid, images, strict=True):
            _row(row, image, pictures, networks)
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title, fontsize=NAME_SIZE)
        scale = ScalarMappable(cmap=COLORS)
        bar = drawing.colorbar(scale, ax=grid, location="bottom", shrink=0.6, aspect=30, pad=0.03)
        bar.set_label("evidence for the true class, share of the row's largest")
        bar.outline.set_linewidth(0.5)
    return drawing


def _title(run: str, network: str, *, several: bool) -> str:
    name = f"{run}, {network}" if several and network != FULL else network
    return textwrap.fill(name, NAME_WIDTH)


def _row(row: NDArray[Any], image: int, pictures: pd.DataFrame, networks: dict[Any, pd.DataFrame]) -> None:
    """Draw an image, and every network's map over it."""
    shown = pictures[pictures["image"] == image]
    picture = np.moveaxis(_array(shown), 0, -1)
    maps = {key: group[group["image"] == image] for key, group in networks.items()}
    most = max(np.finfo(np.float64).tiny, *(group["value"].max() for group in maps.values()))
    true = int(shown["class"].iloc[0])
    for axes in row:
        axes.imshow(picture if picture.shape[2] == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    row[0].set_xlabel(f"class {true}", labelpad=2)
    for axes, group in zip(row[1:], maps.values(), strict=True):
        _overlay(axes, _array(group)[0].clip(0) / most, picture.shape[:2])
        answer = int(group["answer"].iloc[0])
        axes.set_xlabel(f"{answer}" if answer == true else f"{answer} (wrong)", labelpad=2)


def _array(rows: pd.DataFrame) -> NDArray[Any]:
    """Return the values of one image as [C, H, W]."""
    shape = [int(rows[name].max()) + 1 for name in PLACES[1:]]
    return rows["value"].to_numpy(dtype=np.float64).reshape(shape)


def _overlay(axes: Axes, shares: NDArray[Any], size: tuple[int, ...]) -> None:
    """Draw a map, shares in 0..1, over a picture of this height and width."""
    extent = (-0.5, size[1] - 0.5, size[0] - 0.5, -0.5)
    axes.imshow(shares, cmap=COLORS, vmin=0, vmax=1, alpha=OPACITY, interpolation="bilinear", extent=extent)

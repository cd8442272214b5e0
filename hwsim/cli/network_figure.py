"""What `hwsim figure` takes for figures of trained networks, and what it measures for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reports.measured import Measured

LayerOption = Annotated[str | None, typer.Option(help="Of distributions: a layer (default: the one in the middle).")]
BlocksOption = Annotated[
    str | None,
    typer.Option(help="Of block-errors: modules that blocks end with, by commas (default: the network's own)."),
]
ImagesOption = Annotated[
    int | None, typer.Option(help="Of trained networks: how many test images, the first ones (default: 128).")
]
DataDirOption = Annotated[
    str | None, typer.Option(help="Of trained networks: folder of the data set's files (default: the run's).")
]

COMMON = ("images", "data_dir")


def measure(name: str, sources: Sequence[str], given: Mapping[str, Any]) -> "Measured":
    """Return what a figure of trained networks shows, measured of each run.

    Raises:
        ValueError, FileNotFoundError: a folder holds no such run, or an option does not fit it; the folder is named.
    """
    from hwsim.errors import naming
    from reports.measured import run_labels
    from trainers.finished_run import open_run
    from trainers.measurements import MEASUREMENTS

    options = {option: value for option, value in given.items() if option not in COMMON}
    if "blocks" in options:
        options["blocks"] = options["blocks"].split(",")
    measured = {}
    for label, folder in run_labels([Path(source) for source in sources]).items():
        run = open_run(folder, given.get("data_dir"))
        images, _ = run.test_images(given.get("images"))
        with naming(str(folder)):
            measured[label] = MEASUREMENTS[name](run, images, **options)
    return measured

"""What `hwsim figure` takes for figures of trained networks, and what it measures or loads for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwsim.cli.images import LoadedImages
    from reports.measured import Measured
    from reports.tested import TrainedNetwork

LayerOption = Annotated[str | None, typer.Option(help="Of distributions: a layer (default: the one in the middle).")]
BlocksOption = Annotated[
    str | None,
    typer.Option(help="Of block-errors: modules that blocks end with, by commas (default: the network's own)."),
]
ImagesOption = Annotated[
    int | None,
    typer.Option(help="Of trained networks: how many test images, the first ones (default: 128; simulated: all)."),
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


def tested_networks(sources: Sequence[str], given: Mapping[str, Any]) -> "list[TrainedNetwork]":
    """Return the integer networks of all runs below the folders, with the test images of their data sets.

    Raises:
        ValueError, FileNotFoundError: no run left a network, a file is missing or damaged, or there are not so many
            test images.
    """
    from hwsim.cli.images import load_images
    from reports.records import design_of, load_study
    from reports.tested import TrainedNetwork, networks_of, training_of

    loaded: dict[tuple[str, str | None], LoadedImages] = {}
    networks = []
    for record, network in networks_of(load_study(*sources)):
        data, folder = record["config"]["data"], given.get("data_dir") or record["config"].get("data_dir")
        if (data, folder) not in loaded:
            loaded[data, folder] = load_images(network, data, folder and Path(folder), None, None)
        pixels, labels = _first(loaded[data, folder], given.get("images"), data)
        run = design_of(record), record["seed"]
        networks.append(TrainedNetwork(*run, network, pixels, labels, training_of(record)))
    return networks


def _first(loaded: "LoadedImages", count: int | None, data: str) -> "tuple[NDArray[Any], NDArray[Any]]":
    """Return the first test images and their classes, all where no number is given."""
    from hwsim.errors import check_integer

    known = len(loaded.pixels)
    wanted = known if count is None else count
    check_integer("images", wanted, 1, known, f", the test images of {data}")
    assert loaded.labels is not None  # a data set has classes
    return loaded.pixels[:wanted], loaded.labels[:wanted]

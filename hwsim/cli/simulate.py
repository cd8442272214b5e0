"""`hwsim simulate`: an integer network on real images, bit by bit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli.options import FormatOption, Output
from hwsim.cli.progress import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwsim.engines import Simulation
    from hwsim.network import Network
    from hwsim.output import Row


def simulate(
    network_file: Annotated[
        Path, typer.Argument(metavar="NETWORK_FILE", help="A network that `hwsim train` or `hwsim demo` wrote.")
    ],
    data: Annotated[str | None, typer.Option(help="Data set: digits, cifar10 (default: the network's).")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    images: Annotated[Path | None, typer.Option(help="Images instead: numbers, (N, C, H, W), in a .npy file.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their classes: integers, (N,), in a .npy file.")] = None,
    engine: Annotated[
        str, typer.Option(help="reference (numpy, plain), compiled (numba) or tensor (torch); equal bit by bit.")
    ] = "tensor",
    accumulator_bits: Annotated[
        int | None, typer.Option(help="Width of every accumulator (default: as the network was exported).")
    ] = None,
    overflow: Annotated[
        str, typer.Option(help="What such an accumulator does: error (refuse the weights), wrap or saturate.")
    ] = "error",
    multiplier: Annotated[
        str | None, typer.Option(help="Product table for every layer: a .npy, .csv or .h file, or an example's name.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 256,
    layers: Annotated[bool, typer.Option("--layers", help="One row per layer: accumulator, overflows, path.")] = False,
    output: FormatOption = Output.table,
) -> None:
    """Run an integer network bit by bit and report its accuracy and overflows.

    The images are the test images of the data set that the network was
    trained on, or of --data, normalized as in training; or --images, taken
    as they are.

    Example: hwsim simulate runs/digits-digits_resnet-post-w4a4-s0/network.safetensors --engine reference
    """
    from hwsim.accumulator import Accumulator
    from hwsim.engines import simulate as run
    from hwsim.exchange import with_table
    from hwsim.network_file import load_network
    from hwsim.output import write

    network = load_network(network_file)
    if multiplier is not None:
        network = with_table(network, multiplier)
    if accumulator_bits is not None:
        network = network.with_accumulator(Accumulator(accumulator_bits, overflow))
    elif overflow != "error":
        raise ValueError("--overflow belongs to --accumulator-bits")
    pixels, truth = load_images(network, data, data_dir, images, labels)
    with progress("simulating", len(pixels), "images") as advance:
        result = run(network, pixels, engine, batch_size=batch_size, progress=lambda done, total: advance(done, ""))
    rows = _layer_rows(network, result) if layers else [_summary(network, result, truth, engine)]
    write(rows, output.value, title=f"{network.name} on the {engine} engine")


def load_images(
    network: "Network", data: str | None, data_dir: Path | None, images: Path | None, labels: Path | None
) -> "tuple[NDArray[Any], NDArray[Any] | None]":
    """Return the images and, where they are known, their classes."""
    if images is not None:
        if data is not None or data_dir is not None:
            raise ValueError("give either --images or --data and --data-dir, not both")
        pixels = _load_npy(images, "biuf")
        return pixels, None if labels is None else _load_labels(
            labels, len(pixels), network.shapes[network.output.name][0]
        )
    if labels is not None:
        raise ValueError("--labels belong to --images; a data set brings its own")
    name = data or network.metadata.get("data")
    if name is None:
        raise ValueError(f"network {network.name!r} does not say which data it was made for: give --data or --images")
    from trainers.data import load_dataset

    dataset = load_dataset(str(name), data_dir)
    return dataset.normalized(dataset.test_images), dataset.test_labels


def _load_labels(path: Path, count: int, classes: int) -> "NDArray[Any]":
    labels = _load_npy(path, "iu")
    if labels.shape != (count,):
        raise ValueError(f"{path} must hold one label per image, shape ({count},), got {labels.shape}")
    if count and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"{path}: labels must be in 0..{classes - 1}, got {labels.min()}..{labels.max()}")
    return labels


def _load_npy(path: Path, kinds: str) -> "NDArray[Any]":
    """Return the array in a file, of one of numpy's kinds of numbers."""
    import numpy as np
    from numpy.lib.format import read_array

    try:
        with path.open("rb") as file:
            array = np.atleast_1d(read_array(file, allow_pickle=False))
    except ValueError as error:
        raise ValueError(f"{path} is not a .npy file of numbers: {error}") from error
    if array.dtype.kind not in kinds:
        raise ValueError(f"{path} must hold {'integers' if kinds == 'iu' else 'real numbers'}, got {array.dtype}")
    return array


def _summary(network: "Network", result: "Simulation", truth: "NDArray[Any] | None", engine: str) -> "Row":
    row: dict[str, Any] = {"network": network.name, "engine": engine, "images": len(result.predictions)}
    if truth is not None:
        correct = int((result.predictions == truth).sum())
        row |= {"correct": correct, "accuracy": correct / len(truth)}
    return row | {"overflows": sum(result.overflows.values())}


def _layer_rows(network: "Network", result: "Simulation") -> "list[Row]":
    return [
        {
            "layer": layer.name,
            "multiplier": layer.multiplier.name,
            "accumulator_bits": layer.accumulator.bits,
            "required_bits": layer.required_bits,
            "overflow": layer.accumulator.overflow,
            "accumulator_overflows": result.overflows.get(layer.name, 0),
            "path": result.paths[layer.name],
        }
        for layer in network.layers
    ]

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
    network_file: Annotated[Path, typer.Argument(help="A network that `hwsim train` or `hwsim demo` wrote.")],
    data: Annotated[str | None, typer.Option(help="Data set whose test images are used: digits, cifar10.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    images: Annotated[Path | None, typer.Option(help="Images instead, a .npy file of shape (N, C, H, W).")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their classes, a .npy file of shape (N,).")] = None,
    engine: Annotated[
        str, typer.Option(help="reference (numpy, plain) or tensor (torch, fast); equal bit by bit.")
    ] = "tensor",
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 256,
    layers: Annotated[bool, typer.Option("--layers", help="One row per layer: accumulator, overflows, path.")] = False,
    output: FormatOption = Output.table,
) -> None:
    """Run an integer network bit by bit and report its accuracy and overflows.

    Example: hwsim simulate runs/demo/digits-digits_resnet-post-w4a4-s0/network.safetensors --data digits
    """
    from hwsim.engines import simulate as run
    from hwsim.network_file import load_network
    from hwsim.output import write

    network = load_network(network_file)
    pixels, truth = _load(network, data, data_dir, images, labels)
    with progress("simulating", len(pixels), "images") as advance:
        result = run(network, pixels, engine, batch_size=batch_size, progress=lambda done, total: advance(done, ""))
    rows = _layer_rows(network, result) if layers else [_summary(network, result, truth, engine)]
    write(rows, output.value, title=f"{network.name} on the {engine} engine")


def _load(
    network: "Network", data: str | None, data_dir: Path | None, images: Path | None, labels: Path | None
) -> "tuple[NDArray[Any], NDArray[Any] | None]":
    if images is not None:
        if data is not None:
            raise ValueError("give either --data or --images, not both")
        return _load_npy(images), None if labels is None else _load_npy(labels)
    from trainers.data import load_dataset

    dataset = load_dataset(data or str(network.metadata.get("data", "digits")), data_dir)
    return dataset.test_images, dataset.test_labels


def _load_npy(path: Path) -> "NDArray[Any]":
    import numpy as np

    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except ValueError as error:
        raise ValueError(f"{path} is not a .npy file of numbers: {error}") from error


def _summary(network: "Network", result: "Simulation", truth: "NDArray[Any] | None", engine: str) -> "Row":
    row: dict[str, Any] = {"network": network.name, "engine": engine, "images": len(result.predictions)}
    if truth is not None:
        if truth.shape != result.predictions.shape:
            raise ValueError(f"labels must have shape {result.predictions.shape}, got {truth.shape}")
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

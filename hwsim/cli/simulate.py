"""`hwsim simulate`: an integer network on real images, bit by bit."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli.batches import run_batches
from hwsim.cli.images import load_images
from hwsim.cli.options import DATA_SETS, FormatOption, Output
from hwsim.cli.progress import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwsim.network import Network
    from hwsim.output import Row
    from hwsim.streaming import Totals


def simulate(
    network_file: Annotated[
        Path, typer.Argument(metavar="NETWORK_FILE", help="A network that `hwsim train` or `hwsim demo` wrote.")
    ],
    data: Annotated[
        str | None,
        typer.Option(help=f"Data set: {DATA_SETS} (default: the network's)."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    images: Annotated[Path | None, typer.Option(help="Images instead: numbers, (N, C, H, W), in a .npy file.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their classes: integers, (N,), in a .npy file.")] = None,
    engine: Annotated[
        str,
        typer.Option(help="reference (numpy, plain), compiled (numba), tensor (torch), cuda (GPU); equal bit by bit."),
    ] = "tensor",
    accumulator_bits: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BITS|PATTERN=BITS",
            help="Width of every accumulator, or of those in layers of a name; repeatable (default: as exported).",
        ),
    ] = None,
    overflow: Annotated[
        str, typer.Option(help="What such an accumulator does: error (refuse the weights), wrap or saturate.")
    ] = "error",
    multiplier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE|PATTERN=TABLE",
            help="Product table of every layer, or of layers of a name; repeatable. An example's name, a .npy, .csv or "
            ".h file, or file.py:function.",
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the network with these tables and accumulators.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 256,
    workers: Annotated[int, typer.Option(help="Processes that simulate at once.")] = 1,
    queue: Annotated[
        Path | None, typer.Option(help="Folder shared with other machines that run `hwsim worker` on it.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="One row per layer: accumulator, overflows, path.")] = False,
    output: FormatOption = Output.table,
) -> None:
    """Run an integer network bit by bit and report its accuracy and overflows.

    The images are the test images of the data set that the network was
    trained on, or of --data, normalized as in training; or --images, taken
    as they are.

    Example: hwsim simulate runs/digits-digits_resnet-post-w4a4-s0/network.safetensors --engine reference
    """
    from hwsim.network_file import load_network, save_network
    from hwsim.output import write

    network = _with_hardware(load_network(network_file), multiplier, accumulator_bits, overflow)
    if queue is not None and workers != 1:
        raise ValueError("give either --workers or --queue; each machine of a queue runs `hwsim worker`")
    loaded = load_images(network, data, data_dir, images, labels)
    with progress("simulating", len(loaded.pixels), "images") as advance:
        totals = run_batches(network, loaded, engine, batch_size, workers, queue, lambda done: advance(done, ""))
    if save is not None:
        save_network(network, save)
    rows = _layer_rows(network, totals) if layers else [_summary(network, totals, loaded.labels, engine)]
    write(rows, output.value, title=f"{network.name} on the {engine} engine")


def _with_hardware(
    network: "Network", multiplier: list[str] | None, accumulator_bits: list[str] | None, overflow: str
) -> "Network":
    from hwsim.exchange import tables_of, with_accumulators, with_tables

    if multiplier:
        network = with_tables(network, multiplier)
    for table, names in tables_of(network).items():
        print(f"{table}: in {len(names)} of {len(network.layers)} layers, {', '.join(names)}", file=sys.stderr)
    if accumulator_bits:
        return with_accumulators(network, accumulator_bits, overflow)
    if overflow != "error":
        raise ValueError("--overflow belongs to --accumulator-bits")
    return network


def _summary(network: "Network", totals: "Totals", truth: "NDArray[Any] | None", engine: str) -> "Row":
    row: dict[str, Any] = {"network": network.name, "engine": engine, "images": len(totals.predictions)}
    if truth is not None:
        correct = totals.correct(truth)
        row |= {"correct": correct, "accuracy": correct / len(truth)}
    return row | {"overflows": sum(totals.overflows.values())}


def _layer_rows(network: "Network", totals: "Totals") -> "list[Row]":
    return [
        {
            "layer": layer.name,
            "multiplier": getattr(layer.multiplier, "label", layer.multiplier.name),
            "accumulator_bits": layer.accumulator.bits,
            "required_bits": layer.required_bits,
            "overflow": layer.accumulator.overflow,
            "accumulator_overflows": totals.overflows.get(layer.name, 0),
            "path": totals.paths[layer.name],
        }
        for layer in network.layers
    ]

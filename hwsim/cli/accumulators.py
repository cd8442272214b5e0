"""`hwsim accumulators`: how wide the accumulators must be, how wide the data makes them, and what fewer bits cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.images import LoadedImages, load_images
from hwsim.cli.options import DryRunOption, FormatOption, Output, complete_data, parse_ranges
from hwsim.cli.progress import progress

if TYPE_CHECKING:
    from hwsim.network import Network
    from hwsim.output import Row


def accumulators(
    network_file: Annotated[
        Path, typer.Argument(metavar="NETWORK_FILE", help="A network that `hwsim train` or `hwsim demo` wrote.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set whose test images are used, as hwsim train takes it.", autocompletion=complete_data
        ),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    images: Annotated[Path | None, typer.Option(help="Images instead, a .npy file of shape (N, C, H, W).")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their classes, a .npy file of shape (N,).")] = None,
    count: Annotated[int | None, typer.Option(help="Take only so many of the images, the first ones.", min=1)] = None,
    bits: Annotated[
        str | None,
        typer.Option(metavar="A-B,C", help="Widths to try (default: the widest seen and six below it)."),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Only the table of layers.")] = False,
    accuracy: Annotated[bool, typer.Option("--accuracy", help="Only the table of accuracies.")] = False,
    dry_run: DryRunOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Show, per layer, worst-case and seen accumulator bits, then accuracy against one width for all layers.

    Seen are all partial sums, in the order in which the accumulator adds.
    Formats that hold one table need --layers or --accuracy.

    Example: hwsim accumulators network.safetensors --data digits --bits 8-12
    """
    from hwsim.network_file import load_network
    from hwsim.output import write

    widths = None if bits is None else parse_ranges(bits, 2, 63)
    _check_tables(layers, accuracy, output, dry_run)
    network = load_network(network_file)
    loaded = load_images(network, data, data_dir, images, labels)
    if accuracy and loaded.labels is None:
        raise ValueError("--accuracy needs the images' classes: give --labels")
    if dry_run:
        write(_plan(loaded, count, widths, (layers, accuracy)), output.value, title=f"Would simulate {network.name}")
        return
    seen = [] if accuracy and widths else _seen(network, loaded, count)
    if not accuracy:
        write(seen, output.value, title=f"Accumulators of {network.name}")
    if not layers and loaded.labels is not None:
        rows = _accuracies(network, loaded, count, widths, seen)
        write(rows, output.value, title="Accuracy against accumulator width")


def _plan(loaded: LoadedImages, count: int | None, widths: list[int] | None, only: tuple[bool, bool]) -> "list[Row]":
    """Return which networks would run on how many images; only: whether the one table is asked for, or the other."""
    from hwsim.accumulators import MODES

    layers, accuracy = only
    images = len(loaded.pixels[:count])
    rows: list[Row] = []
    if not (accuracy and widths):
        rows.append({"what": "partial sums of each layer", "networks": 1, "images": images})
    if not layers and loaded.labels is not None:
        tried = ", ".join(map(str, widths)) if widths else "the widest seen and six below it"
        networks = len(MODES) * len(widths) if widths else None
        what = f"accuracy at {tried} bits, {' and '.join(MODES)}"
        rows.append({"what": what, "networks": networks, "images": images})
    return rows


def _check_tables(layers: bool, accuracy: bool, output: Output, dry_run: bool) -> None:
    if layers and accuracy:
        raise ValueError("give --layers or --accuracy, or none for both tables")
    if not dry_run and output in (Output.csv, Output.json) and not layers and not accuracy:
        raise ValueError(f"{output.value} holds one table: give --layers or --accuracy")


def _seen(network: "Network", loaded: LoadedImages, count: int | None) -> "list[Row]":
    from hwsim.accumulators import layer_rows

    pixels = loaded.pixels[:count]
    with progress("partial sums", len(pixels), "images") as advance:
        return layer_rows(network, pixels, lambda done: advance(done, ""))


def _accuracies(
    network: "Network", loaded: LoadedImages, count: int | None, widths: list[int] | None, seen: "list[Row]"
) -> "list[Row]":
    from hwsim.accumulators import MODES, accuracy_rows, default_widths

    assert loaded.labels is not None
    pixels, tried = loaded.pixels[:count], widths or list(default_widths(seen))
    with progress("accuracy", len(tried) * len(MODES) * len(pixels), "images") as advance:
        return accuracy_rows(network, pixels, loaded.labels[:count], tried, lambda done: advance(done, ""))

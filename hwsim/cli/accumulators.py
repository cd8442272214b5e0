"""`hwsim accumulators`: how wide the accumulators must be, how wide the data makes them, and what fewer bits cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.images import load_images
from hwsim.cli.options import FormatOption, Output

if TYPE_CHECKING:
    from hwsim.output import Row


def accumulators(
    network_file: Annotated[Path, typer.Argument(help="A network that `hwsim train` or `hwsim demo` wrote.")],
    data: Annotated[str | None, typer.Option(help="Data set whose test images are used: digits, cifar10.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    images: Annotated[Path | None, typer.Option(help="Images instead, a .npy file of shape (N, C, H, W).")] = None,
    labels: Annotated[Path | None, typer.Option(help="Their classes, a .npy file of shape (N,).")] = None,
    fewer: Annotated[int, typer.Option(help="Accuracy is shown down to this many bits below the widest seen.")] = 4,
    output: FormatOption = Output.table,
) -> None:
    """Show, per layer, worst-case and seen accumulator bits, then accuracy against one width for all layers.

    Example: hwsim accumulators network.safetensors --data digits
    """
    from hwsim.accumulators import accuracy_rows, layer_rows
    from hwsim.network_file import load_network
    from hwsim.output import write

    network = load_network(network_file)
    loaded = load_images(network, data, data_dir, images, labels)
    pixels, truth = loaded.pixels, loaded.labels
    layers: list[Row] = layer_rows(network, pixels)
    write(layers, output.value, title=f"Accumulators of {network.name}")
    if truth is not None:
        widest = max(int(str(row["bits_seen"])) for row in layers)
        needed = max(int(str(row["bits_worst_case"])) for row in layers)
        widths = range(max(2, widest - fewer), needed + 1)
        write(accuracy_rows(network, pixels, truth, widths), output.value, title="Accuracy against accumulator width")

"""`hwsim cost`: what an integer network costs in hardware."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.options import FormatOption, Output


def cost(
    network_file: Annotated[Path, typer.Argument(help="A network that `hwsim train` or `hwsim demo` wrote.")],
    layers: Annotated[bool, typer.Option("--layers", help="One row per layer and part instead of totals.")] = False,
    output: FormatOption = Output.table,
) -> None:
    """Count parameters, storage, MACs, operations by kind, BOPs and table bits, from the network's own codes.

    Example: hwsim cost runs/demo/digits-digits_resnet-post-w4a4-s0/network.safetensors --layers --format csv
    """
    from hwsim.cost import network_cost
    from hwsim.network_file import load_network
    from hwsim.output import write

    network = load_network(network_file)
    table = network_cost(network)
    write((table if layers else table.total()).rows(), output.value, title=f"Cost of {network.name}")

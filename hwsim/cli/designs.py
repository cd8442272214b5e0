"""Designs on the command line: a network at one or several precisions, and their costs as rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.options import Output, parse_bits

if TYPE_CHECKING:
    from hwsim.cost import CostTable
    from hwsim.output import Row
    from hwsim.workload import Workload

NetworkArgument = Annotated[
    str,
    typer.Argument(
        help="A network of the literature (resnet18, mobilenetv2, ...), a trained .safetensors network, or a list of "
        "layers in .csv or .onnx."
    ),
]
WeightsOption = Annotated[
    str | None, typer.Option(help="Weights: uniform, pot, post; several with commas. Default: as the file says.")
]
BitsListOption = Annotated[str | None, typer.Option("--bits", help="Weight bits, one design each.", metavar="B,B,...")]
ActBitsOption = Annotated[
    str | None, typer.Option(help="Activation bits, one for all or one per --bits (default: as the weights).")
]
ExponentsOption = Annotated[int | None, typer.Option(help="Magnitudes of pot and post (default: all of the code).")]
FirstLastOption = Annotated[
    str, typer.Option("--first-last", help="Bits of the first and last layer, or `same` as the others.")
]
LayersOption = Annotated[bool, typer.Option("--layers", help="One row per layer instead of totals.")]
CompareOption = Annotated[bool, typer.Option("--compare", help="Designs side by side, in columns.")]


def designs(
    source: str,
    weights: str | None,
    bits: str | None,
    act_bits: str | None,
    exponents: int | None = None,
    first_last: str = "8",
) -> "dict[str, Workload]":
    """Return the network at each precision, by the design's name; as it is, if neither weights nor bits are given.

    Raises:
        ValueError: the network, a format or a width is not one of those known, or its file is not in order.
        OSError: the file cannot be read.
    """
    from hwsim.cost.views import at_precisions, precisions
    from hwsim.workloads import Precision, load_workload

    workload = load_workload(source)
    if weights is None and bits is None:
        if act_bits is not None or exponents is not None:
            raise ValueError("--act-bits and --exponents belong to a precision: give --bits too")
        return {workload.name: workload}
    outer = None if first_last == "same" else Precision("uniform", parse_bits(first_last)[0])
    widths = parse_bits(bits or "8")
    activations = parse_bits(act_bits) if act_bits else None
    chosen = precisions((weights or "uniform").split(","), widths, activations, exponents=exponents)
    return at_precisions(workload, chosen, first_last=outer)


def print_costs(tables: "Mapping[str, CostTable]", title: str, layers: bool, compare: bool, output: Output) -> None:
    """Print the costs of each design: totals or rows per layer, below each other or side by side."""
    from hwsim.cost.views import by_layer, side_by_side, totals
    from hwsim.output import write

    rows: list[Row]
    if compare:
        rows = list(side_by_side(tables, per_layer=layers))
    else:
        view = by_layer if layers else totals
        rows = [{"design": name, **row} for name, table in tables.items() for row in view(table)]
    write(rows, output.value, title=title)


def title_of(source: str) -> str:
    """Return how a title calls a network: its name, or its file's."""
    return Path(source).stem

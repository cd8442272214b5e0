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
WeightsOption = Annotated[str | None, typer.Option(help="Weights: uniform, pot, post. Default: what the file says.")]
BitsListOption = Annotated[str | None, typer.Option("--bits", help="Weight bits, one design each.", metavar="B,B,...")]
ActBitsOption = Annotated[int | None, typer.Option(help="Activation bits (default: as the weights).")]
FirstLastOption = Annotated[
    str, typer.Option("--first-last", help="Bits of the first and last layer, or `same` as the others.")
]
LayersOption = Annotated[bool, typer.Option("--layers", help="One row per layer and part instead of totals.")]
CompareOption = Annotated[bool, typer.Option("--compare", help="Designs side by side, in columns.")]


def designs(
    source: str, weights: str | None, bits: str | None, act_bits: int | None, first_last: str
) -> "dict[str, Workload]":
    """Return the network at each precision, by the design's name; as it is, if neither weights nor bits are given.

    Raises:
        ValueError: the network, a format or a width is not one of those known, or its file is not in order.
        OSError: the file cannot be read.
    """
    from hwsim.workloads import Precision, load_workload, quantized

    workload = load_workload(source)
    if weights is None and bits is None:
        if act_bits is not None:
            raise ValueError("--act-bits needs --bits: it belongs to a precision")
        return {workload.name: workload}
    outer = None if first_last == "same" else Precision("uniform", parse_bits(first_last)[0])
    precisions = [Precision(weights or "uniform", b, act_bits) for b in parse_bits(bits or "8")]
    names = [f"{p.weights}-w{p.bits}a{p.activation.bits}" for p in precisions]
    return {name: quantized(workload, precision, outer) for name, precision in zip(names, precisions, strict=True)}


def print_costs(tables: "Mapping[str, CostTable]", title: str, layers: bool, compare: bool, output: Output) -> None:
    """Print the costs of each design: totals or rows per layer and part, below each other or side by side."""
    from hwsim.output import write

    shown = tables if layers else {name: table.total() for name, table in tables.items()}
    write(_side_by_side(shown) if compare else _stacked(shown), output.value, title=title)


def _stacked(tables: "Mapping[str, CostTable]") -> "list[Row]":
    return [{"design": name, **row} for name, table in tables.items() for row in table.rows()]


def _side_by_side(tables: "Mapping[str, CostTable]") -> "list[Row]":
    from hwsim.cost import columns

    return list(columns(tables))


def title_of(source: str) -> str:
    """Return how a title calls a network."""
    return Path(source).stem

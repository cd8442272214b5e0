"""Designs on the command line: a network at one or several precisions, and their costs as rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.completion import from_list, from_registry
from hwsim.cli.options import Output, parse_bits, parse_names, parse_width

if TYPE_CHECKING:
    from hwsim.cost import CostTable
    from hwsim.output import Row
    from hwsim.workload import Workload

complete_network = from_registry("hwsim/workloads/__init__.py", "LITERATURE")
NetworkArgument = Annotated[
    str,
    typer.Argument(
        help="A network of the literature (resnet18, mobilenetv2, ...), a trained .safetensors network, or a list of "
        "layers in .csv or .onnx.",
        autocompletion=complete_network,
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="Weights: uniform, pot, post, apot; several with commas. Default: as the file says.",
        autocompletion=from_list("uniform, pot, post, apot"),
    ),
]
BitsListOption = Annotated[str | None, typer.Option("--bits", help="Weight bits, one design each.", metavar="B,B,...")]
ActBitsOption = Annotated[
    str | None, typer.Option(help="Activation bits, one for all or one per --bits (default: as the weights).")
]
ExponentsOption = Annotated[int | None, typer.Option(help="Magnitudes of pot and post (default: all of the code).")]
FirstLastOption = Annotated[
    str | None, typer.Option("--first-last", help="Bits of the first and last layer (default: 8), or `same`.")
]
LayersOption = Annotated[bool, typer.Option("--layers", help="One row per layer instead of totals.")]
CompareOption = Annotated[bool, typer.Option("--compare", help="Designs side by side, in columns.")]


def designs(
    source: str,
    weights: str | None,
    bits: str | None,
    act_bits: str | None,
    exponents: int | None = None,
    first_last: str | None = None,
) -> "dict[str, Workload]":
    """Return the network at each precision, by the design's name; as it is, if no precision is given.

    Raises:
        ValueError: the network, a format or a width is not one of those known, its file is not in order, or an option
            would have no effect.
        OSError: the file cannot be read.
    """
    from hwsim.cost.views import at_precisions, precisions
    from hwsim.workloads import Precision, load_workload

    workload = load_workload(source)
    if bits is None:
        given = {"--weights": weights, "--act-bits": act_bits, "--exponents": exponents, "--first-last": first_last}
        if any(value is not None for value in given.values()):
            names = ", ".join(name for name, value in given.items() if value is not None)
            raise ValueError(f"a precision begins with --bits; without it {names} would have no effect")
        return {workload.name: workload}
    families = parse_names(weights or "uniform", "--weights")
    if exponents is not None and not {"pot", "post"} & set(families):
        raise ValueError("--exponents belongs to pot and post weights; the others have none")
    outer = (
        None if first_last == "same" else Precision("uniform", parse_width(first_last or "8", option="--first-last"))
    )
    activations = [parse_width(entry, option="--act-bits") for entry in act_bits.split(",")] if act_bits else None
    chosen = precisions(families, parse_bits(bits), activations, exponents=exponents)
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


def title_of(workloads: "Mapping[str, Workload]") -> str:
    """Return how a title calls the network of these designs."""
    return next(iter(workloads.values())).name

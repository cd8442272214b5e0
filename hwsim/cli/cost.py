"""`hwsim cost`, `hwsim bops` and `hwsim storage`: what a network costs, at one or several precisions."""

from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.completion import from_registry
from hwsim.cli.designs import (
    ActBitsOption,
    BitsListOption,
    CompareOption,
    ExponentsOption,
    FirstLastOption,
    LayersOption,
    NetworkArgument,
    WeightsOption,
    designs,
    print_costs,
    title_of,
)
from hwsim.cli.options import FormatOption, Output, parse_names

if TYPE_CHECKING:
    from hwsim.cost import CostTable


def cost(
    network: NetworkArgument,
    weights: WeightsOption = None,
    bits: BitsListOption = None,
    act_bits: ActBitsOption = None,
    exponents: ExponentsOption = None,
    first_last: FirstLastOption = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Some of counts, storage, bops, tables, energy, gates, accelerator; or all.",
            metavar="M,M,...",
            autocompletion=from_registry("hwsim/cost/__init__.py", "METRICS", also=["all"]),
        ),
    ] = None,
    layers: LayersOption = False,
    compare: CompareOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Count parameters, storage, MACs, operations by kind, BOPs and table bits.

    A trained network is counted from its own codes; a network of the literature at the precisions that are given.

    Example: hwsim cost resnet18 --weights post --bits 4,3,2 --compare --format latex
    """
    from hwsim.cost import METRICS, evaluate, workload_cost

    every = [name for name in METRICS if name != "overhead"]
    chosen = None if metrics is None else every if metrics == "all" else parse_names(metrics, "--metrics")
    if chosen and "overhead" in chosen:
        raise ValueError("overhead is a table of its own: hwsim overhead --network NAME")
    workloads = designs(network, weights, bits, act_bits, exponents, first_last)
    tables = {name: evaluate(w, chosen) if chosen else workload_cost(w) for name, w in workloads.items()}
    print_costs(tables, f"Cost of {title_of(workloads)}", layers, compare, output)


def bops(
    network: NetworkArgument,
    weights: WeightsOption = None,
    bits: BitsListOption = None,
    act_bits: ActBitsOption = None,
    exponents: ExponentsOption = None,
    first_last: FirstLastOption = None,
    convention: Annotated[
        str | None,
        typer.Option(
            help="One convention only, such as macs_bits.",
            autocompletion=from_registry("hwsim/cost/bops.py", "CONVENTIONS"),
        ),
    ] = None,
    layers: LayersOption = False,
    compare: CompareOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Count bit operations under every published convention, side by side.

    `ebops` and `qonnx_sparse` need weight codes: they appear for trained networks.

    Example: hwsim bops resnet18 --bits 8,4,3,2 --compare
    """
    from hwsim.cost.bops import all_bops
    from hwsim.cost.bops import bops as count

    workloads = designs(network, weights, bits, act_bits, exponents, first_last)
    tables = {name: all_bops(w) if convention is None else count(w, convention) for name, w in workloads.items()}
    print_costs(tables, f"BOPs of {title_of(workloads)}", layers, compare, output)


def storage(
    network: NetworkArgument,
    weights: WeightsOption = None,
    bits: BitsListOption = None,
    act_bits: ActBitsOption = None,
    exponents: ExponentsOption = None,
    first_last: FirstLastOption = None,
    word_bits: Annotated[int, typer.Option(help="Memory word, which no code crosses; 0: none.")] = 32,
    layers: LayersOption = False,
    compare: CompareOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Count the bits that must be stored: codes, scales, biases, tables, padding, and activations.

    Example: hwsim storage mobilenetv2 --bits 8,4 --layers --format csv
    """
    from hwsim.cost.storage import MemoryLayout
    from hwsim.cost.storage import storage as count

    workloads = designs(network, weights, bits, act_bits, exponents, first_last)
    layout = MemoryLayout(word_bits or None)
    tables = {name: count(workload, layout) for name, workload in workloads.items()}
    if not layers:  # what is stored says more than how much: a row per part
        tables = {name: parts_as_quantities(table) for name, table in tables.items()}
    print_costs(tables, f"Storage of {title_of(workloads)}", layers, compare, output)


def parts_as_quantities(table: "CostTable") -> "CostTable":
    """Return the table with each part's storage as a quantity of its own."""
    from hwsim.cost import CostTable

    parts = (e._replace(quantity=f"{e.part} {e.quantity}") for e in table)
    return CostTable(tuple(parts))

"""`hwsim accelerator`: a network on an array of processing elements."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.completion import from_list, from_registry
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
from hwsim.cli.options import DryRunOption, FormatOption, Output, parse_names
from hwsim.cli.real_operands import own_energies

if TYPE_CHECKING:
    from hwsim.output import Row


def accelerator(
    network: NetworkArgument,
    array: Annotated[str, typer.Option(help="Rows x columns; several separated by commas.")] = "32x32",
    dataflow: Annotated[
        str,
        typer.Option(
            help="What stays in place: os outputs, ws weights, is inputs.",
            autocompletion=from_registry("hwsim/cost/systolic.py", "DATAFLOWS"),
        ),
    ] = "os",
    style: Annotated[
        str,
        typer.Option(
            help="Element: native, fixed8, stripes, bitfusion, bitsystolic; several with commas.",
            autocompletion=from_registry("hwsim/cost/throughput.py", "STYLES"),
        ),
    ] = "native",
    weights: WeightsOption = None,
    bits: BitsListOption = None,
    act_bits: ActBitsOption = None,
    exponents: ExponentsOption = None,
    first_last: FirstLastOption = None,
    buffer_kib: Annotated[int, typer.Option(help="Each of the three on-chip buffers, in KiB.")] = 64,
    dram_bits: Annotated[int, typer.Option(help="Bits that DRAM moves per cycle.")] = 128,
    clock_mhz: Annotated[
        float | None, typer.Option(help="Clock in MHz (default: 500; of gates, what the slowest element allows).")
    ] = None,
    technology: Annotated[
        str,
        typer.Option(
            help="Table of energies: horowitz2014 or jouppi2021.", autocompletion=from_list("horowitz2014, jouppi2021")
        ),
    ] = "horowitz2014",
    arithmetic: Annotated[
        str, typer.Option(help="Energy of products and sums: operations of that table, or gates as synthesised.")
    ] = "operations",
    real_operands: Annotated[
        bool,
        typer.Option("--real-operands", help="Of gates: switching on a trained network's own codes (needs Yosys)."),
    ] = False,
    images: Annotated[
        Path | None, typer.Option(help="Images for --real-operands, .npy (default: the test images of its data).")
    ] = None,
    layers: LayersOption = False,
    compare: CompareOption = False,
    dry_run: DryRunOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Cycles, utilization, memory traffic, roofline, time and energy on a systolic array.

    Without --bits a trained network runs at its own precision, any other with 8-bit codes.

    Example: hwsim accelerator resnet18 --array 32x32 --dataflow os,ws --compare
    """
    from hwsim.cost import CostTable, Design
    from hwsim.cost import accelerator as run
    from hwsim.cost.design import parse_array
    from hwsim.output import write

    if images is not None and not real_operands:
        raise ValueError("--images belongs to --real-operands")
    if bits is None and not network.endswith(".safetensors"):
        bits = "8"
    workloads = designs(network, weights, bits, act_bits, exponents, first_last)
    hardware = [
        Design(
            *parse_array(size),
            flow,
            kind,
            buffer_kib,
            buffer_kib,
            buffer_kib,
            dram_bits,
            clock_mhz,
            technology,
            arithmetic,
        )
        for size, flow, kind in product(
            *map(parse_names, (array, dataflow, style), ("--array", "--dataflow", "--style"))
        )
    ]
    pairs = {f"{name} {design.name}": (name, design) for name in workloads for design in hardware}
    if dry_run:
        layers_of = {name: len(workload.mac_layers) for name, workload in workloads.items()}
        rows: list[Row] = [{"design": title, "layers": layers_of[name]} for title, (name, _) in pairs.items()]
        write(rows, output.value, title=f"Would count {len(pairs)} designs of {title_of(workloads)}")
        return
    own = own_energies(network, arithmetic, images) if real_operands else {}
    tables = {title: run(workloads[name], design, own) for title, (name, design) in pairs.items()}
    if compare:  # the column names the design, so the rows need not
        tables = {name: CostTable(tuple(e._replace(convention="array") for e in t)) for name, t in tables.items()}
    print_costs(tables, f"{title_of(workloads)} on an array", layers, compare, output)

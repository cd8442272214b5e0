"""`hwsim accelerator`: a network on an array of processing elements."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.completion import from_list, from_registry
from hwsim.cli.dataclass_options import takes
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
    from hwsim.cost import Design
    from hwsim.output import Row
    from hwsim.workload import Workload


@dataclass(frozen=True)
class AcceleratorOptions:
    """What the user gave."""

    network: NetworkArgument
    array: Annotated[str, typer.Option(help="Rows x columns; several separated by commas.")] = "32x32"
    dataflow: Annotated[
        str,
        typer.Option(
            help="What stays in place: os outputs, ws weights, is inputs.",
            autocompletion=from_registry("hwsim/cost/systolic.py", "DATAFLOWS"),
        ),
    ] = "os"
    style: Annotated[
        str,
        typer.Option(
            help="Element: native, fixed8, stripes, bitfusion, bitsystolic; several with commas.",
            autocompletion=from_registry("hwsim/cost/throughput.py", "STYLES"),
        ),
    ] = "native"
    weights: WeightsOption = None
    bits: BitsListOption = None
    act_bits: ActBitsOption = None
    exponents: ExponentsOption = None
    first_last: FirstLastOption = None
    buffer_kib: Annotated[int, typer.Option(help="Each of the three on-chip buffers, in KiB.")] = 64
    dram_bits: Annotated[int, typer.Option(help="Bits that DRAM moves per cycle.")] = 128
    clock_mhz: Annotated[
        float | None, typer.Option(help="Clock in MHz (default: 500; of gates, what the slowest element allows).")
    ] = None
    technology: Annotated[
        str,
        typer.Option(
            help="Table of energies: horowitz2014 or jouppi2021.", autocompletion=from_list("horowitz2014, jouppi2021")
        ),
    ] = "horowitz2014"
    arithmetic: Annotated[
        str, typer.Option(help="Energy of products and sums: operations of that table, or gates as synthesised.")
    ] = "operations"
    real_operands: Annotated[
        bool,
        typer.Option("--real-operands", help="Of gates: switching on a trained network's own codes (needs Yosys)."),
    ] = False
    images: Annotated[
        Path | None, typer.Option(help="Images for --real-operands, .npy (default: the test images of its data).")
    ] = None
    layers: LayersOption = False
    compare: CompareOption = False
    dry_run: DryRunOption = False
    output: FormatOption = Output.table

    @property
    def hardware(self) -> "list[Design]":
        """Every array of the given sizes, dataflows and styles."""
        from hwsim.cost import Design
        from hwsim.cost.design import parse_array

        lists = (self.array, "--array"), (self.dataflow, "--dataflow"), (self.style, "--style")
        kib, dram, clock = self.buffer_kib, self.dram_bits, self.clock_mhz
        return [
            Design(*parse_array(size), flow, style, kib, kib, kib, dram, clock, self.technology, self.arithmetic)
            for size, flow, style in product(*(parse_names(text, option) for text, option in lists))
        ]


@takes(AcceleratorOptions)
def accelerator(options: AcceleratorOptions) -> None:
    """Cycles, utilization, memory traffic, roofline, time and energy on a systolic array.

    Without --bits a trained network runs at its own precision, any other with 8-bit codes.

    Example: hwsim accelerator resnet18 --array 32x32 --dataflow os,ws --compare
    """
    from hwsim.cost import CostTable
    from hwsim.cost import accelerator as run

    if options.images is not None and not options.real_operands:
        raise ValueError("--images belongs to --real-operands")
    network, bits = options.network, options.bits
    if bits is None and not network.endswith(".safetensors"):
        bits = "8"
    workloads = designs(network, options.weights, bits, options.act_bits, options.exponents, options.first_last)
    hardware = options.hardware
    pairs = {f"{name} {design.name}": (name, design) for name in workloads for design in hardware}
    if options.dry_run:
        _write_plan(workloads, {title: name for title, (name, _) in pairs.items()}, options.output)
        return
    own = own_energies(network, options.arithmetic, options.images) if options.real_operands else {}
    tables = {title: run(workloads[name], design, own) for title, (name, design) in pairs.items()}
    if options.compare:  # the column names the design, so the rows need not
        tables = {name: CostTable(tuple(e._replace(convention="array") for e in t)) for name, t in tables.items()}
    print_costs(tables, f"{title_of(workloads)} on an array", options.layers, options.compare, options.output)


def _write_plan(workloads: "Mapping[str, Workload]", names: Mapping[str, str], output: Output) -> None:
    """Write what would be counted; names: the workload of each design on an array."""
    from hwsim.output import write

    rows: list[Row] = [{"design": title, "layers": len(workloads[name].mac_layers)} for title, name in names.items()]
    write(rows, output.value, title=f"Would count {len(names)} designs of {title_of(workloads)}")

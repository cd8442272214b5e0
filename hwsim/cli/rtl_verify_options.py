"""The options of `hwsim rtl verify`, in the order of `--help`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.options import BitsOption, DryRunOption, FormatOption, Output
from hwsim.cli.rtl_options import (
    ActBitsOption,
    ColumnsOption,
    DataflowOption,
    ExponentsOption,
    FractionBitsOption,
    LayoutOption,
    RowsOption,
    SignedOption,
)


@dataclass(frozen=True)
class VerifyOptions:
    """What the user gave."""

    ctx: typer.Context
    kind: Annotated[
        str,
        typer.Argument(help="Weights, as of `hwsim rtl emit`; or a network's file, with --layer.", metavar="KIND|FILE"),
    ]
    bits: BitsOption = "2,3,4"
    act_bits: ActBitsOption = None
    exponents: ExponentsOption = None
    fraction_bits: FractionBitsOption = 6
    layout: LayoutOption = "shared"
    signed_activations: SignedOption = False
    style: Annotated[str | None, typer.Option(help="Only this style (default: all that the kind has).")] = None
    layer: Annotated[str | None, typer.Option(help="Of a network: this layer on a systolic array.")] = None
    rows: RowsOption = 4
    columns: ColumnsOption = 4
    dataflow: DataflowOption = "os"
    simulator: Annotated[
        str, typer.Option(help="Of a layer: amaranth, or cxxrtl (compiled; needs a C++ compiler).")
    ] = "amaranth"
    images: Annotated[
        Path | None, typer.Option(help="Of a layer: images instead of test data, a .npy file (N, C, H, W).")
    ] = None
    count: Annotated[int, typer.Option(help="Of a layer: so many of the images.", min=1)] = 1
    positions: Annotated[
        int | None, typer.Option(help="Of a layer: so many output positions, spread over the images (default: all).")
    ] = None
    data_dir: Annotated[Path | None, typer.Option(help="Of a layer: folder of the data set's files.")] = None
    dry_run: DryRunOption = False
    output: FormatOption = Output.table

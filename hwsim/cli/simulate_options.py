"""The options of `hwsim simulate`, in the order of `--help`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.completion import from_registry
from hwsim.cli.options import DATA_SETS, DryRunOption, FormatOption, Output, complete_data

complete_engine = from_registry("hwsim/engines/simulate.py", "ENGINES", "DEVICES")
complete_table = from_registry("hwsim/multipliers/examples.py", "EXAMPLES")


@dataclass(frozen=True)
class SimulateOptions:
    """What the user gave."""

    network_file: Annotated[
        Path, typer.Argument(metavar="NETWORK_FILE", help="A network that `hwsim train` or `hwsim demo` wrote.")
    ]
    data: Annotated[
        str | None,
        typer.Option(help=f"Data set: {DATA_SETS} (default: the network's).", autocompletion=complete_data),
    ] = None
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None
    images: Annotated[Path | None, typer.Option(help="Images instead: numbers, (N, C, H, W), in a .npy file.")] = None
    labels: Annotated[Path | None, typer.Option(help="Their classes: integers, (N,), in a .npy file.")] = None
    engine: Annotated[
        str,
        typer.Option(
            help="reference (numpy, plain), compiled (numba), tensor (torch), cuda (GPU); equal bit by bit.",
            autocompletion=complete_engine,
        ),
    ] = "tensor"
    accumulator_bits: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BITS|PATTERN=BITS",
            help="Width of every accumulator, or of those in layers of a name; repeatable (default: as exported).",
        ),
    ] = None
    overflow: Annotated[
        str, typer.Option(help="What such an accumulator does: error (refuse the weights), wrap or saturate.")
    ] = "error"
    multiplier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE|PATTERN=TABLE",
            help="Product table of every layer, or of layers of a name; repeatable. An example's name, a .npy, .csv or "
            ".h file, or file.py:function.",
            autocompletion=complete_table,
        ),
    ] = None
    save: Annotated[Path | None, typer.Option(help="Write the network with these tables and accumulators.")] = None
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 256
    workers: Annotated[int, typer.Option(help="Processes that simulate at once.")] = 1
    queue: Annotated[
        Path | None, typer.Option(help="Folder shared with other machines that run `hwsim worker` on it.")
    ] = None
    layers: Annotated[bool, typer.Option("--layers", help="One row per layer: accumulator, overflows, path.")] = False
    dry_run: DryRunOption = False
    output: FormatOption = Output.table

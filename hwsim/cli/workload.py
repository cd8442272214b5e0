"""`hwsim workload`: a network's layers, listed or written for another simulator."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.designs import (
    ActBitsOption,
    BitsListOption,
    ExponentsOption,
    FirstLastOption,
    NetworkArgument,
    WeightsOption,
    designs,
    title_of,
)
from hwsim.cli.options import FormatOption, Output

if TYPE_CHECKING:
    from hwsim.output import Row
    from hwsim.workload import Layer, Workload


class Target(StrEnum):
    """Who reads the file."""

    csv = "csv"
    scalesim = "scalesim"
    zigzag = "zigzag"
    timeloop = "timeloop"


def workload(
    network: NetworkArgument,
    weights: WeightsOption = None,
    bits: BitsListOption = None,
    act_bits: ActBitsOption = None,
    exponents: ExponentsOption = None,
    first_last: FirstLastOption = None,
    to: Annotated[Target | None, typer.Option(help="Write the layers for hwsim (csv) or another simulator.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file, for timeloop the folder, that --to writes.")] = None,
    output: FormatOption = Output.table,
) -> None:
    """List a network's layers as loop nests, or write them for SCALE-Sim, ZigZag or Timeloop.

    Example: hwsim workload resnet18 --bits 4 --to scalesim --out resnet18.csv
    """
    from hwsim.output import write
    from hwsim.workloads.exporters import to_scalesim, to_zigzag

    chosen = designs(network, weights, bits, act_bits, exponents, first_last)
    if len(chosen) > 1:
        raise ValueError(f"one precision at a time, got {', '.join(chosen)}")
    (layers,) = chosen.values()
    if (to is None) != (out is None):
        raise ValueError("--to and --out belong together")
    if to is Target.csv and bits is not None:
        raise ValueError("a .csv of layers holds no formats: give --bits where it is read")
    if to is None or out is None:
        write([_row(layer) for layer in layers], output.value, title=f"Layers of {title_of(chosen)}")
    elif to is Target.csv:
        from hwsim.workloads import write_csv

        write_csv(layers, out)
    elif to is Target.timeloop:
        _write_timeloop(layers, out)
    else:
        _write(out, to_scalesim(layers) if to is Target.scalesim else to_zigzag(layers))


def _row(layer: "Layer") -> "Row":
    sizes = {name: getattr(layer, name) for name in ("N", "K", "C", "OY", "OX", "FY", "FX", "groups")}
    operands = {"weight_bits": layer.weight_bits, "act_bits": layer.activation_bits} if layer.macs else {}
    return {
        "layer": layer.key,
        "kind": layer.kind,
        **sizes,
        "macs": layer.macs,
        "parameters": layer.parameters,
        **operands,
    }


def _write_timeloop(layers: "Workload", folder: Path) -> None:
    from hwsim.workloads.exporters import to_timeloop

    for layer in layers.mac_layers:
        _write(folder / f"{layer.key}.yaml", to_timeloop(layer))


def _write(path: Path, text: str) -> None:
    from hwsim.files import atomic_write

    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

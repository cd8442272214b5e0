"""`hwsim figure`: one figure of what networks cost, or of a study, as a file."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli.completion import from_registry
from hwsim.cli.designs import (
    ActBitsOption,
    BitsListOption,
    ExponentsOption,
    FirstLastOption,
    WeightsOption,
    complete_network,
    designs,
)
from hwsim.cli.network_figure import BlocksOption, DataDirOption, ImagesOption, LayerOption
from hwsim.cli.options import parse_bits
from hwsim.cli.verbosity import note

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from hwsim.cost import Design
    from hwsim.workload import Workload
    from reports.figures import CostFigureKind

complete_figure = from_registry(
    "reports/figures/__init__.py",
    "COST_FIGURES",
    "FIGURES",
    "HARDWARE_FIGURES",
    "TRAINING_FIGURES",
    "NETWORK_FIGURES",
    "SIMULATION_FIGURES",
)
SourcesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Networks of the literature (resnet18, mobilenetv2, ...), trained .safetensors networks, or lists of "
        "layers in .csv or .onnx. For a figure of a study the folder of its runs, of trained networks a folder each.",
        metavar="NETWORK...",
        autocompletion=complete_network,
    ),
]
QuantityOption = Annotated[
    str | None, typer.Option(help="Of layer-costs: operations (default), energy, arithmetic, bops, storage.")
]
ArrayOption = Annotated[
    str | None, typer.Option(help="Of roofline and energy: rows x columns; several separated by commas.")
]
DataflowOption = Annotated[str | None, typer.Option(help="Of roofline and energy: os, ws, is; several by commas.")]
StyleOption = Annotated[
    str | None, typer.Option(help="Of roofline and energy: native, fixed8, stripes, bitfusion, bitsystolic.")
]
PRECISION = ("weights", "bits", "act_bits", "exponents", "first_last")
HARDWARE = {"array": "32x32", "dataflow": "os", "style": "native"}  #: What is taken where only another is given.

Options = Mapping[str, Any]


def figure(
    name: Annotated[
        str, typer.Argument(help="One of the figures named above.", metavar="NAME", autocompletion=complete_figure)
    ],
    out: Annotated[Path, typer.Option(help="The picture: a .pdf, .png or .svg file.", metavar="FILE")],
    networks: SourcesArgument = None,
    data: Annotated[Path | None, typer.Option(help="A .csv file for the numbers shown.", metavar="FILE")] = None,
    weights: WeightsOption = None,
    bits: BitsListOption = None,
    act_bits: ActBitsOption = None,
    exponents: ExponentsOption = None,
    first_last: FirstLastOption = None,
    quantity: QuantityOption = None,
    array: ArrayOption = None,
    dataflow: DataflowOption = None,
    style: StyleOption = None,
    layer: LayerOption = None,
    blocks: BlocksOption = None,
    images: ImagesOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draw one figure of what networks cost, or of a study.

    Of costs, without training anything: layer-costs (a bar per layer, stacked by part), overhead (of ASQ's adapters, in
    several networks), roofline, storage, conventions (of counting bit operations).

    Of a study, from the folder of its runs: accuracy-bops, accuracy-storage, accuracy-energy, accuracy-area,
    accuracy-cycles. With or without one: levels (of formats), table-error, gates (of multipliers, as synthesised).

    Of a training, from the folder of a run or of several seeds: bwrf-accuracy and feature-similarity with --bwrf,
    qil-intervals with --weights qil or --activations qil.

    Of trained networks beside their float start, on test images, from the folders of runs: distributions (of a layer's
    weights and activations), block-errors, layer-errors, activation-maps (of classes).

    Of integer networks, simulated on test images, from the folders of runs: accuracy-accumulator (width, wrapping and
    saturating), accuracy-table (fraction bits of POST's product table).

    Example: hwsim figure roofline resnet18 --bits 8,4 --array 32x32 --out roofline.pdf
    """
    from reports.figures.style import picture_kind, save
    from reports.report import write_numbers

    picture_kind(out)
    if data and data.suffix != ".csv":
        raise ValueError(f"the numbers of a figure are saved as .csv, got {data.name!r}")
    precision = dict(zip(PRECISION, (weights, bits, act_bits, exponents, first_last), strict=True))
    hardware = dict(zip(HARDWARE, (array, dataflow, style), strict=True))
    network = {"layer": layer, "blocks": blocks, "images": images, "data_dir": data_dir}
    given = _given({**precision, **hardware, **network, "quantity": quantity})
    drawing, numbers = _drawing(name, bool(networks))(name, networks or [], given)
    written = [save(drawing, out), *([write_numbers(numbers, data)] if data else [])]
    for path in written:
        note(path)


def _given(options: Options) -> Options:
    """Return the options that are not left out."""
    return {option: value for option, value in options.items() if value is not None}


def _drawing(name: str, has_sources: bool) -> "Callable[[str, Sequence[str], Options], tuple[Figure, pd.DataFrame]]":
    """Return what draws the figures of its kind.

    Raises:
        ValueError: they need networks or runs, and none are given.
    """
    from reports.figures import COST_FIGURES, NETWORK_FIGURES, SIMULATION_FIGURES

    kinds = {_cost_figure: COST_FIGURES, _network_figure: NETWORK_FIGURES, _simulation_figure: SIMULATION_FIGURES}
    draw = next((draw for draw, figures in kinds.items() if name in figures), _study_figure)
    if not has_sources and draw is not _study_figure:
        raise ValueError(f"the figure {name} takes networks or folders of runs, got none")
    return draw


def _network_figure(name: str, sources: Sequence[str], given: Options) -> "tuple[Figure, pd.DataFrame]":
    from hwsim.cli.network_figure import COMMON, measure
    from reports.figures import NETWORK_FIGURES
    from reports.report import draw_numbers

    kind = NETWORK_FIGURES[name]
    _check_options(name, given, (*kind.options, *COMMON))
    numbers = kind.data(measure(name, sources, given))
    return draw_numbers(kind.draw, numbers), numbers


def _simulation_figure(name: str, sources: Sequence[str], given: Options) -> "tuple[Figure, pd.DataFrame]":
    from hwsim.cli.network_figure import COMMON, tested_networks
    from reports.figures import SIMULATION_FIGURES
    from reports.report import draw_numbers

    kind = SIMULATION_FIGURES[name]
    _check_options(name, given, COMMON)
    numbers = kind.data(tested_networks(sources, given))
    return draw_numbers(kind.draw, numbers), numbers


def _cost_figure(name: str, sources: Sequence[str], given: Options) -> "tuple[Figure, pd.DataFrame]":
    from reports.figures import COST_FIGURES
    from reports.report import draw_numbers

    kind = COST_FIGURES[name]
    precision = ("bits",) if "bits" in kind.options else PRECISION
    hardware = tuple(HARDWARE) if "hardware" in kind.options else ()
    _check_options(name, given, (*precision, *hardware, *kind.options))
    options = {option: given[option] for option in kind.options if option in given}
    if any(option in given for option in HARDWARE):
        options["hardware"] = _hardware(given)
    if "bits" in options:
        options["bits"] = parse_bits(given["bits"])
    numbers = kind.data(_workloads(kind, sources, given), **options)
    return draw_numbers(kind.draw, numbers), numbers


def _study_figure(name: str, sources: Sequence[str], given: Options) -> "tuple[Figure, pd.DataFrame]":
    from hwsim.errors import unknown_name
    from reports.figures import (
        COST_FIGURES,
        FIGURES,
        HARDWARE_FIGURES,
        NETWORK_FIGURES,
        SIMULATION_FIGURES,
        TRAINING_FIGURES,
    )
    from reports.records import load_study
    from reports.report import draw_figure, draw_numbers

    figures = {**FIGURES, **HARDWARE_FIGURES, **TRAINING_FIGURES}
    if name not in figures:
        raise unknown_name("figure", name, (*COST_FIGURES, *figures, *NETWORK_FIGURES, *SIMULATION_FIGURES))
    _check_options(name, given, ())
    kind = figures[name]
    if not sources and kind.alone is not None:
        numbers = kind.alone()
        return draw_numbers(kind.draw, numbers), numbers
    if len(sources) != 1:
        raise ValueError(f"the figure {name} takes one folder of runs, got {len(sources)}")
    return draw_figure(kind, load_study(sources[0]))


def _check_options(name: str, given: Options, taken: Sequence[str]) -> None:
    for option in given:
        if option not in taken:
            raise ValueError(f"the figure {name} does not take --{option.replace('_', '-')}")


def _hardware(given: Options) -> "list[Design]":
    from hwsim.cost import Design
    from hwsim.cost.design import parse_array

    chosen = [str(given.get(option, default)).split(",") for option, default in HARDWARE.items()]
    return [Design(*parse_array(size), flow, kind) for size, flow, kind in product(*chosen)]


def _workloads(kind: "CostFigureKind", sources: Sequence[str], given: Options) -> "dict[str, Workload]":
    """Return what is drawn by name: the networks where the figure goes through the widths itself, else designs."""
    from hwsim.workloads import load_workload

    precision = {option: given.get(option) for option in PRECISION}
    workloads: dict[str, Workload] = {}
    for source in sources:
        workload = load_workload(source)
        found = {workload.name: workload}
        if "bits" not in kind.options:
            found = _designs(source, workload, kind, precision)
        for name, design in found.items():
            label = name if len(sources) == 1 or name == workload.name else f"{workload.name} {name}"
            if label in workloads:
                raise ValueError(f"two designs of the figure are called {label}")
            workloads[label] = design
    return workloads


def _designs(source: str, workload: "Workload", kind: "CostFigureKind", precision: Options) -> "dict[str, Workload]":
    has_formats = any(layer.multiplier for layer in workload.mac_layers)
    if precision["bits"] is None and kind.bits and (precision["weights"] or not has_formats):
        precision = {**precision, "bits": ",".join(map(str, kind.bits))}
    return designs(source, **precision)

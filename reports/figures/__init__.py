"""Figures of a study and of costs: one per file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from reports.figures import (
    accuracy_accumulator,
    accuracy_cost,
    accuracy_table,
    activation_maps,
    block_errors,
    bwrf_accuracy,
    conventions,
    distributions,
    feature_similarity,
    gate_counts,
    layer_costs,
    layer_errors,
    levels,
    overhead,
    qil_intervals,
    roofline,
    storage,
    table_error,
)
from reports.measured import Measured
from reports.records import Study
from reports.tested import TrainedNetwork

__all__ = [
    "COST_FIGURES",
    "FIGURES",
    "HARDWARE_FIGURES",
    "NETWORK_FIGURES",
    "SIMULATION_FIGURES",
    "TRAINING_FIGURES",
    "CostFigureKind",
    "FigureKind",
    "NetworkFigureKind",
    "SimulationFigureKind",
]


@dataclass(frozen=True)
class FigureKind:
    """A figure that a report can hold.

    Attributes:
        caption: what it shows, in a sentence: alternative text for who cannot see it.
        data: the study's numbers that it shows; they are written beside it.
        draw: the figure of such numbers.
        alone: the numbers without a study, of a figure that shows nothing of one.
    """

    caption: str
    data: Callable[[Study], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure]
    alone: Callable[[], pd.DataFrame] | None = None


def _accuracy_against(axis: str, cost: str) -> FigureKind:
    caption = f"Integer accuracy against {cost}, a point per design, with the Pareto front."
    data = accuracy_cost.data_with_networks if axis in accuracy_cost.ON_NETWORK else accuracy_cost.data
    return FigureKind(caption, data, partial(accuracy_cost.draw, axis=axis))


FIGURES: Mapping[str, FigureKind] = {
    "accuracy-bops": _accuracy_against("bops", "bit operations"),
    "accuracy-storage": _accuracy_against("storage", "weight storage"),
    "levels": FigureKind(
        "The levels of uniform, POT and POST codes at 4 bits, and the region near zero enlarged.",
        lambda _study: levels.data(),
        levels.draw,
        alone=levels.data,
    ),
    "table-error": FigureKind(
        "Relative product error of the POST table against its fraction bits, at 3 and 4 bits.",
        lambda _study: table_error.data(),
        table_error.draw,
        alone=table_error.data,
    ),
    "gates": FigureKind(
        "Synthesised gates of multipliers and of processing elements against the bit width, a line per circuit.",
        lambda _study: gate_counts.data(),
        gate_counts.draw,
        alone=gate_counts.data,
    ),
}


#: Figures of a study whose runs left their networks; a report holds them then.
HARDWARE_FIGURES: Mapping[str, FigureKind] = {
    "accuracy-energy": _accuracy_against("energy", "the energy of an image on an array"),
    "accuracy-area": _accuracy_against("area", "the area of a processing element"),
    "accuracy-cycles": _accuracy_against("cycles", "the cycles of an image on an array"),
}


#: Figures of trainings with BWRF or QIL, of one design; a report of any study cannot hold them.
TRAINING_FIGURES: Mapping[str, FigureKind] = {
    "bwrf-accuracy": FigureKind(
        "Accuracy of mixed-precision networks beside the low-precision one, a line per network over the epochs.",
        bwrf_accuracy.data,
        bwrf_accuracy.draw,
    ),
    "feature-similarity": FigureKind(
        "Cosine between the features of a low-precision and a float network, a line per stage over the epochs.",
        feature_similarity.data,
        feature_similarity.draw,
    ),
    "qil-intervals": FigureKind(
        "Centre and half-width of QIL's intervals relative to their start, a line per layer over the epochs.",
        qil_intervals.data,
        qil_intervals.draw,
    ),
}


@dataclass(frozen=True)
class CostFigureKind:
    """A figure of what networks cost; it needs no training.

    Attributes:
        caption: what it shows, in a sentence.
        data: the numbers that it shows, of workloads by name and of keyword options.
        draw: the figure of such numbers.
        options: the keyword options of `data`: quantity (a name), hardware (arrays), bits (widths that the figure goes
            through by itself; the workloads are networks, not designs).
        bits: the widths of the designs that show what it is about, where a network has no formats of its own.
    """

    caption: str
    data: Callable[..., pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure]
    options: tuple[str, ...] = ()
    bits: tuple[int, ...] = ()


COST_FIGURES: Mapping[str, CostFigureKind] = {
    "layer-costs": CostFigureKind(
        "One cost of a network, a bar per layer stacked by part, a panel per design.",
        layer_costs.data,
        layer_costs.draw,
        options=("quantity", "hardware"),
    ),
    "overhead": CostFigureKind(
        "What ASQ's adapters add to networks against the bit width, as the paper counts and as they run.",
        overhead.data,
        overhead.draw,
        options=("bits",),
    ),
    "roofline": CostFigureKind(
        "Throughput of the layers on an array against their arithmetic intensity, below the roofs of memory and array.",
        roofline.data,
        roofline.draw,
        options=("hardware",),
    ),
    "storage": CostFigureKind(
        "Bits that designs store: codes, batch norm, scales, biases, tables, padding, and activations.",
        storage.data,
        storage.draw,
    ),
    "conventions": CostFigureKind(
        "Bit operations of a network at several widths, as the conventions of the literature count them.",
        conventions.data,
        conventions.draw,
        bits=(8, 4, 3, 2),
    ),
}


@dataclass(frozen=True)
class NetworkFigureKind:
    """A figure of what trained networks compute; what it shows is measured by `trainers.measurements` of its name.

    Attributes:
        caption: what it shows, in a sentence.
        data: the numbers that it shows, of what was measured.
        draw: the figure of such numbers.
        options: the keyword options of the measurement.
    """

    caption: str
    data: Callable[[Measured], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure]
    options: tuple[str, ...] = ()


NETWORK_FIGURES: Mapping[str, NetworkFigureKind] = {
    "distributions": NetworkFigureKind(
        "Weights and activations of a layer before and after quantization, and what ASQ multiplies its step by.",
        distributions.data,
        distributions.draw,
        options=("layer",),
    ),
    "block-errors": NetworkFigureKind(
        "Error of the features of quantized networks against their float start, of each block alone and accumulated.",
        block_errors.data,
        block_errors.draw,
        options=("blocks",),
    ),
    "layer-errors": NetworkFigureKind(
        "Quantization error of the activations that enter each layer, with its spread over images.",
        layer_errors.data,
        layer_errors.draw,
    ),
    "activation-maps": NetworkFigureKind(
        "Where full-precision, mixed and low-precision networks see what speaks for the class of an image.",
        activation_maps.data,
        activation_maps.draw,
    ),
}


@dataclass(frozen=True)
class SimulationFigureKind:
    """A figure of how integer networks do on other hardware; its data are simulated.

    Attributes:
        caption: what it shows, in a sentence.
        data: the numbers that it shows, of networks with their test images.
        draw: the figure of such numbers.
    """

    caption: str
    data: Callable[[Sequence[TrainedNetwork]], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure]


SIMULATION_FIGURES: Mapping[str, SimulationFigureKind] = {
    "accuracy-accumulator": SimulationFigureKind(
        "Integer accuracy against the width of every accumulator, where it wraps and where it saturates.",
        accuracy_accumulator.data,
        accuracy_accumulator.draw,
    ),
    "accuracy-table": SimulationFigureKind(
        "Integer accuracy against the fraction bits of POST's product table, and its change, in both layouts.",
        accuracy_table.data,
        accuracy_table.draw,
    ),
}

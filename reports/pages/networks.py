"""What only the integer network beside a record knows: its codes, its multipliers, and its cost on an array."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.cost import accelerator
from hwsim.cost.gates import GateRow, find_gates
from hwsim.cost.technology import MissingConstantError
from hwsim.formats import FORMATS, Format
from hwsim.multipliers import Multiplier
from hwsim.network_file import load_network
from hwsim.nodes import Matmul
from hwsim.workload import Workload

NETWORK_NAME = "network.safetensors"


@dataclass(frozen=True)
class CodeHistogram:
    """How often a layer uses each of its format's levels.

    Attributes:
        layer: its name.
        format: what the codes mean.
        levels: the format's levels, rising.
        counts: weights at each level.
    """

    layer: str
    format: str
    levels: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class NetworkFacts:
    """What a design's page tells of its network.

    Attributes:
        histograms: one per layer with weights, in the network's order.
        multipliers: the circuits, by the names of the layers that use them.
        costs: energy in pJ and cycles of one image on the default array, area in um2 of its most used processing
            element; what no technology or table prices is missing.
        problem: why costs are missing; empty if they are not.
    """

    histograms: tuple[CodeHistogram, ...]
    multipliers: Mapping[tuple[str, ...], Multiplier]
    costs: Mapping[str, float]
    problem: str = ""


def network_facts(record: Path, config: Mapping[str, Any]) -> NetworkFacts | None:
    """Return what the network beside a record tells, None if there is none.

    Args:
        record: the record's file.
        config: the configuration of its run.

    Raises:
        ValueError: the network's file is damaged or of another design; it is named.
    """
    path = record.with_name(NETWORK_NAME)
    if not path.is_file():
        return None
    network = load_network(path)
    layers = [node for node in network.nodes if isinstance(node, Matmul)]
    _check_formats(path, layers, config)
    workload = Workload.from_network(network)
    costs, problem = _costs(workload)
    return NetworkFacts(tuple(map(_histogram, layers)), _multipliers(layers), costs | _area(workload), problem)


def format_words(fmt: Format) -> str:
    """Return a format in words, such as "4-bit post" or "8-bit uniform"."""
    return f"{fmt.bits}-bit {fmt.name}"


def _check_formats(path: Path, layers: list[Matmul], config: Mapping[str, Any]) -> None:
    """Refuse a network whose weights have other formats than its run's, where the method has its format's name.

    A layer has the format of the method at its bits, or is an outer one, uniform at the bits of those; of three layers
    one is not an outer one. Layers with settings of their own (`overrides`) are not checked.
    """
    if config["weights"] not in FORMATS or config.get("overrides"):
        return
    inner, outer = (config["weights"], config["bits"]), ("uniform", config.get("first_last_bits"))
    formats = {layer.name: layer.multiplier.weight for layer in layers}
    kinds = {name: (fmt.name, fmt.bits) for name, fmt in formats.items()}
    wrong = [name for name, kind in kinds.items() if kind not in (inner, outer)]
    if len(layers) > 2 and inner not in kinds.values():
        wrong.append(layers[1].name)
    if wrong:
        raise ValueError(
            f"{path} is not the network of the record beside it: layer {wrong[0]} has "
            f"{format_words(formats[wrong[0]])} weights, the run {inner[1]}-bit {inner[0]} ones"
        )


def _costs(workload: Workload) -> tuple[dict[str, float], str]:
    try:
        table = accelerator(workload)
    except ValueError as error:
        return {}, str(error)
    return {"energy": float(table.value("energy")), "cycles": float(table.value("total_cycles"))}, ""


def _area(workload: Workload) -> dict[str, float]:
    """Return the area in um2 of the processing element that computes most products, nothing if it is not known."""
    products: Counter[Multiplier] = Counter()
    for layer in workload.mac_layers:
        if layer.multiplier is not None:
            products[layer.multiplier] += layer.macs
    row = gates_of(products.most_common(1)[0][0], "pe") if products else None
    return {"area": row.measures["area"]} if row else {}


def gates_of(multiplier: Multiplier, unit: str) -> GateRow | None:
    """Return what synthesis measured of a multiplier or its processing element, None if the shipped table lacks it."""
    try:
        return find_gates(multiplier, unit)
    except MissingConstantError:
        return None


def _histogram(layer: Matmul) -> CodeHistogram:
    fmt = layer.multiplier.weight
    used = np.bincount(layer.weight.ravel(), minlength=1 << fmt.bits)
    codes = fmt.codes[np.argsort(fmt.levels[fmt.codes], kind="stable")]
    levels, counts = fmt.levels[codes].tolist(), used[codes].tolist()
    return CodeHistogram(layer.name, format_words(fmt), tuple(levels), tuple(counts))


def _multipliers(layers: list[Matmul]) -> dict[tuple[str, ...], Multiplier]:
    users: dict[str, list[Matmul]] = {}
    for layer in layers:
        users.setdefault(repr(layer.multiplier), []).append(layer)
    return {tuple(layer.name for layer in group): group[0].multiplier for group in users.values()}

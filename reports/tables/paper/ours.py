"""Our side of a published table: what was measured, with its runs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from reports.published.table import FLOAT_BITS
from reports.records import MAY_DIFFER
from reports.run_groups import RunGroup, distinct_names, settings
from reports.significance import Comparison, compare_pair, corrected
from reports.tables.paper.matching import LSQ, method_of

Column = tuple[str, int, int]  #: Quantity, weight bits, activation bits.

WIDTH_MAY_DIFFER = MAY_DIFFER | {"bits", "act_bits"}

FLOAT: Column = ("top1", FLOAT_BITS, FLOAT_BITS)


@dataclass(frozen=True)
class Measured:
    """One number of ours.

    Attributes:
        design: what was trained, or how it was computed.
        mean: in percent, over the seeds.
        deviation: sample standard deviation over the seeds; None: they show none, being one, alike, or started from
            one network.
        runs: the records by seed; empty: computed.
    """

    design: str
    mean: float
    deviation: float | None
    runs: Mapping[int, Path]


@dataclass(frozen=True)
class Ours:
    """One line of ours below a published row: runs that differ in their widths and seeds only.

    Attributes:
        label: what it is.
        epochs: how long its runs were trained; None: not told, or nothing was.
        numbers: by column of the table.
    """

    label: str
    epochs: int | None
    numbers: Mapping[Column, Measured]


def lines(groups: Iterable[RunGroup]) -> list[Ours]:
    """Return the lines that these designs make: one for each recipe, a number for each width and for float."""
    recipes: dict[str, list[RunGroup]] = {}
    for group in groups:
        recipes.setdefault(settings(group.config, WIDTH_MAY_DIFFER), []).append(group)
    firsts = [same[0] for same in recipes.values()]
    labels = distinct_names([_label(first) for first in firsts], [first.config for first in firsts], WIDTH_MAY_DIFFER)
    return [
        Ours(label, same[0].config.get("epochs"), _numbers(same))
        for label, same in zip(labels, recipes.values(), strict=True)
    ]


def starting(groups: Iterable[RunGroup]) -> list[Ours]:
    """Return a line for the float networks that these designs started from; several, if they started from different."""
    found: dict[tuple[tuple[int, float], ...], RunGroup] = {}
    for group in groups:
        found.setdefault(tuple(group.accuracy("float").items()), group)
    return [
        Ours("ours: where training started", None, {FLOAT: _measured(group, dict(values))})
        for values, group in found.items()
        if values
    ]


def _label(group: RunGroup) -> str:
    """Return the name of a design without its widths, with how long it was trained."""
    recipe, epochs = re.sub(r"-w\d+a\d+", "", group.design), group.config.get("epochs")
    duration = "" if epochs is None else f", {epochs} epoch{'' if epochs == 1 else 's'}"
    return f"ours: {recipe}{duration}"


def _numbers(groups: Sequence[RunGroup]) -> dict[Column, Measured]:
    found = {}
    for group in groups:
        for column, kind in ((column_of(group), "integer"), (FLOAT, "float")):
            values = group.accuracy(kind)
            if values:
                found[column] = _measured(group, values)
    return found


def column_of(group: RunGroup) -> Column:
    """Return the column that the accuracy of a quantized design belongs to."""
    return "top1", group.config["bits"], group.config["act_bits"]


def _measured(group: RunGroup, values: Mapping[int, float]) -> Measured:
    percent = [100 * value for value in values.values()]
    deviation = stdev(percent) if len(set(percent)) > 1 else None
    runs = {record["seed"]: path for path, record in group.runs.items() if record["seed"] in values}
    return Measured(group.name, fmean(percent), deviation, runs)


def comparisons(groups: Sequence[RunGroup]) -> list[Comparison]:
    """Return each design against what it is built on, corrected for their number.

    That is the same method without block-wise replacement, or else LSQ, of the same data, network, widths and recipe.
    """
    found = []
    for group in groups:
        method = method_of(group)
        base = method._replace(bwrf=False) if method.bwrf else LSQ
        peers = (other for other in groups if other is not group and method_of(other) == base)
        peer = next((other for other in peers if _setting(other) == _setting(group)), None)
        if peer is not None:
            found.append(compare_pair((group.name, group.final_accuracy), (peer.name, peer.final_accuracy)))
    return corrected(found)


def _setting(group: RunGroup) -> tuple[object, ...]:
    names = ("data", "model", "bits", "act_bits", "epochs", "lr", "batch_size")
    return tuple(group.config.get(name) for name in names)

"""One design as its page and the index show it: all its runs, and what its network tells."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from reports.designs import designs
from reports.pages.axes import AXES
from reports.pages.networks import NetworkFacts, network_facts
from reports.records import FLOAT_DESIGN, Record, Study, design_of
from reports.run_groups import RunGroup, accuracy_by_seed
from reports.significance import Comparison
from reports.tables.differences import against_float

GROUP = ("study", "data", "model")


@dataclass(frozen=True)
class PageDesign:
    """A design of a study.

    Attributes:
        row: its row of `reports.designs.designs`.
        runs: its records by file, by seed.
        facts: of the network of its first run that left one; None: none did.
        slug: its name as a file name, different from every other's.
    """

    row: Mapping[str, Any]
    runs: Mapping[Path, Record]
    facts: NetworkFacts | None
    slug: str

    @property
    def name(self) -> str:
        """Its name within its group."""
        return str(self.row["design"])

    @property
    def group(self) -> tuple[str, ...]:
        """Study, data and model: designs of one group can be compared."""
        return tuple(str(self.row[name]) for name in GROUP)

    @property
    def is_float(self) -> bool:
        """Whether it is the baseline that is not quantized."""
        return self.name == FLOAT_DESIGN

    def accuracy(self, kind: str) -> dict[int, float]:
        """Return one accuracy of its runs by seed, shares in 0..1; runs that did not measure it are left out."""
        return accuracy_by_seed(self.runs.values(), kind)

    @property
    def costs(self) -> dict[str, float]:
        """Its costs by the names of `AXES`; what is not known is left out."""
        counted = {"bops": self.row["bops"], "storage": self.row["weight_storage_bits"]}
        costs = counted | dict(self.facts.costs if self.facts else {})
        return {name: float(costs[name]) for name in AXES if not pd.isna(costs.get(name))}


@lru_cache(maxsize=1)
def page_designs(study: Study) -> list[PageDesign]:
    """Return the designs of a study, in the order of its table.

    Raises:
        ValueError: as `designs`, or a network is damaged or of another design.
    """
    runs: dict[tuple[str, ...], dict[Path, Record]] = {}
    for path, record in sorted(study.records.items(), key=lambda item: item[1]["seed"]):
        runs.setdefault(_key(record), {})[path] = record
    rows: list[dict[Any, Any]] = designs(study).to_dict("records")
    keys = [(*(str(row[name]) for name in GROUP), str(row["design"])) for row in rows]
    return [PageDesign(row, runs[key], _facts(runs[key]), slug)
            for row, key, slug in zip(rows, keys, slugs(keys), strict=True)]  # fmt: skip


def losses(designs: Iterable[PageDesign]) -> dict[str, Comparison]:
    """Return what integer arithmetic at each precision loses against the float network, by the design's slug.

    The float network of a run is the one that it started from, as its record tells, else the float design's of that
    seed. The comparisons of a group are corrected for their number.
    """
    groups: dict[tuple[str, ...], dict[str, PageDesign]] = {}
    for design in designs:
        groups.setdefault(design.group, {})[design.name] = design
    found = {}
    for members in groups.values():
        for comparison in against_float([RunGroup(name, design.runs) for name, design in members.items()]):
            found[members[comparison.design].slug] = comparison
    return found


def slugs(keys: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a file name for each design, safe on every file system and different in more than case."""
    keys = list(keys)
    several = [len({key[i] for key in keys}) > 1 for i in range(len(GROUP))]
    taken: set[str] = set()
    names = []
    for key in keys:
        parts = [part for part, needed in zip(key, [*several, True], strict=True) if needed]
        stem = re.sub(r"[^A-Za-z0-9_+-]+", "_", "-".join(parts))[:100]
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def _key(record: Record) -> tuple[str, ...]:
    config = record["config"]
    return record["study"], config["data"], config["model"], design_of(record)


def _facts(runs: Mapping[Path, Record]) -> NetworkFacts | None:
    found = (network_facts(path, record["config"]) for path, record in runs.items())
    return next((facts for facts in found if facts), None)

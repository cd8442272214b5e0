"""Run records grouped into designs by what they were configured as, wherever they lie."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.designs import ordered
from reports.records import FLOAT_DESIGN, MAY_DIFFER, Record, Study, design_of, read_record, record_files

NETWORK = ("study", "data", "model")  #: Designs that have these in common can be compared.


@dataclass(frozen=True)
class RunGroup:
    """The runs of one design: equal configurations but for what seeds may have different.

    Attributes:
        name: the design, with what tells it from another of that name in brackets.
        runs: its records by file, by rising seed.
    """

    name: str
    runs: Mapping[Path, Record]

    @property
    def first(self) -> Record:
        """The record of its first run."""
        return next(iter(self.runs.values()))

    @property
    def design(self) -> str:
        """The design's name as its runs have it."""
        return design_of(self.first)

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of its first run."""
        config: Mapping[str, Any] = self.first["config"]
        return config

    @property
    def test_data(self) -> tuple[str, str | None]:
        """Name and checksum of the data that its first run was tested on; None: not recorded."""
        return self.config["data"], self.first.get("data_sha256")

    def accuracy(self, kind: str) -> dict[int, float]:
        """Return one accuracy of its runs by seed, as `accuracy_by_seed`."""
        return accuracy_by_seed(self.runs.values(), kind)

    @property
    def final_accuracy(self) -> dict[int, float]:
        """Accuracy of what the design ends in, by seed: of its integer networks, of a float design its own."""
        return self.accuracy(FLOAT_DESIGN if self.design == FLOAT_DESIGN else "integer")


def accuracy_by_seed(records: Iterable[Record], kind: str) -> dict[int, float]:
    """Return one accuracy of runs by seed, shares in 0..1; runs that did not measure it are left out."""
    values = ((record["seed"], record["accuracy"].get(kind)) for record in records)
    return {seed: value for seed, value in values if value is not None}


def run_groups(paths: Sequence[Path]) -> list[RunGroup]:
    """Return the designs of these records, and of all records below these folders, in the order of the paths.

    A file that is reached twice is read once.

    Raises:
        FileNotFoundError: a path does not exist, or a folder holds no record.
        ValueError: a record is damaged, or two files hold the same seed of the same design.
    """
    groups: dict[str, dict[Path, Record]] = {}
    for file in _files(paths):
        record = read_record(file)
        groups.setdefault(design_of(record) + settings(record["config"]), {})[file] = record
    for runs in groups.values():
        _refuse_doubles(runs)
    in_order = [_by_seed(runs) for runs in groups.values()]
    firsts = [next(iter(runs.values())) for runs in in_order]
    names = distinct_names([design_of(first) for first in firsts], [first["config"] for first in firsts])
    return [RunGroup(name, runs) for name, runs in zip(names, in_order, strict=True)]


def study_groups(study: Study) -> list[list[RunGroup]]:
    """Return the designs of a study, those of one network on one data set together, in the order of its tables."""
    runs: dict[tuple[str, ...], dict[Path, Record]] = {}
    for row in ordered(study.runs).to_dict("records"):
        path = Path(row["path"])
        runs.setdefault(tuple(str(row[name]) for name in (*NETWORK, "design")), {})[path] = study.records[path]
    networks: dict[tuple[str, ...], list[RunGroup]] = {}
    for (*network, design), records in runs.items():
        networks.setdefault(tuple(network), []).append(RunGroup(design, _by_seed(records)))
    return list(networks.values())


def _files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for path in paths:
        for file in [path] if path.is_file() else record_files([path]):
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _by_seed(runs: Mapping[Path, Record]) -> dict[Path, Record]:
    return dict(sorted(runs.items(), key=lambda item: item[1]["seed"]))


def settings(config: Mapping[str, Any], ignored: Collection[str] = MAY_DIFFER) -> str:
    """Return a configuration as text that is equal where all but the ignored fields are."""
    return json.dumps({name: value for name, value in config.items() if name not in ignored}, sort_keys=True)


def _refuse_doubles(runs: Mapping[Path, Record]) -> None:
    seen: dict[int, Path] = {}
    for file, record in runs.items():
        first = seen.setdefault(record["seed"], file)
        if first != file:
            raise ValueError(f"{file} and {first} both hold seed {record['seed']} of {design_of(record)}")


def distinct_names(
    names: Sequence[str], configs: Sequence[Mapping[str, Any]], ignored: Collection[str] = MAY_DIFFER
) -> list[str]:
    """Return the names, those that are equal followed by the settings that tell one from another, in brackets."""
    found = []
    for name, config in zip(names, configs, strict=True):
        alike = [other for other, same in zip(configs, names, strict=True) if same == name]
        telling = sorted({field for other in alike for field in _differing(config, other) if field not in ignored})
        values = ", ".join(f"{field} {config.get(field)}" for field in telling)
        found.append(f"{name} ({values})" if values else name)
    return found


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> set[str]:
    return {field for field in {*ours, *theirs} if ours.get(field) != theirs.get(field)}

"""Run records grouped into designs by what they were configured as, wherever they lie."""

import json
from collections.abc import Iterable, Mapping, Sequence
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
    def config(self) -> Mapping[str, Any]:
        """The configuration of its first run."""
        config: Mapping[str, Any] = next(iter(self.runs.values()))["config"]
        return config

    @property
    def test_data(self) -> tuple[str, str | None]:
        """Name and checksum of the data that its first run was tested on; None: not recorded."""
        return self.config["data"], next(iter(self.runs.values())).get("data_sha256")

    def accuracy(self, kind: str) -> dict[int, float]:
        """Return one accuracy of its runs by seed, as `accuracy_by_seed`."""
        return accuracy_by_seed(self.runs.values(), kind)

    @property
    def final_accuracy(self) -> dict[int, float]:
        """Accuracy of what the design ends in, by seed: of its integer networks, of a float design its own."""
        return self.accuracy(FLOAT_DESIGN if design_of(next(iter(self.runs.values()))) == FLOAT_DESIGN else "integer")


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
        groups.setdefault(_settings(record), {})[file] = record
    for runs in groups.values():
        _refuse_doubles(runs)
    ordered = [dict(sorted(runs.items(), key=lambda item: item[1]["seed"])) for runs in groups.values()]
    return [RunGroup(name, runs) for name, runs in zip(_names(ordered), ordered, strict=True)]


def study_groups(study: Study) -> list[list[RunGroup]]:
    """Return the designs of a study, those of one network on one data set together, in the order of its tables."""
    runs: dict[tuple[str, ...], dict[Path, Record]] = {}
    for row in ordered(study.runs).to_dict("records"):
        path = Path(row["path"])
        runs.setdefault(tuple(str(row[name]) for name in (*NETWORK, "design")), {})[path] = study.records[path]
    networks: dict[tuple[str, ...], list[RunGroup]] = {}
    for (*network, design), records in runs.items():
        in_order = dict(sorted(records.items(), key=lambda item: item[1]["seed"]))
        networks.setdefault(tuple(network), []).append(RunGroup(design, in_order))
    return list(networks.values())


def _files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for path in paths:
        for file in [path] if path.is_file() else record_files([path]):
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _settings(record: Record) -> str:
    """Return what a design is, as text that is equal for equal designs."""
    settings = {name: value for name, value in record["config"].items() if name not in MAY_DIFFER}
    return json.dumps([design_of(record), settings], sort_keys=True)


def _refuse_doubles(runs: Mapping[Path, Record]) -> None:
    seen: dict[int, Path] = {}
    for file, record in runs.items():
        first = seen.setdefault(record["seed"], file)
        if first != file:
            raise ValueError(f"{file} and {first} both hold seed {record['seed']} of {design_of(record)}")


def _names(groups: Sequence[Mapping[Path, Record]]) -> list[str]:
    """Return a different name for each group: the design, and in brackets the settings that tell it from another."""
    firsts = [next(iter(runs.values())) for runs in groups]
    designs = [design_of(record) for record in firsts]
    names = []
    for design, record in zip(designs, firsts, strict=True):
        alike = [other["config"] for other, name in zip(firsts, designs, strict=True) if name == design]
        telling = sorted({name for config in alike for name in _differing(record["config"], config)})
        settings = ", ".join(f"{name} {record['config'].get(name)}" for name in telling)
        names.append(f"{design} ({settings})" if settings else design)
    return names


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> set[str]:
    return {name for name in {*ours, *theirs} - MAY_DIFFER if ours.get(name) != theirs.get(name)}

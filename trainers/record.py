"""The record of a run: what a report needs to know, in one JSON file."""

import platform
import shlex
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import nn

from hwsim.files import write_json
from trainers import processes
from trainers.config import TrainConfig
from trainers.data import Data, ImageFolder
from trainers.run_folder import CHECKPOINT, RECORD, locked

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A trained network, with what is needed to export it and to write its record."""

    config: TrainConfig
    run_dir: Path
    model: nn.Module = field(repr=False)
    dataset: Data
    record: dict[str, Any] = field(repr=False)
    is_finished: bool  #: Whether the record is on disk; if not, `finish` writes it.


def make_record(
    config: TrainConfig, dataset: Data, correct: dict[str, int], curves: list[dict[str, float]], seconds: float
) -> dict[str, Any]:
    """Return the record of a trained network; `correct` counts right answers on the test images, by kind of network.

    Time, command line and wall-clock seconds stand under `volatile`; all else is the same whenever the run is repeated.
    """
    images = len(dataset.test_labels)
    return {
        "schema": SCHEMA,
        "run_id": config.run_id,
        "study": config.study,
        "config": config.to_dict(),
        "seed": config.seed,
        "processes": processes.count(),
        "versions": versions(),
        "data_sha256": dataset.sha256,
        **skipped(dataset),
        "curves": curves,
        "accuracy": {kind: count / images for kind, count in correct.items()},
        "counts": {"test_images": images, **{f"{kind}_correct": count for kind, count in correct.items()}},
        "volatile": {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(sys.argv),
            "wall_s": seconds,
        },
    }


def skipped(dataset: Data) -> dict[str, Any]:
    """Return the entry for a folder's images that did not decode: how many, and their names; nothing if all did."""
    broken = dataset.broken_names if isinstance(dataset, ImageFolder) else []
    return {"skipped_images": {"count": len(broken), "names": broken}} if broken else {}


def finish(run: TrainedRun, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Add `extra` to the run's record, write it, and return it: from now on the run is finished.

    A dictionary in `extra` (accuracy, counts, ...) is merged into the record's entry of that name; anything else
    replaces it.

    Raises:
        ValueError: another process holds the run's folder.
    """
    record = dict(run.record)
    for name, value in (extra or {}).items():
        both = isinstance(value, dict) and isinstance(record.get(name), dict)
        record[name] = {**record[name], **value} if both else value
    with locked(run.run_dir):
        write_record(run.run_dir / RECORD, record)
        (run.run_dir / CHECKPOINT).unlink(missing_ok=True)
    return record


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record, keys sorted, at once or not at all.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    write_json(path, record)


def versions() -> dict[str, str]:
    """Return the versions that decide a result; of a package that runs from its source tree, "not installed"."""
    return {"python": platform.python_version(), **{name: installed(name) for name in ("torch", "numpy", "hwsim")}}


def installed(package: str) -> str:
    """Return the version of a package, "not installed" if it only lies on the path."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

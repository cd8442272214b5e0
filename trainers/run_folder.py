"""The folder of a run: one process at a time, one configuration for ever."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, fields
from pathlib import Path
from typing import IO, Any

from hwsim.files import make_folder, read_json, write_json
from trainers import processes
from trainers.config import TrainConfig

CONFIG = "config.json"
CHECKPOINT = "checkpoint.safetensors"
RECORD = "record.json"
FLOAT_WEIGHTS = "float.safetensors"
QUANTIZED_WEIGHTS = "model.safetensors"
AVERAGE_WEIGHTS = "average.safetensors"
TENSORBOARD = "tensorboard"
LOCK = ".lock"
PROCESSES = "processes"

#: Fields that do not decide the result: how often to save, who is told, and where files lie that are compared by hash.
NEUTRAL = ("checkpoint_seconds", "tensorboard", "data_dir", "calibration_dir", "init")

_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())  #: Folders that this thread holds.


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the folder, created if missing, for this thread; the operating system frees it however the process ends.

    Inside such a block the folder can be taken again. Of processes that train together the first holds it for all. A
    folder that is still empty when the block fails is removed.

    Raises:
        ValueError: another process or thread holds it.
        OSError: it cannot be created or written.
    """
    path = run_dir.absolute()
    if path in _held.get() or not processes.is_first():
        yield
        return
    make_folder(run_dir)
    with (run_dir / LOCK).open("w") as file:
        _take(file, run_dir)
        if not os.fstat(file.fileno()).st_nlink:
            raise ValueError(f"{run_dir} was removed by a run that failed as this one began; start again")
        token = _held.set(_held.get() | {path})
        try:
            yield
        except BaseException:
            if [path.name for path in run_dir.iterdir()] == [LOCK]:
                shutil.rmtree(run_dir)
            raise
        finally:
            _held.reset(token)


def _take(file: IO[str], run_dir: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(f"{run_dir} is in use by another run; one folder takes one run at a time") from error


def claim(run_dir: Path, config: TrainConfig, hashes: dict[str, str | None]) -> bool:
    """Write the run's configuration into the folder, or check that it is that of the run already there.

    A field that the folder does not name is younger than its run: the field's default is what was done before. A run
    that left neither a checkpoint nor a record has nothing to lose. `hashes` names the content of data and
    initial weights. How many processes train together is part of an unfinished run, since it decides the order of
    sums; a finished one serves any number.

    Returns whether the run is finished.

    Raises:
        ValueError: the folder belongs to another configuration; the message names the first field that differs.
    """
    wanted = json.loads(json.dumps({**config.to_dict(), **hashes, PROCESSES: processes.count()}))
    if not _is_of(run_dir, wanted):
        write_json(run_dir / CONFIG, wanted)
    return (run_dir / RECORD).exists()


def state_of(run_dir: Path, config: TrainConfig, hashes: Mapping[str, str | None]) -> str:
    """Return what a run finds in its folder, which stays as it is: "finished", "unfinished", or nothing, "new".

    hashes: as for `claim`; those that cannot be known yet are left out, and not compared.

    Raises:
        ValueError: the folder belongs to another configuration, or another process holds it.
    """
    if (run_dir / LOCK).exists():
        with (run_dir / LOCK).open() as file:
            _take(file, run_dir)
    known = read_json(run_dir / CONFIG) if (run_dir / CONFIG).exists() else {}
    given = {**config.to_dict(), **known_hashes(known), **hashes, PROCESSES: processes.count()}
    _is_of(run_dir, json.loads(json.dumps(given)))
    found = [state for name, state in ((RECORD, "finished"), (CHECKPOINT, "unfinished")) if (run_dir / name).exists()]
    return found[0] if found else "new"


def known_hashes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hashes in a folder's configuration."""
    return {name: value for name, value in config.items() if name.endswith("_sha256")}


def _is_of(run_dir: Path, wanted: Mapping[str, Any]) -> bool:
    """Return whether the folder holds a run that has something to lose, after checking that it is the wanted one."""
    path, is_finished = run_dir / CONFIG, (run_dir / RECORD).exists()
    if not (path.exists() and (is_finished or (run_dir / CHECKPOINT).exists())):
        return False
    there = {PROCESSES: 1, **read_json(path)}  # folders of older runs do not say it
    _compare(run_dir, {**there, PROCESSES: wanted[PROCESSES]} if is_finished else there, wanted)
    return True


def find_init(init: str, run_dir: Path, name: str = FLOAT_WEIGHTS) -> Path:
    """Return the weights file that `init` means: a file, a run folder, or the name of a run beside this one.

    `name` is that of the file in a run's folder: of float weights, or of a quantized network.

    Raises:
        FileNotFoundError: it is none of these.
    """
    candidates = list(dict.fromkeys([Path(init), Path(init) / name, run_dir.parent / init / name]))
    for path in candidates:
        if path.is_file():
            return path
    kind = "float weights" if name == FLOAT_WEIGHTS else "quantized network"
    raise FileNotFoundError(
        f"no {kind} at {init!r}: looked for the files {', '.join(str(path) for path in candidates)}"
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare(run_dir: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    there = {**defaults(), **there}
    unknown = ", ".join(sorted({*there} - {*wanted}))
    for name in sorted({*wanted} - set(NEUTRAL)):
        old, new = there.get(name), wanted[name]
        if old != new:
            raise ValueError(
                f"{run_dir} holds a run with {name}={old!r}, this one has {new!r}; "
                "use another folder, or remove this one to start over"
            )
    if unknown:
        raise ValueError(f"{run_dir} holds a run of another version of hwsim, which has {unknown}; use another folder")


def defaults() -> dict[str, Any]:
    """Return the default of each field of a configuration, as JSON values."""
    plain = {field.name: field.default for field in fields(TrainConfig) if field.default is not MISSING}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

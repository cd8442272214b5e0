"""Training when things go wrong: a full disk, another run's files, a second process in the folder."""

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from hwsim.files import read_json
from trainers import loop, study
from trainers.config import TrainConfig
from trainers.data import Data
from trainers.evaluate import evaluation_batches
from trainers.promises import ExportCheck
from trainers.record import finish
from trainers.run_folder import CHECKPOINT, LOCK, RECORD, locked

SHORT = TrainConfig(study="test", epochs=3, batch_size=256)
QUANTIZED = replace(SHORT, weights="uniform", epochs=1)


class After:
    """Calls a function after the first epoch."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def step(self, done: float, is_saved: bool) -> None:
        """Do nothing."""

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Act after the first epoch."""
        if epoch == 1:
            self.act()


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on when and how often a run was started."""
    return {name: value for name, value in record.items() if name != "volatile"}


def trains_to_the_end_after_a_full_disk(folder: Path, fill: Callable[[], None], free: Callable[[], None]) -> None:
    """Let the disk be full after one epoch, then free again, and compare with an undisturbed run."""
    kept: list[bytes] = []

    def act() -> None:
        kept.append((folder / CHECKPOINT).read_bytes())
        fill()

    message = (
        r"checkpoint\.safetensors cannot be written, what it held before is kept; .*start again: .*(full|No space)"
    )
    with pytest.raises(OSError, match=message):
        loop.train(SHORT, folder, After(act))
    assert (folder / CHECKPOINT).read_bytes() == kept[0]
    assert {path.name for path in folder.iterdir()} == {LOCK, CHECKPOINT, "config.json"}
    free()
    record = finish(loop.train(SHORT, folder))
    assert lasting(record) == lasting(finish(loop.train(SHORT, folder.parent / "undisturbed")))


def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    """On a file system of 64 kB, where the administrator may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or not mount:
        pytest.skip("only the administrator can mount a small file system")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    filler = disk / "filler"

    def fill() -> None:
        space = os.statvfs(disk)
        filler.write_bytes(bytes(space.f_bavail * space.f_frsize))

    try:
        trains_to_the_end_after_a_full_disk(disk / "run", fill, filler.unlink)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def disk_is_full(handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_error_of_the_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trains_to_the_end_after_a_full_disk(
        tmp_path / "run", lambda: monkeypatch.setattr(os, "fsync", disk_is_full), monkeypatch.undo
    )


def test_full_disk_names_the_record_and_the_next_start_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = loop.train(SHORT, tmp_path)
    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(OSError, match=r"record\.json cannot be written, .* start again: .*No space left"):
        finish(run)
    monkeypatch.undo()
    record = study.run_design(SHORT, tmp_path)
    assert record["counts"] == run.record["counts"]


def test_a_run_that_cannot_write_anything_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(OSError, match=r"run/config\.json cannot be written"):
        loop.train(SHORT, tmp_path / "run")
    assert not any(tmp_path.iterdir())


def test_a_lock_on_a_removed_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir, flock = tmp_path / "run", fcntl.flock

    def late(file: Any, operation: int) -> None:
        shutil.rmtree(run_dir)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(ValueError, match="was removed by a run that failed as this one began"), locked(run_dir):
        pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a float and a quantized run without a record yet."""
    out = tmp_path_factory.mktemp("trained")
    for name, config in (("float", SHORT), ("quantized", QUANTIZED)):
        loop.train(config, out / name)
    return {name: out / name for name in ("float", "quantized")}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            f"quantized/{CHECKPOINT}",
            r"is of another network: model\.conv1\.activation_quantizer\.step has shape \(\) t",
        ),
        ("float/float.safetensors", r"checkpoint\.safetensors is no checkpoint: it has no hwsim\.checkpoint in its he"),
    ],
)
def test_file_of_another_kind_is_no_checkpoint(
    file: str, message: str, trained: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(trained["float"], tmp_path / "run")
    shutil.copy(trained["float"].parent / file, tmp_path / "run" / CHECKPOINT)
    with pytest.raises(ValueError, match=message):
        loop.train(SHORT, tmp_path / "run")


def test_folder_is_held_from_training_to_the_record(tmp_path: Path) -> None:
    seen: list[bool] = []

    def enter(check: ExportCheck) -> None:
        assert not (tmp_path / RECORD).exists()
        with (tmp_path / LOCK).open("w") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(check.laws_hold)

    record = study.run_design(QUANTIZED, tmp_path, on_check=enter)
    assert seen == [True]
    assert read_json(tmp_path / RECORD) == record


def test_integers_are_counted_over_all_test_images(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where broken test images are left out: the trained network's accuracy counts them, too."""
    shutil.copytree(trained["quantized"], tmp_path / "run")

    def some(dataset: Data, *, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        return islice(evaluation_batches(dataset, size=size), 1)

    monkeypatch.setattr(study, "evaluation_batches", some)
    record = study.complete(loop.train(QUANTIZED, tmp_path / "run"))
    counts, accuracy = record["counts"], record["accuracy"]
    assert accuracy["integer"] == counts["integer_correct"] / 451
    assert accuracy["agreement"] == counts["agree"] / 256


def test_export_is_checked_in_small_batches_of_large_images(
    trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = loop.train(QUANTIZED, trained["quantized"])
    network, sizes = study.export_run(run), []
    whole = study.check_run(run, network)

    def watched(dataset: Data, *, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        sizes.append(size)
        return evaluation_batches(dataset, size=size)

    monkeypatch.setattr(study, "evaluation_batches", watched)
    monkeypatch.setattr(study, "CHECK_PIXELS", 64 * 100)
    assert study.check_run(run, network) == whole
    assert sizes == [100]
    assert whole.images == 451

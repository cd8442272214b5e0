"""The training loop: resuming, reusing, refusing."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hwsim.files import read_json
from trainers import loop
from trainers.bwrf import BwrfConfig
from trainers.checkpoint import HEADER, State
from trainers.config import TrainConfig
from trainers.evaluate import evaluation_batches
from trainers.model_file import load_model, read_tensors, write_tensors
from trainers.record import TrainedRun, finish
from trainers.run_folder import LOCK, locked

SHORT = TrainConfig(study="test", epochs=3, batch_size=256)
QUANTIZED = replace(SHORT, weights="post", bits=3, init=SHORT.run_id)
REPLACED = replace(QUANTIZED, bwrf=BwrfConfig())
#: What an interrupted run must survive: each kind of run, and each option of the loop.
OPTIONS: dict[str, TrainConfig] = {
    "float": SHORT,
    "quantized": QUANTIZED,
    "bwrf": REPLACED,
    "schedule": replace(
        QUANTIZED, schedule="step", milestones=(2,), warmup_epochs=1, nesterov=True, label_smoothing=0.1
    ),
    "average": replace(QUANTIZED, activations="asq", average=0.9),
    "average of frozen weights": replace(QUANTIZED, weights="inq", average=0.5),
    "intervals": replace(QUANTIZED, weights="qil", activations="qil"),
    "bf16": replace(QUANTIZED, bf16=True),
    "channels last": replace(QUANTIZED, channels_last=True, augment="crop_flip"),
}


class Watcher:
    """Keeps what the loop told."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, Mapping[str, float]]] = []
        self.steps: list[tuple[float, bool]] = []

    def step(self, done: float, is_saved: bool) -> None:
        """Keep the arguments."""
        self.steps.append((done, is_saved))

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Keep the arguments."""
        self.seen.append((epoch, epochs, metrics))


def run(config: TrainConfig, folder: Path, watcher: Watcher | None = None) -> TrainedRun:
    return loop.train(config, folder / config.run_id, watcher)


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on when and how often a run was started."""
    return {name: value for name, value in record.items() if name != "volatile"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The records of the runs when nothing goes wrong, and the folder they are in."""
    folder = tmp_path_factory.mktemp("undisturbed")
    records = {config.run_id: finish(run(config, folder)) for config in (SHORT, QUANTIZED)}
    return {"folder": {"path": folder}, **records}


def copy_float(undisturbed: dict[str, Any], folder: Path) -> None:
    """Put the trained float weights where a quantized run in `folder` looks for them."""
    source = undisturbed["folder"]["path"] / SHORT.run_id / "float.safetensors"
    target = folder / SHORT.run_id / source.name
    target.parent.mkdir(parents=True)
    target.write_bytes(source.read_bytes())


def test_record_says_what_was_done(undisturbed: dict[str, Any]) -> None:
    record = undisturbed[QUANTIZED.run_id]
    assert record["schema"] == 1
    assert record["run_id"] == "digits-digits_resnet-post-w3a3-s0"
    assert record["config"] == {**json.loads(json.dumps(asdict(QUANTIZED))), "act_bits": 3}
    assert [curve["epoch"] for curve in record["curves"]] == [1, 2, 3]
    assert [curve["lr"] for curve in record["curves"]] == pytest.approx([0.1, 0.075, 0.025])
    assert record["curves"][-1]["loss"] < undisturbed[SHORT.run_id]["curves"][0]["loss"]
    assert record["accuracy"]["qat"] == record["counts"]["qat_correct"] / 451
    assert record["accuracy"]["qat"] == record["curves"][-1]["test_accuracy"]
    assert record["accuracy"]["float"] == undisturbed[SHORT.run_id]["accuracy"]["float"]
    assert record["volatile"].keys() == {"created", "command", "wall_s"}
    assert record["volatile"]["wall_s"] > 0
    path = undisturbed["folder"]["path"] / QUANTIZED.run_id
    assert read_json(path / "record.json") == record
    assert {file.name for file in path.iterdir()} == {".lock", "config.json", "model.safetensors", "record.json"}


def test_finished_run_is_reused(undisturbed: dict[str, Any]) -> None:
    watcher = Watcher()
    again = run(QUANTIZED, undisturbed["folder"]["path"], watcher)
    assert again.is_finished
    assert again.record == undisturbed[QUANTIZED.run_id]
    assert not watcher.seen
    assert not again.model.training
    saved = read_tensors(again.run_dir / "model.safetensors")[0]
    assert all(torch.equal(value, saved[name]) for name, value in again.model.state_dict().items())


def test_progress_is_told_each_epoch(tmp_path: Path) -> None:
    watcher = Watcher()
    finished = finish(run(SHORT, tmp_path, watcher))
    assert [(epoch, epochs) for epoch, epochs, _ in watcher.seen] == [(1, 3), (2, 3), (3, 3)]
    assert [metrics for _, _, metrics in watcher.seen] == finished["curves"]
    assert watcher.steps == [(epoch + step / 6, False) for epoch in range(3) for step in range(1, 7)]


class KilledError(Exception):
    """Stands for the end of a process."""


class Stopping(Watcher):
    """Ends an attempt at the first saved step."""

    def step(self, done: float, is_saved: bool) -> None:
        """Keep the arguments, and stop."""
        super().step(done, is_saved)
        if is_saved:
            raise KilledError


def test_run_stopped_at_a_saved_step_continues_with_the_next(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    watcher = Stopping()
    config = replace(SHORT, checkpoint_seconds=0.0)
    for _ in range(18):
        with pytest.raises(KilledError):
            run(config, tmp_path, watcher)
    assert watcher.steps == [(epoch + step / 6, True) for epoch in range(3) for step in range(1, 7)]
    record = finish(run(config, tmp_path, watcher))
    assert len(watcher.steps) == 18
    assert record["curves"] == undisturbed[SHORT.run_id]["curves"]
    assert record["accuracy"] == undisturbed[SHORT.run_id]["accuracy"]


def test_nothing_is_evaluated_before_the_first_step(
    undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The float network's accuracy takes a while on many images; training tells at once that it goes."""
    copy_float(undisturbed, tmp_path)

    def fails(*arguments: object) -> int:
        raise AssertionError("test images were classified before the first step")

    monkeypatch.setattr(loop, "count_correct", fails)
    with pytest.raises(KilledError):
        run(replace(QUANTIZED, checkpoint_seconds=0.0), tmp_path, Stopping())


@pytest.mark.parametrize("config", OPTIONS.values(), ids=list(OPTIONS))
def test_run_interrupted_at_any_step_ends_with_the_same_record(
    config: TrainConfig, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop at steps 1, 4, 8 and 13 of 18 (six an epoch), with a checkpoint after each step."""
    for name in ("quiet", "stopped"):
        copy_float(undisturbed, tmp_path / name)
    config = replace(config, checkpoint_seconds=0.0)
    quiet = finish(run(config, tmp_path / "quiet"))
    original = loop.train_step
    for attempt in (1, 4, 8, 13):
        steps: list[int] = []

        def stops(state: State, x: Tensor, labels: Tensor, attempt: int = attempt) -> None:
            if (state.epoch - 1) * 6 + state.step == attempt:
                raise KilledError
            original(state, x, labels)
            steps.append(1)  # noqa: B023  # called within this turn only

        monkeypatch.setattr(loop, "train_step", stops)
        with pytest.raises(KilledError):
            run(config, tmp_path / "stopped")
    assert len(steps) == 13 - 8
    monkeypatch.setattr(loop, "train_step", original)
    assert lasting(finish(run(config, tmp_path / "stopped"))) == lasting(quiet)
    folders = [tmp_path / name / config.run_id for name in ("quiet", "stopped")]
    written = [{path.name: path.read_bytes() for path in folder.glob("*.safetensors")} for folder in folders]
    assert written[0] == written[1] != {}


def test_run_killed_between_training_and_record_is_completed(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    watcher = Watcher()
    assert not run(SHORT, tmp_path).is_finished
    assert not (tmp_path / SHORT.run_id / "record.json").exists()
    record = finish(run(SHORT, tmp_path, watcher))
    assert not watcher.seen
    assert lasting(record) == lasting(undisturbed[SHORT.run_id])


SCRIPT = """
import sys
from trainers.config import TrainConfig
from trainers.loop import train
from trainers.record import finish
config = TrainConfig(study="test", epochs=3, batch_size=256)
finish(train(config, sys.argv[1]))
"""


def test_process_killed_by_sigkill_continues(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / SHORT.run_id
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])
    deadline = time.monotonic() + 60
    while not (folder / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the process ended before its first checkpoint"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "record.json").exists()
    assert lasting(finish(run(SHORT, tmp_path))) == lasting(undisturbed[SHORT.run_id])


def test_folder_of_another_configuration_is_refused(undisturbed: dict[str, Any]) -> None:
    folder = undisturbed["folder"]["path"] / QUANTIZED.run_id
    with pytest.raises(ValueError, match="holds a run with bits=3, this one has 4"):
        loop.train(replace(QUANTIZED, bits=4, act_bits=3), folder)
    with pytest.raises(ValueError, match="holds a run with epochs=3, this one has 4"):
        loop.train(replace(QUANTIZED, epochs=4), folder)
    with pytest.raises(ValueError, match="holds a run with init_sha256="):
        loop.train(replace(QUANTIZED, init=None), folder)


def test_weights_may_lie_elsewhere(undisturbed: dict[str, Any]) -> None:
    folder = undisturbed["folder"]["path"]
    for init in (folder / SHORT.run_id, folder / SHORT.run_id / "float.safetensors"):
        assert run(replace(QUANTIZED, init=str(init)), folder).is_finished


def test_missing_initial_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no float weights at 'digits-digits_resnet-float-s0': looked for"):
        run(QUANTIZED, tmp_path)


def test_second_process_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / SHORT.run_id
    folder.mkdir()
    with (folder / LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="in use by another run; one folder takes one run"):
            run(SHORT, tmp_path)
    with locked(folder), locked(folder):
        pass


def test_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        loop.train(SHORT, tmp_path / "file" / "run")


def test_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the loss became (nan|inf) in step \d of epoch 1; first not finite is \w+ "):
        run(replace(SHORT, lr=1e30), tmp_path)
    assert not (tmp_path / SHORT.run_id / "checkpoint.safetensors").exists()


def test_checkpoint_of_other_versions_is_refused(tmp_path: Path) -> None:
    path = run(SHORT, tmp_path).run_dir / "checkpoint.safetensors"
    tensors, header = read_tensors(path)
    position = json.loads(header[HEADER])
    position["versions"]["torch"] = "1.0"
    write_tensors(path, tensors, {HEADER: json.dumps(position)})
    with pytest.raises(ValueError, match=r"was written with torch 1\.0, this is"):
        run(SHORT, tmp_path)
    del position["versions"]
    write_tensors(path, tensors, {HEADER: json.dumps(position)})
    with pytest.raises(ValueError, match="was written with python of unknown version, this is"):
        run(SHORT, tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is not a readable safetensors file"):
        run(SHORT, tmp_path)


def test_seeds_differ(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    other = finish(run(replace(SHORT, seed=1), tmp_path))
    assert other["run_id"].endswith("-s1")
    assert other["curves"] != undisturbed[SHORT.run_id]["curves"]


def test_extra_results_are_merged_into_the_record(tmp_path: Path) -> None:
    trained = run(replace(SHORT, epochs=1), tmp_path)
    extra = {"accuracy": {"integer": 0.5}, "counts": {"agree": 3}, "cost": [{"layer": "conv1"}]}
    record = finish(trained, extra)
    assert set(record["accuracy"]) == {"float", "integer"}
    assert record["counts"]["agree"] == 3
    assert record["counts"]["test_images"] == 451
    assert record["cost"] == [{"layer": "conv1"}]
    with pytest.raises(ValueError, match="Out of range float"):
        finish(trained, {"accuracy": {"integer": float("nan")}})
    assert read_json(trained.run_dir / "record.json") == record


def test_saved_model_loads_without_data(undisturbed: dict[str, Any]) -> None:
    folder = undisturbed["folder"]["path"]
    float_model = load_model(folder / SHORT.run_id / "float.safetensors")
    quantized = load_model(folder / QUANTIZED.run_id / "model.safetensors").eval()
    assert not hasattr(float_model.get_submodule("conv1"), "weight_quantizer")
    reused = run(QUANTIZED, folder)
    x, _ = next(evaluation_batches(reused.dataset))
    assert torch.equal(quantized(x), reused.model(x))

"""Designs from training to record: what the record holds, reuse, and what a killed or parallel run ends with."""

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hwsim.cli import app
from hwsim.executor import worker_pool
from hwsim.files import read_json
from hwsim.network_file import load_network
from trainers import loop, study
from trainers.config import TrainConfig
from trainers.promises import ExportCheck
from trainers.study import check_design, run_design, run_study

FLOAT = TrainConfig(study="test", epochs=2, batch_size=512)
POST = replace(FLOAT, weights="post", bits=3, init=FLOAT.run_id)
DESIGNS = (FLOAT, POST, replace(POST, weights="uniform", act_bits=4))

COST_FIELDS = {"layer", "part", "quantity", "value", "unit", "convention", "source"}


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on when, where and how often a run was started."""
    return {name: value for name, value in record.items() if name != "volatile"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All designs, trained one after the other by this process."""
    folder = tmp_path_factory.mktemp("study")
    run_study(DESIGNS, folder)
    return folder


def record_of(folder: Path, config: TrainConfig) -> dict[str, Any]:
    return read_json(folder / config.run_id / "record.json")


def test_quantized_record_holds_what_a_report_needs(folder: Path) -> None:
    record = record_of(folder, POST)
    assert record["run_id"] == "digits-digits_resnet-post-w3a3-s0"
    assert set(record) == {
        *("schema", "run_id", "study", "config", "seed", "processes", "versions", "data_sha256", "curves", "volatile"),
        *("accuracy", "counts", "export", "cost"),
    }
    counts, accuracy = record["counts"], record["accuracy"]
    assert set(counts) == {"test_images", "float_correct", "qat_correct", "integer_correct", "agree"}
    assert counts["test_images"] == 451
    shares = {"float": "float_correct", "qat": "qat_correct", "integer": "integer_correct", "agreement": "agree"}
    assert accuracy == {name: counts[count] / 451 for name, count in shares.items()}
    assert abs(counts["integer_correct"] - counts["qat_correct"]) <= 451 - counts["agree"]
    assert accuracy["float"] == record_of(folder, FLOAT)["accuracy"]["float"]
    assert {frozenset(row) for row in record["cost"]} == {frozenset(COST_FIELDS)}
    assert {row["quantity"] for row in record["cost"]} >= {"parameters", "storage_bits", "macs", "bops", "table_bits"}


def test_record_holds_the_promises_of_each_layer(folder: Path) -> None:
    record = record_of(folder, POST)
    network = load_network(folder / POST.run_id / "network.safetensors")
    assert network.name == record["run_id"]
    origin = {"run_id": record["run_id"], "data": "digits", "model": "digits_resnet", "design": "post-w3a3", "seed": 0}
    assert network.metadata == origin
    assert record["export"]["laws_hold"] is True
    layers = {layer["layer"]: layer for layer in record["export"]["layers"]}
    assert list(layers) == [node.name for node in network.layers]
    assert layers["conv1"]["codes"] == 451 * 64
    for node in network.layers:
        layer = layers[node.name]
        assert layer["code_mismatch_share"] == layer["codes_differing"] / layer["codes"]
        assert layer["accumulator_bits"] == node.accumulator.bits == layer["required_bits"]
        assert layer["law_holds"] is True
        assert layer["accumulator_overflows"] == 0


def test_float_record_holds_its_cost_and_nothing_of_integers(folder: Path) -> None:
    record = record_of(folder, FLOAT)
    assert set(record["accuracy"]) == {"float"}
    assert set(record["counts"]) == {"test_images", "float_correct"}
    assert "export" not in record
    assert not (folder / FLOAT.run_id / "network.safetensors").exists()
    totals: dict[str, float] = {}
    for row in record["cost"]:
        totals[row["quantity"]] = totals.get(row["quantity"], 0) + row["value"]
    integer = {row["quantity"] for row in record_of(folder, POST)["cost"]}
    assert integer - set(totals) <= {"shift", "table_read", "table_bits", "table_entries"}
    assert totals["parameters"] == 1320
    assert totals["bops"] == totals["macs"] * 32 * 32


def test_finished_design_is_read_and_not_computed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("a finished design is computed again")

    monkeypatch.setattr(loop, "train_step", never)
    monkeypatch.setattr(study, "export_run", never)
    monkeypatch.setattr(study, "float_cost", never)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    before |= {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")}
    done: list[str] = []
    records = run_study(DESIGNS, folder, on_done=lambda record: done.append(record["run_id"]))
    assert records == [record_of(folder, config) for config in DESIGNS]
    assert done == [config.run_id for config in DESIGNS]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_check_is_told_once(folder: Path, tmp_path: Path) -> None:
    checks: list[ExportCheck] = []
    config = replace(POST, init=str(folder / FLOAT.run_id))
    record = run_design(config, tmp_path, on_check=checks.append)
    assert [check.integer_correct for check in checks] == [record["counts"]["integer_correct"]]
    run_design(config, tmp_path, on_check=checks.append)
    assert len(checks) == 1


def test_several_processes_write_the_same_records(folder: Path, tmp_path: Path) -> None:
    records = run_study(DESIGNS, tmp_path, workers=2)
    assert [record["run_id"] for record in records] == [config.run_id for config in DESIGNS]
    for record in records:
        assert lasting(record) == lasting(read_json(folder / record["run_id"] / "record.json"))
        network = Path(record["run_id"]) / "network.safetensors"
        assert (tmp_path / network).exists() == (folder / network).exists()
        if (folder / network).exists():
            assert (tmp_path / network).read_bytes() == (folder / network).read_bytes()


def test_killed_process_is_told() -> None:
    with pytest.raises(ChildProcessError, match="a worker process was killed; run again"), worker_pool(1) as pool:
        pool.submit(signal.raise_signal, signal.SIGKILL).result()


def test_interrupt_ends_processes_at_once() -> None:
    """The terminal sends Ctrl-C to all: only the parent may answer, and it does not wait for what they are doing."""

    def interrupted() -> None:
        with worker_pool(1) as pool:
            assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
            pool.submit(time.sleep, 600)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not active_children()


def test_designs_are_checked_before_anything_is_trained(tmp_path: Path) -> None:
    designs = [FLOAT, replace(POST, fraction_bits=13)]
    with pytest.raises(ValueError, match=r"fraction_bits must be an integer in 0\.\.12, got 13"):
        run_study(designs, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "digits_resnt"}, "unknown model 'digits_resnt'; did you mean 'digits_resnet'"),
        ({"model_options": {"width": 3}}, "unknown option of model digits_resnet 'width'; did you mean 'widths'"),
        ({"layout": "ful"}, "unknown table layout 'ful'; did you mean 'full'"),
        ({"fraction_bits": -1}, "fraction_bits must be an integer in 0..12, got -1"),
        ({"exponents": 0}, "exponents must be an integer in 1..3 for 3-bit post, got 0"),
        ({"weights": "pot", "bits": 8, "exponents": 60}, "at most exponents="),
        ({"overrides": {"layer9.*": {"bits": 8}}}, "override 'layer9.*' matches no layer"),
    ],
)
def test_design_that_cannot_be_exported_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_design(replace(POST, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet20"}, "resnet20 does not take the images of digits, (1, 8, 8): Given groups=1"),
        ({"model_options": {"classes": 7}}, "digits_resnet has 7 outputs, digits has 10 classes"),
        ({"data": "digit"}, "unknown data set 'digit'; did you mean 'digits'"),
    ],
)
def test_network_that_does_not_fit_the_data_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        run_design(replace(FLOAT, **changes), tmp_path / "run")
    assert not list(tmp_path.iterdir())


KILLED_BEFORE_THE_RECORD = """
import os, signal
from hwsim.cli import main
from trainers import study
study.save_network = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def test_command_killed_twice_ends_with_the_same_record(tmp_path: Path) -> None:
    """Once in mid-training, once when everything is computed and nothing of it is written."""
    options = [
        "train",
        "--weights",
        "post",
        "--bits",
        "3",
        "--epochs",
        "12",
        "--batch-size",
        "512",
        "--init",
        "none",
        "--out",
    ]
    quiet, disturbed = tmp_path / "undisturbed" / POST.run_id, tmp_path / "killed" / POST.run_id
    train(*options, str(quiet.parent))
    first = subprocess.Popen([sys.executable, "-c", COMMAND, *options, str(disturbed.parent)])
    while not (disturbed / "checkpoint.safetensors").exists():
        assert first.poll() is None, "the command ended before its first checkpoint"
        time.sleep(0.001)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert not (disturbed / "model.safetensors").exists()
    script = [sys.executable, "-c", KILLED_BEFORE_THE_RECORD, *options, str(disturbed.parent)]
    assert subprocess.run(script, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert {path.name for path in disturbed.iterdir()} == {
        *(".lock", "config.json", "model.safetensors", "checkpoint.safetensors")
    }
    train(*options, str(disturbed.parent))
    assert lasting(read_json(disturbed / "record.json")) == lasting(read_json(quiet / "record.json"))
    assert {path.name for path in disturbed.iterdir()} == {path.name for path in quiet.iterdir()}
    for name in ("model.safetensors", "network.safetensors"):
        assert (disturbed / name).read_bytes() == (quiet / name).read_bytes()


COMMAND = "from hwsim.cli import main; main()"


def train(*arguments: str) -> None:
    """Run the command in this process."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr

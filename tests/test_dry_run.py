"""`--dry-run`: says what would be done, refuses what would be refused, and leaves every file as it is."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import error, rows, run

from reports.records import load_study
from reports.report import report_files, write_report
from trainers import loop
from trainers.checkpoint import State
from trainers.config import TrainConfig
from trainers.plan import plan_runs
from trainers.run_folder import CHECKPOINT, LOCK, RECORD

SHORT = ("--epochs", 2, "--batch-size", 512)
FLOAT_RUN = "digits-digits_resnet-float-s0"
POST_RUN = "digits-digits_resnet-post-w3a3-s0"


def content(folder: Path) -> dict[str, Any]:
    """Return every file and folder below a folder, with its bytes and the time at which it was changed."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture
def study(tiny_study: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the tiny study, which must be the same afterwards, byte for byte."""
    folder = tmp_path / "study"
    shutil.copytree(tiny_study, folder)
    before = content(tmp_path)
    yield folder
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "command",
    [
        "demo --seeds 1 --out OUT",
        "train --weights post --out OUT",
        "train --seeds 0,1 --parallel 2 --out OUT",
        "evaluate STUDY/digits-digits_resnet-float-s0",
        "allocate --budget bits=3 --out OUT --overrides OUT/bits.json",
        "simulate NETWORK --save OUT/network.safetensors",
        "simulate NETWORK --workers 3 --layers",
        "simulate NETWORK --queue OUT/queue",
        "accumulators NETWORK --bits 8-10",
        "accelerator resnet18 --array 8x8,16x16 --dataflow os,ws",
        "report STUDY --out OUT",
        "rtl table --out OUT/gates.csv --bits 2",
        "rtl verify post --bits 3",
    ],
)
def test_nothing_is_written(command: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if command.startswith("rtl"):
        pytest.importorskip("amaranth")
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path / "cache"))
    network = study / POST_RUN / "network.safetensors"
    text = command.replace("OUT", str(tmp_path / "out")).replace("STUDY", str(study)).replace("NETWORK", str(network))
    assert rows(*text.split(), "--dry-run")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train --bits 9 --out OUT", "bits must be an integer in 1..8, got 9"),
        ("train --data cifar10 --out OUT", "cifar10 is read from disk: give the folder that holds"),
        ("train --init nowhere --out OUT", "no float weights at 'nowhere'"),
        ("train --seeds 0,0 --out OUT", "--seeds takes different entries"),
        ("allocate --budget bits=x --out OUT", "budget"),
        ("allocate --budget bits=3 --init nowhere --out OUT", "no float weights at 'nowhere'"),
        ("evaluate nowhere", "no float weights at 'nowhere'"),
        ("simulate NETWORK --engine tensr", "unknown engine 'tensr'"),
        ("simulate NETWORK --batch-size 0", "batch_size must be at least 1, got 0"),
        ("simulate NETWORK --workers 0", "workers must be an integer in 1..1024, got 0"),
        ("accumulators NETWORK --bits 9-8", "--bits takes rising ranges"),
        ("accelerator resnet18 --array 8y8", "8y8"),
        ("report STUDY/digits-digits_resnet-float-s0/none", "no folder"),
        ("report STUDY --watch", "--dry-run is of the report that is written"),
        ("rtl verify pst", "unknown multiplier 'pst'"),
    ],
)
def test_bad_input_is_refused_as_ever(command: str, message: str, study: Path, tmp_path: Path) -> None:
    if command.startswith("rtl"):
        pytest.importorskip("amaranth")
    network = study / POST_RUN / "network.safetensors"
    text = command.replace("OUT", str(tmp_path / "out")).replace("STUDY", str(study)).replace("NETWORK", str(network))
    assert message in error(*text.split(), "--dry-run")


@pytest.mark.parametrize(
    "command",
    [
        "demo --seeds 1 --out FILE",
        "train --weights post --epochs 1 --out FILE/below",
        "allocate --budget bits=3 --epochs 1 --out FILE",
        "allocate --budget bits=3 --epochs 1 --overrides FILE/bits.json",
        "simulate NETWORK --save FILE/network.safetensors",
        "simulate NETWORK --queue FILE",
        "report STUDY --out FILE/report",
    ],
)
def test_a_place_that_cannot_be_written_is_refused_as_ever(
    command: str, study: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / "file"
    file.write_text("old")
    text = command.replace("FILE", str(file)).replace("STUDY", str(study))
    words = text.replace("NETWORK", str(study / POST_RUN / "network.safetensors")).split()
    planned = error(*words, "--dry-run")
    assert f"{file} is no folder; choose another place" in planned
    assert run(*words).stderr.splitlines()[-1] == f"hwsim: error: {planned}"


def test_train_tells_runs_steps_and_what_is_there(study: Path) -> None:
    """1,346 training images in batches of 512: 3 steps an epoch. The float run of two epochs would be another one."""
    tiny = ("train", "--epochs", 1, "--batch-size", 512, "--study", "tiny", "--lr", 0.1, "--weight-decay", 1e-4)
    arguments = (*tiny, "--weights", "float", "--seeds", "0,1", "--out", study, "--dry-run")
    finished, new = rows(*arguments)
    assert {name: finished[name] for name in ("run", "would", "epochs", "steps", "steps_left", "estimate [s]")} == {
        "run": FLOAT_RUN, "would": "reuse", "epochs": 1, "steps": 3, "steps_left": 0, "estimate [s]": 0,
    }  # fmt: skip
    assert (new["run"], new["would"], new["steps_left"]) == ("digits-digits_resnet-float-s1", "train", 3)
    seconds = json.loads((study / FLOAT_RUN / RECORD).read_text())["volatile"]["wall_s"]
    assert new["estimate [s]"] == pytest.approx(seconds, abs=0.06)
    text = run(*arguments).stdout
    assert text.startswith("2 runs: would train 1, reuse 1; training about ")


def test_a_run_of_another_configuration_is_refused(study: Path) -> None:
    message = error("train", *SHORT, "--weights", "float", "--out", study, "--dry-run")
    assert "holds a run with epochs=1, this one has 2; use another folder" in message


def test_a_quantized_run_may_start_from_one_that_is_still_to_come(tmp_path: Path) -> None:
    baseline = TrainConfig(study="tiny", epochs=1, batch_size=512)
    quantized = replace(baseline, weights="post", init=baseline.run_id)
    plans = plan_runs([baseline, quantized], tmp_path)
    assert [(plan.state, plan.seconds) for plan in plans] == [("new", None)] * 2
    with pytest.raises(FileNotFoundError, match="no float weights at"):
        plan_runs([quantized], tmp_path)


def test_an_unfinished_run_would_be_continued_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("train", "--weights", "float", *SHORT, "--out", tmp_path)
    original = loop.train_step

    def interrupted(state: State, *batch: object) -> None:
        if state.epoch == 2:
            raise KeyboardInterrupt
        original(state, *batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupted)
        assert run(*command).exit_code == 130
    before = content(tmp_path)
    [row] = rows(*command, "--dry-run")
    assert (row["would"], row["steps"], row["steps_left"]) == ("continue", 6, 3)
    assert row["estimate [s]"] > 0
    assert content(tmp_path) == before
    (tmp_path / FLOAT_RUN / CHECKPOINT).write_bytes(b"x")
    assert "is not a readable safetensors file" in error(*command, "--dry-run")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    import fcntl

    command = ("train", "--weights", "float", *SHORT, "--out", tmp_path, "--dry-run")
    (tmp_path / FLOAT_RUN).mkdir()
    with (tmp_path / FLOAT_RUN / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "is in use by another run" in error(*command)
    assert [row["would"] for row in rows(*command)] == ["train"]


def test_what_a_report_would_write_is_what_it_writes(tiny_study: Path, tmp_path: Path) -> None:
    study = load_study(tiny_study)
    planned = report_files(study, tmp_path)
    assert not list(tmp_path.iterdir())
    assert planned == write_report(study, tmp_path)
    listed = rows("report", tiny_study, "--out", tmp_path, "--dry-run")
    assert [(row["file"], row["would"]) for row in listed] == [(str(path), "replace") for path in planned]


def test_simulate_tells_batches_and_paths(tiny_network: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((10, 1, 8, 8)))
    [row] = rows("simulate", tiny_network, "--images", tmp_path / "x.npy", "--batch-size", 4, "--dry-run")
    assert (row["images"], row["batches"], row["by"], row["writes"]) == (10, 3, "1 processes", None)
    planned = rows("simulate", tiny_network, "--layers", "--engine", "compiled", "--dry-run")
    done = rows("simulate", tiny_network, "--layers", "--engine", "compiled")
    assert [row["path"] for row in planned] == [row["path"] for row in done]


def test_accumulators_tell_how_many_networks_would_run(tiny_network: Path) -> None:
    command = ("accumulators", tiny_network, "--count", 20, "--dry-run")
    assert [row["networks"] for row in rows(*command, "--layers")] == [1]
    assert [row["networks"] for row in rows(*command, "--accuracy", "--bits", "8-10")] == [6]
    assert {row["images"] for row in rows(*command, "--accuracy")} == {20}


def test_a_layer_on_an_array_has_the_cycles_of_its_plan(tiny_network: Path) -> None:
    pytest.importorskip("amaranth")
    [layer, *_] = [row["layer"] for row in rows("simulate", tiny_network, "--layers")]
    command = ("rtl", "verify", tiny_network, "--layer", layer, "--positions", 4)
    [planned] = rows(*command, "--dry-run")
    done = {row["check"]: row["values"] for row in rows(*command)}
    assert planned["cycles"] == done["cycles"]
    assert planned["M"] * planned["N"] * planned["groups"] == done["sums"]

"""Quantizers that learn alone, on other data: what changes, what must not, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import error
from torch import Tensor, nn

from hwsim.files import read_json
from trainers import data, loop
from trainers.checkpoint import State
from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.evaluate import count_correct
from trainers.model_file import load_model
from trainers.objective import Distillation
from trainers.presets import PRESETS, recipe_for
from trainers.progressive import plain_state
from trainers.quantizers_only import training_data
from trainers.record import TrainedRun, finish

FLOAT = TrainConfig(study="test", epochs=8, batch_size=128)
ALONE = replace(
    FLOAT,
    weights="post",
    bits=4,
    epochs=3,
    lr=0.02,
    init=FLOAT.run_id,
    quantizers_only=True,
    calibration_data="strokes",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    for config in (FLOAT, ALONE):
        finish(loop.train(config, folder / config.run_id))
    return folder


def load(folder: Path, config: TrainConfig) -> nn.Module:
    name = "model.safetensors" if config.is_quantized else "float.safetensors"
    return load_model(folder / config.run_id / name)


def train_again(config: TrainConfig, folder: Path, run_dir: Path) -> TrainedRun:
    return loop.train(replace(config, init=str(folder / FLOAT.run_id)), run_dir)


def test_only_the_quantizers_change(folder: Path) -> None:
    before, after = load(folder, FLOAT).state_dict(), load(folder, ALONE)
    plain = plain_state(after)
    assert plain.keys() == before.keys()
    for name, value in before.items():
        assert torch.equal(plain[name], value), name
    init = folder / FLOAT.run_id / "float.safetensors"
    start = loop.starting_model(ALONE, training_data(ALONE), init).state_dict()
    moved = [name for name, value in after.state_dict().items() if not torch.equal(value, start[name])]
    assert moved == [name for name in start if name.endswith("quantizer.step")]


def test_record_tells_of_the_task_and_of_agreement_with_the_float_network(folder: Path) -> None:
    record = read_json(folder / ALONE.run_id / "record.json")
    assert record["run_id"] == "digits-digits_resnet-post-w4a4-quantizers-on-strokes-s0"
    assert record["data_sha256"] == training_data(ALONE).sha256 != load_dataset("digits").sha256
    model, digits = load(folder, ALONE), load_dataset("digits")
    assert record["counts"]["qat_correct"] == count_correct(model, digits)
    assert record["counts"]["float_correct"] == count_correct(load(folder, FLOAT), digits)
    losses = [curve["loss"] for curve in record["curves"]]
    assert losses[-1] < losses[0]
    strokes = torch.from_numpy(load_dataset("strokes").train_images)
    answers = [load(folder, config).eval()(strokes).argmax(1) for config in (FLOAT, ALONE)]
    agreement = float((answers[0] == answers[1]).float().mean())
    assert record["curves"][-1]["train_accuracy"] == pytest.approx(agreement, abs=0.05)  # of the last epoch's steps


def test_labels_of_the_other_data_do_not_matter(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strokes = load_dataset("strokes")
    changed = replace(strokes, train_labels=np.zeros_like(strokes.train_labels))
    monkeypatch.setitem(data.DATASETS, "strokes", lambda folder: changed)
    train_again(ALONE, folder, tmp_path)
    path = folder / ALONE.run_id / "model.safetensors"
    assert (tmp_path / "model.safetensors").read_bytes() == path.read_bytes()


def test_images_of_the_other_data_do(folder: Path, tmp_path: Path) -> None:
    own = train_again(replace(ALONE, calibration_data=None), folder, tmp_path)
    assert own.config.design == "post-w4a4-quantizers"
    assert own.record["data_sha256"] == load_dataset("digits").sha256
    scale = "layer1.0.conv1.activation_quantizer.step"
    assert not torch.equal(own.model.get_parameter(scale), load(folder, ALONE).get_parameter(scale))


class KilledError(Exception):
    """Stands for the end of a process."""


def test_interrupted_run_ends_with_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(ALONE, checkpoint_seconds=0.0)
    original = loop.train_step

    def stops(state: State, *batch: Any) -> None:
        if (state.epoch, state.step) == (2, 3):
            raise KilledError
        original(state, *batch)

    monkeypatch.setattr(loop, "train_step", stops)
    with pytest.raises(KilledError):
        train_again(config, folder, tmp_path)
    monkeypatch.setattr(loop, "train_step", original)
    train_again(config, folder, tmp_path)
    path = folder / ALONE.run_id / "model.safetensors"
    assert (tmp_path / "model.safetensors").read_bytes() == path.read_bytes()


def test_distillation_is_the_divergence_from_the_teacher() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 3, generator=generator)
    student, teacher = nn.Linear(3, 4), nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))
    loss, logits = Distillation(student, teacher)(x, torch.zeros(5, dtype=torch.int64))

    def probabilities(module: nn.Module) -> Tensor:
        out: Tensor = module(x).double().softmax(1)
        return out

    p, q = probabilities(teacher), probabilities(student)
    torch.testing.assert_close(loss.double(), (p * (p / q).log()).sum(1).mean(), rtol=1e-5, atol=1e-6)
    assert torch.equal(logits, student(x))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert student.weight.grad is not None
    same, _ = Distillation(student, student)(x, torch.zeros(5, dtype=torch.int64))
    assert float(same.detach()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"weights": "float"}, "quantizers_only is for a quantized network, but weights are float"),
        ({"quantizers_only": False}, "calibration_data is for quantizers_only: weights learn from the task's data"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)):
        replace(ALONE, **changes)


def test_bad_starts_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="quantizers_only training needs trained weights to start from"):
        loop.train(replace(ALONE, init=None), tmp_path)
    with pytest.raises(ValueError, match="unknown data set 'stroke'; did you mean 'strokes'"):
        train_again(replace(ALONE, calibration_data="stroke"), folder, tmp_path)
    without = replace(ALONE, weights="lq_nets", activations="lq_nets", first_last_bits=None)
    with pytest.raises(ValueError, match="no quantizer of this network has a parameter"):
        train_again(without, folder, tmp_path)
    strokes = load_dataset("strokes")
    wide = replace(strokes, train_images=np.zeros((9, 1, 8, 16), np.float32))
    monkeypatch.setitem(data.DATASETS, "strokes", lambda folder: wide)
    with pytest.raises(ValueError, match=r"images of strokes have shape \(1, 8, 16\), those of digits \(1, 8, 8\)"):
        train_again(ALONE, folder, tmp_path)


def test_quantizers_that_learn_alone_do_so_at_a_small_rate() -> None:
    assert recipe_for("digits", is_quantized=True, quantizers_only=True).lr == pytest.approx(0.002)
    assert recipe_for("digits", is_quantized=True) == PRESETS["digits"][1]


def test_command_refuses_what_does_not_go_together(tmp_path: Path) -> None:
    out = ("--out", tmp_path)
    alone = "calibration_data is for quantizers_only"
    assert alone in error("train", "--calibration-data", "strokes", *out)
    assert "needs trained weights" in error("train", "--train-quantizers-only", "--init", "none", *out)
    assert "does not go with quantizers_only" in error("train", "--train-quantizers-only", "--bwrf", *out)
    assert "--progressive takes integers, got 'x'" in error("train", "--progressive", "8,x", *out)

"""Progressive training: which runs lead to which, what is handed over, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from command import run as command
from torch import nn

from hwsim.files import read_json
from trainers import loop, study
from trainers.checkpoint import State
from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.layers import quant_layers
from trainers.model_file import load_model
from trainers.progressive import progressive_runs
from trainers.quantizers.apot import ApotQuantizer
from trainers.quantizers.qil import QilQuantizer
from trainers.record import finish

FLOAT = TrainConfig(study="test", epochs=2, batch_size=256)
QIL = replace(FLOAT, weights="qil", activations="qil", bits=3, progressive=(8, 4), init=FLOAT.run_id)
WIDE, MIDDLE, NARROW = progressive_runs(QIL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain of runs, trained one after the other."""
    folder = tmp_path_factory.mktemp("progressive")
    for config in (FLOAT, WIDE, MIDDLE, NARROW):
        finish(loop.train(config, folder / config.run_id))
    return folder


def start_of(config: TrainConfig, folder: Path) -> nn.Module:
    """Return the network before the first step of a run."""
    init = loop.starting_weights(config, folder / config.run_id)
    return loop.starting_model(config, load_dataset("digits"), init)


def end_of(config: TrainConfig, folder: Path) -> nn.Module:
    return load_model(folder / config.run_id / "model.safetensors")


def test_each_run_starts_from_the_one_before() -> None:
    assert [run.bits for run in (WIDE, MIDDLE, NARROW)] == [8, 4, 3]
    assert [run.quantization.activation_bits for run in (WIDE, MIDDLE, NARROW)] == [8, 4, 3]
    assert [run.init for run in (WIDE, MIDDLE, NARROW)] == [FLOAT.run_id, WIDE.run_id, MIDDLE.run_id]
    names = ["qil-qil-w8a8", "qil-qil-w4a4-after-8", "qil-qil-w3a3-after-8-4"]
    assert [run.design for run in (WIDE, MIDDLE, NARROW)] == names
    assert replace(QIL, bits=8, progressive=()) == WIDE  # the usual run, which may be there already
    assert replace(QIL, init=MIDDLE.run_id) == NARROW
    assert progressive_runs(FLOAT) == [FLOAT]
    fixed = progressive_runs(replace(QIL, act_bits=8))
    assert [run.quantization.activation_bits for run in fixed] == [8, 8, 8]


def test_a_study_trains_the_chain_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[TrainConfig] = []

    def run_design(config: TrainConfig, run_dir: Path) -> dict[str, Any]:
        trained.append(config)
        return {"run_id": config.run_id}

    monkeypatch.setattr(study, "run_design", run_design)
    records = study.run_study([NARROW, WIDE, FLOAT, MIDDLE], tmp_path)
    assert trained == [FLOAT, WIDE, MIDDLE, NARROW]
    assert [record["run_id"] for record in records] == [run.run_id for run in (NARROW, WIDE, FLOAT, MIDDLE)]


def test_weights_statistics_and_intervals_are_handed_over(folder: Path) -> None:
    before, after = end_of(WIDE, folder).state_dict(), start_of(MIDDLE, folder).state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    bits = [layer.weight_quantizer.bits for layer in quant_layers(start_of(MIDDLE, folder)).values()]
    assert bits == [8, *[4] * 6, 8]


def test_training_goes_on_from_there(folder: Path) -> None:
    for config in (WIDE, MIDDLE, NARROW):
        record = read_json(folder / config.run_id / "record.json")
        assert record["config"]["progressive"] == list(config.progressive)
        assert (
            record["counts"]["float_correct"]
            == read_json(folder / FLOAT.run_id / "record.json")["counts"]["float_correct"]
        )
    assert not torch.equal(
        end_of(MIDDLE, folder).get_parameter("conv1.weight"), end_of(WIDE, folder).get_parameter("conv1.weight")
    )


def test_steps_that_mean_another_thing_at_other_bits_start_anew(folder: Path, tmp_path: Path) -> None:
    """LSQ's step is a fraction of the range that depends on the bits; the 8-bit outer layers keep theirs."""
    lsq = [replace(run, weights="uniform", activations="lsq", epochs=1) for run in (WIDE, MIDDLE)]
    lsq = [replace(lsq[0], init=str(folder / FLOAT.run_id)), replace(lsq[1], init=lsq[0].run_id)]
    finish(loop.train(lsq[0], tmp_path / lsq[0].run_id))
    before, after = quant_layers(end_of(lsq[0], tmp_path)), quant_layers(start_of(lsq[1], tmp_path))
    for name, layer in after.items():
        same = torch.equal(layer.weight_quantizer.scale, before[name].weight_quantizer.scale)
        assert same == (name in ("conv1", "linear")), name
        assert torch.equal(layer.weight, before[name].weight)


@pytest.mark.parametrize("method", ["apot", "pot"])
def test_clipping_points_are_handed_over(method: str, folder: Path, tmp_path: Path) -> None:
    first = replace(WIDE, weights=method, activations="lsq", bits=4, epochs=1, init=str(folder / FLOAT.run_id))
    second = replace(first, bits=3, progressive=(4,), init=first.run_id)
    finish(loop.train(first, tmp_path / first.run_id))
    before, after = quant_layers(end_of(first, tmp_path)), quant_layers(start_of(second, tmp_path))
    for name in list(after)[1:-1]:
        old, new = before[name].weight_quantizer, after[name].weight_quantizer
        assert isinstance(new, ApotQuantizer) == (method == "apot")
        ends = [quantizer.scale * quantizer.format.max_level for quantizer in (old, new)]
        torch.testing.assert_close(*ends, rtol=1e-3, atol=0)  # APoT's deviation is that of the last step's weights


class KilledError(Exception):
    """Stands for the end of a process."""


def test_interrupted_stage_ends_with_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(NARROW, init=str(folder / MIDDLE.run_id), checkpoint_seconds=0.0)
    original = loop.train_step

    def stops(state: State, *batch: Any) -> None:
        if (state.epoch, state.step) == (2, 3):
            raise KilledError
        original(state, *batch)

    monkeypatch.setattr(loop, "train_step", stops)
    with pytest.raises(KilledError):
        loop.train(config, tmp_path / config.run_id)
    monkeypatch.setattr(loop, "train_step", original)
    loop.train(config, tmp_path / config.run_id)
    name = Path(config.run_id) / "model.safetensors"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert any(isinstance(module, QilQuantizer) for module in end_of(NARROW, folder).modules())


def test_command_trains_the_chain_and_reuses_what_is_there(tmp_path: Path) -> None:
    options = ("--weights", "pot", "--bits", 3, "--progressive", "4", "--epochs", 1, "--out", tmp_path, "-f", "json")
    first = command("train", *options, "--init", "none")
    assert first.exit_code == 0, first.stderr
    runs = ["digits-digits_resnet-pot-w4a4-s0", "digits-digits_resnet-pot-w3a3-after-4-s0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(runs)
    assert re.findall(r"digits-[\w-]+", first.stdout) == runs
    (tmp_path / runs[1] / "record.json").unlink()
    again = command("train", *options, "--init", "none")
    assert again.stdout == first.stdout
    assert f"{runs[0]}: finished before" in again.stderr
    assert f"{runs[1]}: finished before" not in again.stderr


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"progressive": (4, 8)}, "progressive bits must fall from 8 at most to above the run's 3, got 4, 8"),
        ({"progressive": (3,)}, "to above the run's 3, got 3"),
        ({"progressive": (16,)}, "from 8 at most to above the run's 3, got 16"),
        ({"weights": "float"}, "progressive training is of a quantized network, but weights are float"),
        ({"quantizers_only": True}, "progressive trains weights, so it does not go with quantizers_only"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)):
        replace(QIL, **changes)


def test_widths_that_a_method_does_not_define_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bits must be in 2\.\.7 for inq, got 8"):
        progressive_runs(replace(QIL, weights="inq"))


def test_bad_starts_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="progressive training needs trained weights to start from, init names none"):
        loop.train(replace(NARROW, init=None), tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no quantized network at 'digits-digits_resnet-qil-qil-w4a4-after-8"):
        loop.train(NARROW, tmp_path / "run")
    with pytest.raises(ValueError, match=r"the run at 3 bits starts from one at 4, but .* holds 8 bits"):
        loop.train(replace(NARROW, init=str(folder / WIDE.run_id)), tmp_path / "run")
    with pytest.raises(ValueError, match=r"the run at 3 bits starts from one at 4, but .* holds float bits"):
        loop.train(replace(NARROW, init=str(folder / FLOAT.run_id / "float.safetensors")), tmp_path / "run")

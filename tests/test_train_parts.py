"""The small functions beside the training loop."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hwsim.files import read_json, write_json
from trainers.augment import crop_flip, unchanged
from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.evaluate import count_correct, predict
from trainers.model_file import load_model, read_tensors, save_model, write_tensors
from trainers.models import make_model
from trainers.objective import TaskObjective
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.quantize import QuantizationConfig, quantize
from trainers.run_folder import CHECKPOINT, CONFIG, claim
from trainers.schedule import Plan, factor
from trainers.seeding import epoch_order, reproducible, seed_step, stream


def factors(schedule: str, plan: Plan, per_epoch: int) -> list[float]:
    """Return the factor of every step of a run."""
    return [factor(schedule, plan, step, per_epoch) for step in range(plan.epochs * per_epoch)]


@pytest.mark.parametrize(
    ("schedule", "plan", "per_epoch", "expected"),
    [
        ("cosine", Plan(3), 2, [1, 0.9330127, 0.75, 0.5, 0.25, 0.0669873]),
        ("constant", Plan(2), 2, [1] * 4),
        ("step", Plan(4, milestones=(1, 3)), 2, [1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]),
        ("step", Plan(3, milestones=(2,), gamma=0.5), 1, [1, 1, 0.5]),
        ("cosine", Plan(3, warmup_epochs=1), 2, [0.5, 1, 1, 0.8535534, 0.5, 0.1464466]),
        ("constant", Plan(3, warmup_epochs=2), 2, [0.25, 0.5, 0.75, 1, 1, 1]),
        ("step", Plan(4, warmup_epochs=2, milestones=(3,)), 1, [0.5, 1, 1, 0.1]),
    ],
)
def test_schedules(schedule: str, plan: Plan, per_epoch: int, expected: list[float]) -> None:
    assert factors(schedule, plan, per_epoch) == pytest.approx(expected)


def test_smoothed_labels_share_what_they_lose_among_all_classes() -> None:
    logits, labels = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([0])
    loss, _ = TaskObjective(nn.Identity(), smoothing=0.3)(logits, labels)
    target = torch.tensor([[0.8, 0.1, 0.1]])
    assert float(loss) == pytest.approx(float(-(target * logits.log_softmax(1)).sum()))


def test_nesterov_looks_ahead() -> None:
    """Two steps of gradient 1 at rate 1 and momentum 0.5: 1.5 then 1.75, where the usual momentum takes 1 and 1.5."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = make_optimizer(model, 0.5, 0.0, nesterov=True)
    set_learning_rate(optimizer, 1.0)
    for expected in (-1.5, -3.25):
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
        assert model.weight.item() == expected


def test_streams_depend_on_every_key_and_on_nothing_else() -> None:
    keys = [(0,), (1,), (0, 1), (1, 0), (0, 1, 0), (0, 1, 1)]
    assert len({stream(*key) for key in keys}) == len(keys)
    assert stream(3, 1, 4) == 6_965_966_528_676_992_616  # pinned: another value would change every published run
    assert sorted(epoch_order(0, 1, 50).tolist()) == list(range(50))
    assert not torch.equal(epoch_order(0, 1, 50), epoch_order(0, 2, 50))
    with torch.random.fork_rng(devices=[]):
        seed_step(0, 1, 2)
        first = torch.rand(3)
        torch.rand(5)
        seed_step(0, 1, 2)
        assert torch.equal(first, torch.rand(3))


def test_reproducible_puts_everything_back() -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    with reproducible(7, threads=1):
        drawn = torch.rand(2)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 1
    with reproducible(7, threads=1):
        assert torch.equal(drawn, torch.rand(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_crops_are_windows_of_the_padded_image() -> None:
    images = torch.arange(1, 1 + 6 * 2 * 5 * 7, dtype=torch.uint8).reshape(6, 2, 5, 7)
    generator = torch.Generator().manual_seed(0)
    padded = nn.functional.pad(images, [4] * 4)
    windows = padded.unfold(2, 5, 1).unfold(3, 7, 1).permute(0, 2, 3, 1, 4, 5)  # (image, y, x, channel, 5, 7)
    for _ in range(20):
        out = crop_flip(images, generator)
        assert out.dtype == torch.uint8
        for image, crop in enumerate(out):
            same = (windows[image] == crop).flatten(2).all(2)
            mirrored = (windows[image] == crop.flip(2)).flatten(2).all(2)
            assert (same | mirrored).any()
    assert unchanged(images, generator) is images


def test_crops_shift_and_mirror_evenly() -> None:
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[0, 0, 4, 3] = 1
    out = crop_flip(image.expand(4000, 1, 9, 9), torch.Generator().manual_seed(1))
    rows, columns = out.sum(dim=(0, 1, 3)), out.sum(dim=(0, 1, 2))
    share = 4000 / 9  # nine shifts each way; the one that moves column 3 out of the image loses the pixel
    assert int(rows.sum()) == int(columns.sum())
    assert abs(int(rows.sum()) - 8 * share) < 100
    assert all(abs(int(count) - share * 8 / 9) < 100 for count in rows)
    # column 3 lands evenly on columns 0..7, mirrored on 8..1
    assert [round(int(count) / share * 2) for count in columns] == [1, 2, 2, 2, 2, 2, 2, 2, 1]


def test_scales_do_not_decay_and_groups_keep_their_factor() -> None:
    model = quantize(make_model("digits_resnet"), QuantizationConfig(), torch.rand(4, 1, 8, 8))
    optimizer = make_optimizer(model, momentum=0.9, weight_decay=0.01)
    set_learning_rate(optimizer, 0.5)
    decaying, still = optimizer.param_groups
    assert (decaying["weight_decay"], still["weight_decay"]) == (0.01, 0.0)
    assert (decaying["lr"], still["lr"]) == (0.5, 0.5)
    assert len(still["params"]) == 2 * 8
    assert len(decaying["params"]) + len(still["params"]) == len(list(model.parameters()))


def test_predictions_leave_the_mode_alone() -> None:
    digits, model = load_dataset("digits"), make_model("digits_resnet")
    predictions = predict(model, digits, digits.test_images)
    assert model.training
    assert predictions.dtype == torch.int64
    assert count_correct(model, digits) == (predictions.numpy() == digits.test_labels).sum()


def test_model_files_refuse_what_is_not_theirs(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = make_model("digits_resnet", blocks=2)
    config = TrainConfig(model_options={"blocks": 2})
    save_model(path, model, config)
    assert sum(p.numel() for p in load_model(path).parameters()) == 2_888
    write_tensors(path, model.state_dict(), {})
    with pytest.raises(ValueError, match=r"does not say of which model: no hwsim\.model in its header"):
        load_model(path)
    write_tensors(path, model.state_dict(), {"hwsim.model": json.dumps({"model": "resnet20", "model_options": {}})})
    with pytest.raises(ValueError, match="the weights do not fit the model"):
        load_model(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="is not a readable safetensors file"):
        read_tensors(path)
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "absent")


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("batch_size", -3, "batch_size must be at least 1, got -3"),
        ("lr", -0.1, r"lr must be a finite number that is not negative, got -0\.1"),
        ("lr", math.nan, "lr must be a finite number that is not negative, got nan"),
        ("lr", math.inf, "lr must be a finite number that is not negative, got inf"),
        ("weight_decay", math.inf, "weight_decay must be a finite number that is not negative, got inf"),
        ("momentum", 1.0, r"momentum must be at least 0 and below 1, got 1\.0"),
        ("momentum", math.inf, "momentum must be at least 0 and below 1, got inf"),
        ("momentum", math.nan, "momentum must be at least 0 and below 1, got nan"),
        ("momentum", -0.1, r"momentum must be at least 0 and below 1, got -0\.1"),
        ("schedule", "cosin", "unknown schedule 'cosin'; did you mean 'cosine'"),
        ("schedule", "step", "the schedule step needs milestones and the others have none, got step with 0"),
        ("milestones", (3,), "the schedule step needs milestones and the others have none, got cosine with 1"),
        ("warmup_epochs", 30, r"warmup_epochs must be in 0\.\.29 for 30 epochs, got 30"),
        ("milestones", (5, 5), r"milestones must rise and lie in 1\.\.29 for 30 epochs, got 5, 5"),
        ("milestones", [30], r"milestones must rise and lie in 1\.\.29 for 30 epochs, got 30"),
        ("gamma", 0.0, r"gamma must be over 0 and at most 1, got 0\.0"),
        ("label_smoothing", 1.0, r"label_smoothing must be at least 0 and below 1, got 1\.0"),
        ("augment", "flip", "unknown augment 'flip'; did you mean 'crop_flip'"),
        ("weights", "unifrom", "unknown method for weights 'unifrom'; did you mean 'uniform'"),
    ],
)
def test_bad_settings_are_refused(field: str, value: object, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        replace(TrainConfig(), **{field: value})  # type: ignore[arg-type]


def test_settings_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="nesterov needs a momentum over 0"):
        TrainConfig(nesterov=True, momentum=0.0)
    with pytest.raises(ValueError, match="quantizers_only learns from the float network, not from labels"):
        TrainConfig(weights="uniform", quantizers_only=True, label_smoothing=0.1)


def test_names_of_designs_and_runs() -> None:
    config = TrainConfig(seed=2)
    assert config.run_id == "digits-digits_resnet-float-s2"
    assert replace(config, weights="pot", bits=3, act_bits=8).run_id == "digits-digits_resnet-pot-w3a8-s2"
    assert not config.is_quantized
    assert config.to_dict()["act_bits"] == 4
    table = replace(config, weights="post", fraction_bits=2, layout="full", exponents=3)
    assert table.design == "post-w4a4-e3-k2-full"
    assert replace(config, weights="post", extended=True).design == "post-w4a4-extended"


def test_a_run_that_saved_nothing_leaves_its_folder_free(tmp_path: Path) -> None:
    claim(tmp_path, TrainConfig(lr=0.1), {})
    claim(tmp_path, TrainConfig(lr=0.2), {})
    assert read_json(tmp_path / CONFIG)["lr"] == 0.2
    (tmp_path / CHECKPOINT).touch()
    with pytest.raises(ValueError, match=r"holds a run with lr=0\.2, this one has 0\.1"):
        claim(tmp_path, TrainConfig(lr=0.1), {})


def test_a_run_from_before_a_setting_existed_has_its_default(tmp_path: Path) -> None:
    claim(tmp_path, TrainConfig(), {})
    (tmp_path / CHECKPOINT).touch()
    there = read_json(tmp_path / CONFIG)
    write_json(tmp_path / CONFIG, {name: value for name, value in there.items() if name not in ("gamma", "milestones")})
    claim(tmp_path, TrainConfig(), {})
    with pytest.raises(ValueError, match=r"holds a run with gamma=0\.1, this one has 0\.5"):
        claim(tmp_path, TrainConfig(gamma=0.5), {})
    write_json(tmp_path / CONFIG, {**there, "colour": "red"})
    with pytest.raises(ValueError, match="holds a run of another version of hwsim, which has colour; use another"):
        claim(tmp_path, TrainConfig(), {})

"""Learned importance: the joint step is the mean of its passes, and the command goes from budget to overrides."""

import copy
import json
from pathlib import Path

import pytest
import torch
from command import error, rows, run
from torch import Tensor, nn
from torch.nn import functional

from trainers.config import TrainConfig
from trainers.importance import WidthChoice, joint_step, layer_choices, learn_importance, shared_network
from trainers.layers import quant_layers
from trainers.loop import train
from trainers.models import make_model
from trainers.optimizer import make_optimizer, set_learning_rate

WIDTHS = [2, 4, 6]
INNER = ["layer1.0.conv1", "layer1.0.conv2"]


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return make_model("digits_resnet", widths=[4])


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(8)


def choices(model: nn.Module) -> list[WidthChoice]:
    return [module for module in model.modules() if isinstance(module, WidthChoice)]


def test_inner_layers_share_weights_over_the_widths(network: nn.Module) -> None:
    model = shared_network(network, WIDTHS, batch()[0])
    assert len(choices(model)) == 2 * len(INNER)
    outer = [quant_layers(model)[name] for name in ("conv1", "linear")]
    assert [layer.weight_quantizer.bits for layer in outer] == [8, 8]
    weights = [name for name, _ in model.named_parameters() if name.endswith("conv1.weight")]
    assert len(weights) == 2
    x = torch.randn(50, generator=torch.Generator().manual_seed(2))
    for choice in choices(model):
        for bits in WIDTHS:
            choice.bits = bits
            assert 2 < len(choice(x).unique()) <= 2**bits
        steps = choice.steps()
        assert list(steps) == WIDTHS
        assert steps[2] > steps[4] > steps[6] > 0


def test_a_joint_step_descends_the_mean_of_all_passes(network: nn.Module) -> None:
    """Batch statistics do not depend on running ones, so the passes can be repeated one by one."""
    x, labels = batch()
    model = shared_network(network, WIDTHS, x).train()
    copied = copy.deepcopy(model)
    optimizer = make_optimizer(model, 0.9, 0.0)
    set_learning_rate(optimizer, 0.1)
    torch.manual_seed(5)
    loss = joint_step(model, WIDTHS, optimizer, x, labels)

    torch.manual_seed(5)
    drawn = [WIDTHS[place] for place in torch.randint(3, (4,)).tolist()]
    losses = []
    for widths in ([2] * 4, [4] * 4, [6] * 4, drawn):
        for choice, bits in zip(choices(copied), widths, strict=True):
            choice.bits = bits
        losses.append(functional.cross_entropy(copied(x), labels))
    mean = torch.stack(losses).mean()
    assert loss == pytest.approx(mean.item(), rel=1e-6)
    mean.backward()  # type: ignore[no-untyped-call]
    for (name, before), after in zip(copied.named_parameters(), model.parameters(), strict=True):
        grad = torch.zeros_like(before) if before.grad is None else before.grad
        torch.testing.assert_close(after, before - 0.1 * grad, rtol=1e-4, atol=1e-6, msg=name)


def test_sizes_and_steps_of_each_layer(network: nn.Module) -> None:
    model = shared_network(network, WIDTHS, batch()[0])
    found = layer_choices(model, dict.fromkeys(INNER, 7))
    assert [(layer.name, layer.macs, layer.weights) for layer in found] == [(name, 7, 144) for name in INNER]
    first = choices(model)[:2]
    assert [found[0].weight_importance, found[0].activation_importance] == [choice.steps() for choice in first]


def test_learning_is_reproducible_and_moves_the_steps(tmp_path: Path) -> None:
    config = TrainConfig(model_options={"widths": [4]}, weights="uniform", epochs=1, batch_size=256, lr=0.01)
    first, again = (learn_importance(config, [2, 3], tmp_path) for _ in range(2))
    assert first == again
    assert [layer.name for layer in first] == INNER
    start = learn_importance(TrainConfig(**{**vars(config), "lr": 0.0}), [2, 3], tmp_path)
    assert [layer.macs for layer in start] == [layer.macs for layer in first]
    assert start != first


def test_a_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    config = TrainConfig(model_options={"widths": [4]}, weights="uniform", epochs=2, batch_size=256, lr=1e30)
    with pytest.raises(
        ValueError, match=r"the loss became (nan|inf) in step \d+ of epoch \d+; lower the learning rate"
    ):
        learn_importance(config, [2], tmp_path)


def test_networks_without_inner_layers_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10))
    with pytest.raises(ValueError, match="no layers between the first and the last"):
        shared_network(model, WIDTHS, batch()[0])


def test_the_command_writes_what_train_takes(tmp_path: Path) -> None:
    train(TrainConfig(epochs=1, batch_size=512), tmp_path / "float")
    file = tmp_path / "bits.json"
    options = ("--init", tmp_path / "float", "--out", tmp_path)
    table = rows(
        "allocate", "--budget", "bits=3", "--epochs", 1, "--candidates", "2,3,4", "--overrides", file, *options
    )
    assert table[0]["layer"] == "layer1.0.conv1"
    assert table[0]["bops"] == 64 * 9 * 2 * 2 * table[0]["weight_bits"] * table[0]["activation_bits"]
    assert sum(row["bops"] for row in table) <= 9 * sum(
        row["bops"] // row["weight_bits"] // row["activation_bits"] for row in table
    )
    changes = json.loads(file.read_text())
    assert changes == {row["layer"]: {"bits": row["weight_bits"], "act_bits": row["activation_bits"]} for row in table}
    result = run("train", "--epochs", 1, "--batch-size", 512, "--overrides", file, *options)
    assert result.exit_code == 0, result.stderr
    [record] = [json.loads(path.read_text()) for path in tmp_path.glob("*mixed*/record.json")]
    assert record["config"]["overrides"] == changes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "bit=3"], "unknown budget 'bit'; did you mean 'bits'"),
        (["--budget", "bits=3", "--candidates", "1,2"], "bits must be in 2..8, got 1"),
        (["--budget", "bits=3", "--data", "digit"], "unknown data set 'digit'"),
        (["--budget", "bits=3", "--init", "nowhere"], "no float weights at 'nowhere'"),
    ],
)
def test_bad_commands_are_refused(options: list[str], message: str, tmp_path: Path) -> None:
    assert message in error("allocate", "--out", tmp_path, *options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"conv1": 3}', "'conv1' must name fields to change"),
        ("[]", "must hold a JSON object"),
        ("{", "not valid JSON"),
    ],
)
def test_files_that_are_no_overrides_are_refused(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bits.json"
    file.write_text(content)
    assert message in error("train", "--init", "none", "--overrides", file, "--out", tmp_path / "runs")

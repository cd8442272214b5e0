"""Values that are not finite: they are found where they begin, and no such state is saved."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trainers import loop
from trainers.checkpoint import State
from trainers.config import TrainConfig
from trainers.diagnosis import bad_state, first_not_finite
from trainers.models import make_model
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers_only import set_mode

SHORT = TrainConfig(study="test", epochs=2, batch_size=256)
BATCH = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def network() -> nn.Module:
    """Return a quantized network in training mode, but for batch norm, which uses its statistics."""
    torch.manual_seed(0)
    model = quantize(make_model("digits_resnet"), QuantizationConfig(), BATCH)
    set_mode(model, quantizers_only=True)
    return model


def spoil(model: nn.Module, name: str, value: float = math.nan) -> None:
    with torch.no_grad():
        model.state_dict()[name].view(-1)[0] = value


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("layer2.0.conv1.weight", "parameter 'weight' of layer 'layer2.0.conv1'"),
        ("layer1.0.conv2.weight_quantizer.step", "parameter 'step' of layer 'layer1.0.conv2.weight_quantizer'"),
        ("layer3.0.bn2.weight", "parameter 'weight' of layer 'layer3.0.bn2'"),
        ("layer3.0.bn1.running_var", "the output of layer 'layer3.0.bn1'"),
    ],
)
def test_the_first_value_in_running_order_is_named(name: str, found: str) -> None:
    model = network()
    assert first_not_finite(model, BATCH) is None
    assert bad_state(model) is None
    spoil(model, name)
    spoil(model, "linear.weight")
    assert first_not_finite(model, BATCH) == found
    assert bad_state(model) in (name, "linear.weight")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_outputs_that_overflow_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e30)
    assert first_not_finite(model, torch.ones(1, 2)) == "the output of layer '2'"


def spoiling(after: tuple[int, int]) -> Callable[[State, Tensor, Tensor], None]:
    """Return a training step that spoils a weight after one step, given by epoch and step, from 1 and 0."""
    original = loop.train_step

    def step(state: State, x: Tensor, labels: Tensor) -> None:
        place = (state.epoch, state.step)
        original(state, x, labels)
        if place == after:
            spoil(state.model, "layer2.0.conv1.weight")

    return step


def test_run_stops_with_step_layer_and_checkpoint_and_can_be_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = loop.train(SHORT, tmp_path / "quiet")
    original = loop.train_step
    monkeypatch.setattr(loop, "train_step", spoiling((2, 1)))
    with pytest.raises(ValueError, match="lower the learning rate, or start from trained weights") as caught:
        loop.train(SHORT, tmp_path / "spoilt")
    path = tmp_path / "spoilt" / "checkpoint.safetensors"
    assert str(caught.value).startswith(
        "the loss became nan in step 3 of epoch 2; first not finite is parameter 'weight' of layer 'layer2.0.conv1'; "
        f"the last good checkpoint is {path}, before step 1 of epoch 2; "
    )
    monkeypatch.setattr(loop, "train_step", original)
    again = loop.train(SHORT, tmp_path / "spoilt")
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in quiet.model.state_dict().items())


@pytest.mark.parametrize(("after", "seconds"), [((1, 5), 30.0), ((1, 2), 0.0)])
def test_state_with_a_bad_value_is_never_saved(
    after: tuple[int, int], seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at the end of an epoch, where no loss has told yet, nor within one."""
    monkeypatch.setattr(loop, "train_step", spoiling(after))
    where = rf"layer2\.0\.conv1\.weight is not finite after step {after[1] + 1} of epoch 1; "
    saved = "no checkpoint was saved before" if seconds else r"the last good checkpoint is .*, before step 3 of epoch 1"
    config = TrainConfig(study="test", epochs=2, batch_size=256, checkpoint_seconds=seconds)
    with pytest.raises(ValueError, match=where + saved):
        loop.train(config, tmp_path / "run")

"""Options of the training loop: averaged weights, bfloat16, memory order, compiled steps, devices, TensorBoard."""

import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.extras import install_command
from trainers import guard, loop
from trainers.augment import crop_flip
from trainers.averaging import Average
from trainers.checkpoint import State
from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.device import CPU_METHODS, open_device
from trainers.evaluate import as_inputs, count_correct
from trainers.feed import Feed
from trainers.layers import quant_layers
from trainers.model_file import load_model
from trainers.objective import TaskObjective
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers import QUANTIZERS, Quantizer
from trainers.record import finish
from trainers.run_folder import claim
from trainers.tensorboard import check_tensorboard

SHORT = TrainConfig(study="test", epochs=2, batch_size=512, weights="uniform", lr=0.05)
CASES = [(role, name) for name, method in QUANTIZERS.items() for role in method.roles]
CPU = torch.device("cpu")


def small_network(role: str, name: str) -> nn.Module:
    """Return two quantized convolutions around a batch norm, in training mode."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 3)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    usual = QuantizationConfig(first_last_bits=None)
    chosen = replace(usual, weights=name) if role == "weights" else replace(usual, activations=name)
    return quantize(model, chosen, torch.rand(8, 1, 8, 8)).train()


def one_step(model: nn.Module, x: Tensor, labels: Tensor) -> None:
    optimizer = make_optimizer(model, 0.9, 1e-4)
    set_learning_rate(optimizer, 0.1)
    loss, _ = TaskObjective(model)(x, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def test_an_average_is_what_its_rule_says() -> None:
    weight, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)
    nn.init.zeros_(weight.weight)
    model = nn.Sequential(weight, norm)
    average = Average(model, decay=0.5)
    expected, variance = 0.0, 1.0
    for step, value in enumerate((1.0, 3.0, -2.0), 1):
        nn.init.constant_(weight.weight, value)
        model.state_dict()["1.running_var"].fill_(value)
        model.state_dict()["1.num_batches_tracked"].add_(7)
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected, variance = (decay * old + (1 - decay) * value for old in (expected, variance))
    state = average.model.state_dict()
    assert state["0.weight"].item() == pytest.approx(expected)
    assert state["1.running_var"].item() == pytest.approx(variance)
    assert state["1.num_batches_tracked"] == 21
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


@pytest.mark.parametrize("decay", [0.05, 0.999])
def test_an_average_warms_up(decay: float) -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, decay)
    nn.init.ones_(model.weight)
    average.update(model, 1)
    assert average.model.state_dict()["weight"].item() == pytest.approx(1 - min(decay, 2 / 11))


@pytest.mark.parametrize(("role", "name"), CASES)
def test_averaged_quantizers_keep_the_law(role: str, name: str) -> None:
    model = small_network(role, name)
    average = Average(model, 0.5)
    x = torch.rand(8, 1, 8, 8)
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.begin_epoch(0, 2)
    for step in (1, 2):
        one_step(model, x, torch.arange(8) % 3)
        average.update(model, step)
    average.model.eval()
    for layer in quant_layers(average.model).values():
        quantizer = layer.weight_quantizer
        fmt = quantizer.format
        decoded = torch.from_numpy(fmt.decode(quantizer.codes(layer.weight).numpy()).astype(np.float32))
        assert torch.equal(quantizer(layer.weight), decoded * quantizer.scale_for(layer.weight))


def test_the_average_is_evaluated_and_saved_beside(tmp_path: Path) -> None:
    finished = loop.train(replace(SHORT, average=0.9), tmp_path / "run")
    average = load_model(tmp_path / "run" / "average.safetensors")
    digits = load_dataset("digits")
    assert finished.record["counts"]["average_correct"] == count_correct(average, digits)
    assert finished.record["curves"][-1]["average_accuracy"] == finished.record["accuracy"]["average"]
    plain = loop.train(SHORT, tmp_path / "plain")
    assert plain.record["accuracy"]["qat"] == finished.record["accuracy"]["qat"]
    own, states = average.state_dict(), plain.model.state_dict()
    assert not torch.equal(own["conv1.weight"], states["conv1.weight"])
    assert not torch.equal(own["conv1.weight_quantizer.step"], states["conv1.weight_quantizer.step"])
    assert not (tmp_path / "plain" / "average.safetensors").exists()


@pytest.mark.parametrize(("role", "name"), CASES)
def test_quantizers_compute_in_float32_under_bfloat16(role: str, name: str) -> None:
    model = small_network(role, name)
    seen: list[torch.dtype] = []
    convolved: list[torch.dtype] = []
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.register_forward_hook(lambda module, args, out: seen.extend((args[0].dtype, out.dtype)))
            for inner in module.modules():
                if isinstance(inner, nn.Linear):
                    inner.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, args, out: convolved.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.rand(8, 1, 8, 8)).sum().backward()
    assert set(seen) == {torch.float32}
    assert convolved == [torch.bfloat16] * 2


def test_bfloat16_trains_nearly_as_well_and_evaluates_in_float32(tmp_path: Path) -> None:
    exact = loop.train(SHORT, tmp_path / "exact").record["curves"]
    low = loop.train(replace(SHORT, bf16=True), tmp_path / "low")
    curves = low.record["curves"]
    assert curves[-1]["loss"] != exact[-1]["loss"]
    assert curves[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.05)
    assert low.record["counts"]["qat_correct"] == count_correct(low.model, load_dataset("digits"))


def test_a_budget_is_kept_in_bfloat16(tmp_path: Path) -> None:
    config = replace(SHORT, weights="nipq", activations="nipq", bits=6, budget="bits=3", bf16=True)
    row = loop.train(config, tmp_path / "run").record["curves"][-1]
    assert row["average_bits"] <= 3


def test_channels_last_is_the_same_network(tmp_path: Path) -> None:
    """Sums may run in another order, so the curves agree to a few digits."""
    usual, other = (loop.train(replace(SHORT, channels_last=last), tmp_path / str(last)) for last in (False, True))
    weight = other.model.get_parameter("layer2.0.conv1.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    for one, two in zip(usual.record["curves"], other.record["curves"], strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-2)


@pytest.mark.parametrize(("role", "name"), CASES)
def test_methods_compute_the_same_with_channels_last(role: str, name: str) -> None:
    x, labels = torch.rand(8, 1, 8, 8), torch.arange(8) % 3
    states = []
    for order in (torch.contiguous_format, torch.channels_last):
        model = small_network(role, name).to(memory_format=order)  # type: ignore[call-overload]
        torch.manual_seed(1)
        one_step(model, x.to(memory_format=order), labels)
        states.append(model.state_dict())
    torch.testing.assert_close(states[0], states[1], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own doing
@pytest.mark.parametrize(("weights", "tolerance"), [("float", 1e-4), ("uniform", 2e-2)])
def test_compiled_steps_train_as_eager_ones(weights: str, tolerance: float, tmp_path: Path) -> None:
    """The compiler rounds in other places, so codes near a threshold flip; without codes six digits agree."""
    config = replace(SHORT, weights=weights, epochs=1)
    eager = loop.train(config, tmp_path / "eager").record["curves"]
    compiled = loop.train(replace(config, compile=True), tmp_path / "compiled").record["curves"]
    assert compiled[0]["loss"] == pytest.approx(eager[0]["loss"], rel=tolerance)


@pytest.mark.parametrize(("role", "name"), [case for case in CASES if case[1] not in CPU_METHODS])
def test_a_step_stays_on_its_device_and_does_not_wait_for_it(
    role: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device has no numbers: to read one, as a wait for a GPU does, is an error, and so is a CPU tensor."""
    model = small_network(role, name)
    one_step(model, torch.rand(8, 1, 8, 8), torch.arange(8) % 3)  # what is done once is done
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # it does not know the meta device
    one_step(model.to("meta"), torch.empty(8, 1, 8, 8, device="meta"), torch.zeros(8, dtype=torch.int64, device="meta"))


def test_batches_on_a_device_are_those_of_the_data() -> None:
    digits = load_dataset("digits")
    parts = [np.array([5, 3]), np.array([7])]
    fed = list(Feed(digits, CPU).batches(parts, 0, 1))
    expected = list(digits.train_batches(parts, 0, 1))
    assert len(fed) == len(expected) == 2
    for (images, labels), (pixels, answers) in zip(fed, expected, strict=True):
        np.testing.assert_array_equal(images.numpy(), pixels)
        np.testing.assert_array_equal(labels.numpy(), answers)
        assert images.numpy().dtype == pixels.dtype
    assert not list(Feed(digits, CPU).batches([], 0, 1))
    images, labels = next(Feed(digits, torch.device("meta")).batches(parts, 0, 1))
    x = as_inputs(crop_flip(images, torch.Generator().manual_seed(0)), digits)
    assert x.device.type == labels.device.type == "meta"


def spoiling(place: int) -> Callable[[State, Tensor, Tensor], None]:
    """Return a training step that spoils a weight before one step, counted from 0."""
    original = loop.train_step

    def step(state: State, x: Tensor, labels: Tensor) -> None:
        if state.step == place:
            with torch.no_grad():
                state.model.state_dict()["layer2.0.conv1.weight"].view(-1)[0] = math.nan
        original(state, x, labels)

    return step


@pytest.mark.parametrize("place", [0, 2, 3, 4, 5])
def test_looks_now_and_then_find_the_same_step_and_layer(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, with a look every four of an epoch's six steps; the last step has fewer images."""
    monkeypatch.setattr(loop, "train_step", spoiling(place))
    monkeypatch.setitem(guard.STEPS_BETWEEN_LOOKS, "cpu", 4)
    config = replace(SHORT, batch_size=256)
    found = f"the loss became nan in step {place + 1} of epoch 1; first not finite is parameter 'weight' of layer"
    with pytest.raises(ValueError, match=f"{found} 'layer2.0.conv1'; no checkpoint was saved before"):
        loop.train(config, tmp_path / "run")
    assert not list(tmp_path.rglob("checkpoint*"))


def test_no_step_is_taken_after_a_bad_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(guard.STEPS_BETWEEN_LOOKS, "cpu", 4)
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = make_optimizer(model, 0.9, 0.0, fused=True)
    set_learning_rate(optimizer, 1.0)
    losses = torch.zeros(3, dtype=torch.float64)
    watch = guard.Guard(model, optimizer, losses)
    after = []
    for step, loss in enumerate((1.0, math.inf, 1.0)):
        losses[step] = loss
        watch.see(torch.full((2, 1), float(step)), step, epoch=1)
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
        after.append(model.weight.item())
    assert after == [0.0, 0.0, 0.0]
    assert watch.kept is not None
    assert watch.kept.tolist() == [[1.0], [1.0]]
    with pytest.raises(FloatingPointError, match="the loss became inf in step 2 of epoch 1; first not finite is the"):
        watch.look(2, 1)


def test_looks_now_and_then_change_no_result_but_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = loop.train(SHORT, tmp_path / "usual").record["curves"]
    monkeypatch.setitem(guard.STEPS_BETWEEN_LOOKS, "cpu", 4)
    rare = loop.train(SHORT, tmp_path / "rare").record["curves"]
    assert [row["loss"] for row in rare] == pytest.approx([row["loss"] for row in usual], rel=1e-3)


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"device cuda:99 is asked for, but torch sees (no|\d+) CUDA devices"):
        loop.train(replace(SHORT, device="cuda:99"), tmp_path / "run")
    assert not list(tmp_path.iterdir())
    assert open_device("cpu") == CPU


@pytest.mark.parametrize("role", ["weights", "activations"])
def test_methods_without_a_deterministic_gpu_kernel_are_refused_there(role: str) -> None:
    with pytest.raises(ValueError, match="lq_nets trains on the CPU only, got device cuda:1"):
        replace(SHORT, device="cuda:1", **{role: "lq_nets"})  # type: ignore[arg-type]


def test_the_number_of_a_gpu_is_no_part_of_a_run(tmp_path: Path) -> None:
    claim(tmp_path, replace(SHORT, device="cuda:1"), {})
    (tmp_path / "checkpoint.safetensors").touch()
    claim(tmp_path, replace(SHORT, device="cuda"), {})
    with pytest.raises(ValueError, match="holds a run with device='cuda', this one has 'cpu'"):
        claim(tmp_path, SHORT, {})


class Writer:
    """Stands for TensorBoard's writer."""

    made: list["Writer"] = []  # noqa: RUF012

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step = Path(folder), purge_step
        self.rows: dict[tuple[int, str], float] = {}
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Keep the value."""
        self.rows[step, name] = value

    def flush(self) -> None:
        """Do nothing."""


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Writer]]:
    stand_in = ModuleType("torch.utils.tensorboard.writer")
    stand_in.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", ModuleType("torch.utils.tensorboard"))
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    monkeypatch.setattr("trainers.tensorboard.is_installed", lambda name: True)
    Writer.made = []
    yield Writer.made
    Writer.made = []


def test_tensorboard_gets_every_metric_and_is_no_part_of_the_result(writers: list[Writer], tmp_path: Path) -> None:
    told = finish(loop.train(replace(SHORT, tensorboard=True), tmp_path / "run"))
    [writer] = writers
    assert (writer.folder, writer.purge_step) == (tmp_path / "run" / "tensorboard", 1)
    expected = {(row["epoch"], name): row[name] for row in told["curves"] for name in row if name != "epoch"}
    assert writer.rows == expected
    assert loop.train(SHORT, tmp_path / "run").is_finished


def test_tensorboard_that_is_absent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.tensorboard.is_installed", lambda name: False)
    with pytest.raises(ValueError, match=re.escape(f"is not installed: {install_command('tensorboard')}")):
        check_tensorboard()
    with pytest.raises(ValueError, match="tensorboard is not installed"):
        loop.train(replace(SHORT, tensorboard=True), tmp_path / "run")
    assert not list(tmp_path.iterdir())

"""Training through the hardware: forward is the integer network, the gradient is the exact layer's."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine_checks
import numpy as np
import pytest
import torch
from command import error, rows
from torch import Tensor, nn

from hwsim.accumulator import Accumulator
from hwsim.engines import simulate
from hwsim.exchange import tables_of
from hwsim.formats import Uniform
from hwsim.multipliers import ArrayMultiplier
from hwsim.network_file import load_network
from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.evaluate import as_inputs, count_correct
from trainers.export import ExportConfig, export
from trainers.hardware import on_hardware
from trainers.layers import QuantConv2d, quant_layers
from trainers.loop import train
from trainers.model_file import read_tensors
from trainers.models import make_model
from trainers.quantize import QuantizationConfig, quantize
from trainers.study import NETWORK, run_design

strict_torch = engine_checks.strict_torch
DIGITS = load_dataset("digits", None)
BITS = QuantizationConfig(bits=4, first_last_bits=4)


def batches(seed: int, epochs: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    count = len(DIGITS.train_images)
    orders = [torch.randperm(count, generator=generator) for _ in range(epochs)]
    return [order[i : i + 64] for order in orders for i in range(0, count, 64)]


def fit(model: nn.Module, parts: list[Tensor], lr: float) -> None:
    """Train by SGD with a learning rate that falls to zero."""
    images, labels = torch.from_numpy(DIGITS.train_images), torch.from_numpy(DIGITS.train_labels).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.train()
    for step, part in enumerate(parts):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / len(parts))
        loss = nn.functional.cross_entropy(model(as_inputs(images[part], DIGITS)), labels[part])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """The parameters of a network that was trained with exact products."""
    torch.manual_seed(0)
    model = make_model("digits_resnet")
    fit(model, batches(0, 15), 0.1)
    model = quantize(model, BITS, as_inputs(torch.from_numpy(DIGITS.train_images[:200]), DIGITS))
    fit(model, batches(1, 5), 0.02)
    return model.state_dict()


def trained(state: dict[str, Tensor]) -> nn.Module:
    model = quantize(make_model("digits_resnet"), BITS, as_inputs(torch.from_numpy(DIGITS.train_images[:200]), DIGITS))
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize(
    "hardware",
    [
        ExportConfig(tables=("drum",)),
        ExportConfig(tables=("drum", "layer2*=mitchell"), accumulator_bits=8, overflow="saturate"),
        ExportConfig(accumulator_bits=8, overflow="wrap"),
    ],
)
def test_the_model_on_hardware_is_the_integer_network(state: dict[str, Tensor], hardware: ExportConfig) -> None:
    model = trained(state)
    network = export(model, DIGITS.test_images.shape[1:], hardware)
    pixels = as_inputs(torch.from_numpy(DIGITS.test_images), DIGITS)
    with on_hardware(model, hardware), torch.no_grad():
        found = model(pixels).argmax(1).numpy()
    agree = np.count_nonzero(found == simulate(network, pixels.double().numpy()).predictions)
    assert agree >= len(found) - 3  # rescaling rounds to the datapath; that is all that differs


def test_the_gradient_is_the_exact_layers_gradient(state: dict[str, Tensor]) -> None:
    layer = next(layer for layer in quant_layers(trained(state)).values() if isinstance(layer, QuantConv2d))
    holder, x = nn.Sequential(layer), torch.rand(3, layer.in_channels, 8, 8)
    exact = layer(x)
    exact.sum().backward()
    expected, layer.weight.grad = layer.weight.grad, None
    with on_hardware(holder, ExportConfig(tables=("truncated",))):
        simulated = holder(x)
        simulated.sum().backward()
    assert layer.weight.grad is not None
    assert expected is not None
    torch.testing.assert_close(layer.weight.grad, expected, rtol=0, atol=0)
    assert not torch.equal(simulated, exact)
    torch.testing.assert_close(holder(x), exact, rtol=0, atol=0)


def test_training_through_a_coarse_table_recovers_accuracy(state: dict[str, Tensor]) -> None:
    model, hardware, images = trained(state), ExportConfig(tables=("drum",)), len(DIGITS.test_labels)
    exact = count_correct(model, DIGITS)
    with on_hardware(model, hardware):
        before = count_correct(model, DIGITS)
        fit(model, batches(2, 8), 0.01)
        after = count_correct(model, DIGITS)
    assert exact > 0.9 * images
    assert before < 0.7 * images
    assert after > 0.75 * images
    assert after - before > (exact - before) // 2


THROUGH = TrainConfig(epochs=1, batch_size=512, weights="uniform", first_last_bits=4, multiplier=("drum",))


def test_a_run_through_a_table_is_recorded_and_exported_with_it(tmp_path: Path) -> None:
    config = replace(THROUGH, multiplier=("layer*=drum", "layer3*=mitchell"), accumulator_bits=10, overflow="saturate")
    record = run_design(config, tmp_path)
    assert record["run_id"] == "digits-digits_resnet-uniform-w4a4-drum+mitchell+saturate10-s0"
    assert record["config"]["multiplier"] == ("layer*=drum", "layer3*=mitchell")
    assert record["export"]["laws_hold"] is True
    assert record["accuracy"]["agreement"] > 0.98
    network = load_network(tmp_path / NETWORK)
    assert {label: len(names) for label, names in tables_of(network).items()} == {"drum": 4, "mitchell": 2}
    assert {layer.accumulator for layer in network.layers} == {Accumulator(10, "saturate")}
    correct = (simulate(network, DIGITS.test_images, "reference").predictions == DIGITS.test_labels).sum()
    assert record["counts"]["integer_correct"] == correct


def test_the_table_decides_what_is_learned(tmp_path: Path) -> None:
    """Straight after the first step, weights that saw other products differ."""
    runs = {}
    for name, tables in {"exact": None, "drum": ("drum",), "array": (str(tmp_path / "exact.npy"),)}.items():
        np.save(tmp_path / "exact.npy", ArrayMultiplier(Uniform(4), Uniform(4, signed=False)).table())
        train(replace(THROUGH, multiplier=tables), tmp_path / name)
        runs[name] = read_tensors(tmp_path / name / "model.safetensors")[0]["layer1.0.conv1.weight"]
    torch.testing.assert_close(runs["array"], runs["exact"], rtol=0, atol=1e-5)
    assert (runs["drum"] - runs["exact"]).abs().max() > 1e-3


def test_a_run_does_not_continue_with_another_table(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.zeros((16, 16), np.int64))
    config = replace(THROUGH, multiplier=(str(tmp_path / "t.npy"),))
    run_design(config, tmp_path / "run")
    run_design(config, tmp_path / "run")
    np.save(tmp_path / "t.npy", np.ones((16, 16), np.int64))
    with pytest.raises(ValueError, match=r"holds a run with table .*t\.npy="):
        run_design(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "float"}, "a float network has no product tables"),
        ({"accumulator_bits": 8}, "accumulator_bits and overflow belong together"),
        ({"overflow": "wrap"}, "accumulator_bits and overflow belong together"),
        ({"accumulator_bits": 8, "overflow": "error"}, "through must be wrap or saturate, got 'error'"),
        ({"accumulator_bits": 1, "overflow": "wrap"}, "accumulator bits must be an integer in 2..63, got 1"),
        ({"multiplier": ("drumm",)}, "layer 'conv1': unknown product table 'drumm'; did you mean 'drum'?"),
        ({"multiplier": ("layer9=drum",)}, "pattern 'layer9' matches no layer"),
        ({"multiplier": ("drum_s8u8",)}, "layer 'conv1': drum_s8u8: a product table of 4 x 4 bits"),
        ({"weights": "pot"}, "layer 'layer1.0.conv1': a product table replaces uniform weights, not pot"),
    ],
)
def test_refused_runs(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        run_design(replace(THROUGH, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_through_a_table_from_the_command_line(tmp_path: Path) -> None:
    options = ("--multiplier", "layer*=drum", "--accumulator-bits", 12, "--overflow", "wrap", "--out", tmp_path)
    [row] = rows("train", "--epochs", 1, "--batch-size", 512, "--init", "none", *options)
    assert row["run"] == "digits-digits_resnet-uniform-w4a4-drum+wrap12-s0"
    [simulated] = rows("simulate", tmp_path / row["run"] / NETWORK)
    assert simulated["accuracy"] == row["accuracy_integer"]
    assert "belong together" in error("train", "--overflow", "wrap", "--out", tmp_path)

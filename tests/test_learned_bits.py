"""Budgets of learned bits: their loss term, what a training under them ends with, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from command import error
from torch import Tensor, nn

from hwsim.network_file import load_network
from hwsim.workload import Workload
from trainers.budget import Budget, layer_macs, parse_budget
from trainers.config import TrainConfig
from trainers.data import Data, load_dataset
from trainers.layers import quant_layers
from trainers.learned_bits import (
    BudgetObjective,
    keep_within_budget,
    learned_cost,
    learned_widths,
    learning_quantizers,
)
from trainers.model_file import load_model
from trainers.models import make_model
from trainers.objective import TaskObjective
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers.nipq import NipqQuantizer
from trainers.study import run_design

NIPQ = QuantizationConfig(weights="nipq", activations="nipq", first_last_bits=None)
MACS = {"conv1": 4608, "layer1.0.conv1": 36864, "layer1.0.conv2": 36864, "linear": 80}
SHAPE = (1, 8, 8)


def small(config: QuantizationConfig = NIPQ) -> nn.Module:
    """Return a quantized network of four layers."""
    torch.manual_seed(0)
    return quantize(make_model("digits_resnet", widths=[8]), config, torch.rand(4, *SHAPE))


class Loss:
    """An objective that is constant."""

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a quarter."""
        return torch.tensor(0.25), x

    def measure(self, dataset: Data) -> dict[str, float]:
        """Return a number that has to be kept."""
        return {"other": 1.0}


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("bits=4", Budget("bits", 4.0)),
        ("bits=3.5", Budget("bits", 3.5)),
        ("bops=.5G", Budget("bops", 5e8)),
        ("bops=20M", Budget("bops", 2e7)),
        ("size=12k", Budget("size", 12e3)),
        ("size=7", Budget("size", 7.0)),
    ],
)
def test_budgets_are_read(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["bits", "bits=", "bits=0", "bops=-3M", "bops=3T", "size=3 k", "bits=nan", "bits=."])
def test_texts_that_are_no_budget_are_refused(text: str) -> None:
    kind = text.partition("=")[0]
    with pytest.raises(ValueError, match=rf"a budget is {kind}=NUMBER with k, M or G .*, got '{text}'"):
        parse_budget(text)


def test_unknown_budgets_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown budget 'bop'; did you mean 'bops'"):
        parse_budget("bop=3")


def test_multiplications_of_each_layer() -> None:
    assert layer_macs(make_model("digits_resnet", widths=[8]), SHAPE) == MACS


def test_penalty_is_smooth_l1_and_its_gradient_lowers_what_is_too_much() -> None:
    model = small()
    by_bits = BudgetObjective(Loss(), model, Budget("bits", 3.5), MACS)
    loss, _ = by_bits(torch.ones(1), torch.ones(1))
    assert float(loss.detach()) == pytest.approx(0.25 + 3 * 0.5 * 0.5**2)  # 4 bits everywhere, half a bit too many
    loss.backward()  # type: ignore[no-untyped-call]
    thetas = [m.theta for m in model.modules() if isinstance(m, NipqQuantizer)]
    expected = 10 * 3 * 0.5 / 8 * 6 * (1 / 3) * (2 / 3)
    assert [float(theta.grad) for theta in thetas] == pytest.approx([expected] * 8)  # type: ignore[arg-type]


def test_bit_operations_are_macs_times_both_widths() -> None:
    model = small()
    operations = 16 * sum(MACS.values())
    objective = BudgetObjective(Loss(), model, Budget("bops", operations / 1.5), MACS)
    assert float(objective.penalty().detach()) == pytest.approx(3 * 0.5 * 0.5**2)
    assert objective.measure(load_dataset("digits")) == {"other": 1.0, "average_bits": 4.0, "bops": operations}
    fixed = small(QuantizationConfig(weights="nipq", activations="nipq"))  # its first and last layer have 8 bits
    inner = 16 * (MACS["layer1.0.conv1"] + MACS["layer1.0.conv2"])
    outer = 64 * (MACS["conv1"] + MACS["linear"])
    measured = BudgetObjective(Loss(), fixed, Budget("bits", 4.0), MACS).measure(load_dataset("digits"))
    assert measured["bops"] == inner + outer


def test_frozen_bits_have_no_penalty() -> None:
    model = small()
    objective = BudgetObjective(Loss(), model, Budget("bits", 2.5), dict.fromkeys(quant_layers(model), 1))
    for module in model.modules():
        if isinstance(module, NipqQuantizer):
            module.begin_epoch(19, 20)
    assert float(objective(torch.ones(1), torch.ones(1))[0]) == 0.25


@pytest.mark.parametrize(("kind", "limit"), [("bits", 3.4), ("bits", 2.0), ("bops", 9.0)])
def test_settled_bits_are_within_the_budget_and_lowered_where_rounding_raised_most(kind: str, limit: float) -> None:
    model = small()
    learning = learning_quantizers(model)
    with torch.no_grad():
        for place, quantizer in enumerate(learning):
            quantizer.theta.add_(-0.02 * place)  # the last was raised most when it was rounded to 4
    unit = sum(MACS.values()) if kind == "bops" else 1
    objective = BudgetObjective(Loss(), model, Budget(kind, limit * unit), MACS)
    keep_within_budget(objective, is_over=False)
    assert [quantizer.learned_bits for quantizer in learning] == [4] * 8  # still learning
    for quantizer in learning:
        quantizer.begin_epoch(19, 20)
    keep_within_budget(objective, is_over=False)
    bits = [quantizer.learned_bits for quantizer in learning]
    assert [quantizer.frozen_bits for quantizer in learning] == bits
    cost = learned_cost(model, MACS)
    assert (cost["average_bits"] if kind == "bits" else cost["bops"]) <= limit * unit
    if limit == 3.4:
        assert bits == [4] * 3 + [3] * 5
    objective.settle()
    assert [quantizer.learned_bits for quantizer in learning] == bits


def test_a_training_too_short_to_freeze_bits_ends_within_its_budget(tmp_path: Path) -> None:
    config = TrainConfig(
        weights="nipq",
        activations="nipq",
        model_options={"widths": [8]},
        first_last_bits=None,
        budget="bits=3",
        epochs=1,
    )
    curve = run_design(config, tmp_path)["curves"][-1]
    assert curve["average_bits"] <= 3


@pytest.mark.parametrize(("limit", "name"), [(1.9, "1.9"), (8.1, "8.1")])
def test_budgets_out_of_reach_are_refused(limit: float, name: str) -> None:
    rule = f"bits={name} is out of reach: with 2 to 8 bits the network has bits from 2 to 8"
    with pytest.raises(ValueError, match=rule):
        BudgetObjective(Loss(), small(), Budget("bits", limit), {})


def test_budgets_need_bits_that_learn() -> None:
    model = small(QuantizationConfig())
    with pytest.raises(ValueError, match="methods that learn their bits, such as nipq; this network has none"):
        BudgetObjective(TaskObjective(model), model, Budget("bits", 3.0), {})


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"weights": "uniform", "budget": "bits=4"}, "a budget is for methods that learn their bits: nipq"),
        ({"budget": "size=4k"}, "the budget of a training is bits=NUMBER or bops=NUMBER, got 'size=4k'"),
        ({"multiplier": ("drum",)}, "nipq changes its formats as it learns"),
        ({"accumulator_bits": 12, "overflow": "wrap"}, "nipq changes its formats as it learns"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        TrainConfig(**{"weights": "nipq", **changes})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "bits=4"], "a budget is for methods that learn their bits"),
        (["--weights", "nipq", "--budget", "bits=1.5"], "the budget bits=1.5 is out of reach"),
        (["--first-last", "9"], "bits must be in 2..8, got 9"),
    ],
)
def test_bad_commands_are_refused(options: list[str], message: str, tmp_path: Path) -> None:
    assert message in error("train", "--epochs", "1", "--init", "none", "--out", tmp_path, *options)


def test_training_ends_near_the_budget_in_mixed_widths_and_exports_them(tmp_path: Path) -> None:
    config = TrainConfig(
        weights="nipq",
        activations="nipq",
        model_options={"widths": [8]},
        first_last_bits=None,
        budget="bits=3",
        epochs=4,
        batch_size=128,
    )
    assert config.design == "nipq-nipq-w4a4-bits3"
    record = run_design(config, tmp_path)
    bits = [width for row in record["bits"] for width in (row["weight_bits"], row["activation_bits"])]
    assert len(bits) == 8
    assert 2.5 <= sum(bits) / 8 == record["curves"][-1]["average_bits"] <= 3
    assert record["export"]["laws_hold"]
    assert record["counts"]["integer_correct"] > 0
    model, network = load_model(tmp_path / "model.safetensors"), load_network(tmp_path / "network.safetensors")
    assert learned_widths(model) == record["bits"]
    exported = {layer.name: layer.weight.bits for layer in Workload.from_network(network).layers if layer.weight}
    assert [exported[str(row["layer"])] for row in record["bits"]] == bits[::2]

"""Block-wise replacement: the objective equals its definition, and nothing but the quantized network changes."""

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from command import error, rows
from torch import Tensor, nn
from torch.nn import functional

from hwsim.network_file import load_network
from trainers.bwrf import BlockReplacement, BwrfConfig, divergence, similarity
from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.evaluate import count_correct
from trainers.loop import train
from trainers.models import make_model
from trainers.quantize import QuantizationConfig, quantize
from trainers.study import check_design

ALL_TERMS = BwrfConfig(distillation=0.7, branch_task=1.3, branch_distillation=0.4, branch_teaching=0.9, temperature=3.0)
CONFIG = TrainConfig(weights="uniform", bits=3, bwrf=BwrfConfig())


@pytest.fixture
def full() -> nn.Module:
    """A float network with uneven running statistics, in double precision."""
    torch.manual_seed(0)
    model = make_model("digits_resnet", widths=[4, 4, 8]).double()
    for _ in range(3):
        model(torch.rand(16, 1, 8, 8, dtype=torch.float64))
    return model


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(6, 1, 8, 8, generator=generator, dtype=torch.float64), torch.tensor([0, 3, 1, 9, 4, 3])


def quantized(full: nn.Module, x: Tensor) -> nn.Module:
    return quantize(copy.deepcopy(full).float(), QuantizationConfig(bits=3), x.float()).double()


def rest(model: nn.Module, stage: int, h: Tensor) -> Tensor:
    """What the network makes of the output of its stage, counted from 1, written without the cutting machinery."""
    for name in ("layer1", "layer2", "layer3")[stage:]:
        h = model.get_submodule(name)(h)
    logits: Tensor = model.get_submodule("linear")(model.get_submodule("pool")(h).flatten(1))
    return logits


def softened_divergence(target: Tensor, logits: Tensor, temperature: float) -> Tensor:
    p, q = torch.softmax(target / temperature, 1), torch.softmax(logits / temperature, 1)
    return temperature**2 * (p * (p.log() - q.log())).sum(1).mean()


def by_definition(low: nn.Module, full: nn.Module, config: BwrfConfig, x: Tensor, y: Tensor) -> Tensor:
    """The loss as it is written down: one branch after the other, nothing stacked."""
    h, features = low.get_submodule("relu1")(low.get_submodule("bn1")(low.get_submodule("conv1")(x))), []
    for name in ("layer1", "layer2", "layer3"):
        h = low.get_submodule(name)(h)
        features.append(h)
    logits, teacher, T = rest(low, 3, h), full(x).detach(), config.temperature
    loss = functional.cross_entropy(logits, y) + config.distillation * softened_divergence(teacher, logits, T)
    for i in (1, 2):
        mixed = rest(full, i, features[i - 1])
        branch = config.branch_task * functional.cross_entropy(mixed, y)
        branch = branch + config.branch_distillation * softened_divergence(teacher, mixed, T)
        branch = branch + config.branch_teaching * softened_divergence(mixed.detach(), logits, T)
        loss = loss + branch / 2
    return loss


@pytest.mark.parametrize(
    "config",
    [
        BwrfConfig(),
        ALL_TERMS,
        *(
            replace(ALL_TERMS, **{name: 0.0})  # type: ignore[arg-type]
            for name in ("distillation", "branch_task", "branch_distillation", "branch_teaching")
        ),
    ],
)
def test_loss_and_gradients_equal_the_unbatched_definition(
    config: BwrfConfig, full: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    ours = quantized(full, batch[0])
    theirs = copy.deepcopy(ours)
    loss, logits = BlockReplacement(ours, full, config)(*batch)
    loss.backward()  # type: ignore[no-untyped-call]
    expected = by_definition(theirs, copy.deepcopy(full).eval(), config, *batch)
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    for (name, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-9, atol=1e-12, msg=name)
    statistics = dict(theirs.named_buffers())
    for name, buffer in ours.named_buffers():
        assert torch.equal(buffer, statistics[name]), name
    assert logits.shape == (6, 10)


def test_the_float_network_stays_as_it_is(full: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    before = copy.deepcopy(full.state_dict())
    model = quantized(full, batch[0])
    objective = BlockReplacement(model, full, BwrfConfig())
    model.train()
    objective(*batch)[0].backward()  # type: ignore[no-untyped-call]
    copies = [stage.state_dict() for stage in objective.full]
    for name, value in before.items():
        assert torch.equal(value, full.state_dict()[name]), name
        assert any(torch.equal(value, state[name]) for state in copies if name in state), name
    assert full.training
    assert all(parameter.grad is None for parameter in full.parameters())
    assert all(parameter.grad is None for stage in objective.full for parameter in stage.parameters())
    leaves = [module for stage in objective.full for module in stage.modules() if not list(module.children())]
    assert any(isinstance(module, nn.BatchNorm2d) for module in leaves)
    assert not any(module.training for module in leaves)


def test_stages_are_called_once_and_float_ones_once_more_for_the_teacher(
    full: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    objective = BlockReplacement(quantized(full, batch[0]), full, BwrfConfig())
    calls: dict[str, list[tuple[int, bool]]] = {}
    for kind in ("low", "full"):
        for i, stage in enumerate(getattr(objective, kind)):

            def count(module: nn.Module, args: tuple[Tensor], key: str = f"{kind}{i}") -> None:
                calls.setdefault(key, []).append((len(args[0]), torch.is_grad_enabled()))

            stage.register_forward_pre_hook(count)
    objective(*batch)
    low, teacher = [(6, True)], (6, False)
    assert calls == {
        **{f"low{i}": low for i in range(3)},
        "full0": [teacher],
        "full1": [teacher, (6, True)],
        "full2": [teacher, (12, True)],
    }


def test_a_network_replaced_by_itself_is_itself() -> None:
    torch.manual_seed(0)
    digits, model = load_dataset("digits"), make_model("digits_resnet")
    measured = BlockReplacement(copy.deepcopy(model), model, BwrfConfig()).measure(digits)
    accuracy = count_correct(model, digits) / len(digits.test_labels)
    assert [name for name in measured if name.startswith("mixed")] == ["mixed_accuracy/layer1", "mixed_accuracy/layer2"]
    assert measured["mixed_accuracy/layer1"] == measured["mixed_accuracy/layer2"] == accuracy
    for name in ("layer1", "layer2", "layer3"):
        assert measured[f"similarity/{name}"] == pytest.approx(1, abs=1e-6)


def test_measuring_counts_the_mixed_networks_and_leaves_the_mode() -> None:
    torch.manual_seed(0)
    digits, model = load_dataset("digits"), make_model("digits_resnet").eval()
    x = torch.from_numpy(digits.normalized(digits.test_images))
    low = quantize(model, QuantizationConfig(bits=2, first_last_bits=None), x[:64]).train()
    measured = BlockReplacement(low, model, BwrfConfig()).measure(digits)
    assert low.training
    low.eval()
    with torch.no_grad():
        h = low.get_submodule("layer1")(
            low.get_submodule("relu1")(low.get_submodule("bn1")(low.get_submodule("conv1")(x)))
        )
        f = model.get_submodule("layer1")(
            model.get_submodule("relu1")(model.get_submodule("bn1")(model.get_submodule("conv1")(x)))
        )
        answers = rest(model, 1, h).argmax(1)
        cosine = functional.cosine_similarity(h.flatten(1), f.flatten(1)).mean()
    assert measured["mixed_accuracy/layer1"] == (answers.numpy() == digits.test_labels).mean()
    assert measured["similarity/layer1"] == pytest.approx(float(cosine), abs=1e-5)
    assert measured["similarity/layer1"] < 0.999


def test_divergence_and_similarity_by_hand() -> None:
    target, logits = torch.tensor([[0.0, 2.0]]).double(), torch.tensor([[2.0, 0.0]]).double()
    odds = torch.sigmoid(torch.tensor(1.0).double())  # of 2 / T with T = 2; KL = (p - q) * (2 / T)
    assert float(divergence(target, logits, 2.0)) == pytest.approx(float(4 * (2 * odds - 1)), rel=1e-12)
    assert float(similarity(torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 4.0], [1.0, 0.0]]))) == 0.6


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("distillation", -1.0, r"distillation of BWRF must be a number that is not negative, got -1\.0"),
        ("branch_task", float("nan"), "branch_task of BWRF must be a number that is not negative, got nan"),
        ("branch_distillation", float("inf"), "branch_distillation of BWRF .* got inf"),
        ("branch_teaching", -0.5, "branch_teaching of BWRF"),
        ("temperature", 0.0, "temperature of BWRF must be positive, got 0"),
        ("distillation", "a", "distillation of BWRF must be a number, got 'a'"),
        ("stages", "conv1,fc", "stages of BWRF must be several names of modules, got 'conv1,fc'"),
    ],
)
def test_bad_settings_are_refused(field: str, value: object, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        replace(BwrfConfig(), **{field: value})  # type: ignore[arg-type]


def test_a_float_network_has_nothing_to_replace() -> None:
    with pytest.raises(ValueError, match="BWRF trains a quantized network, but weights are float"):
        replace(CONFIG, weights="float")


def test_trained_float_weights_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="BWRF needs trained float weights to start from"):
        train(CONFIG, tmp_path / "run")


def test_a_bad_cut_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(ValueError, match=r"cannot cut after 'layer1\.0\.conv1'"):
        check_design(replace(CONFIG, bwrf=BwrfConfig(stages=("layer1.0.conv1", "layer2"))))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Any]]:
    """The records of a design trained from the command line with and without BWRF, by the run's name."""
    out = tmp_path_factory.mktemp("bwrf")
    command = ["train", "--weights", "post", "--bits", "3", "--epochs", "2", "--out", out]
    names = [row["run"] for options in ([], ["--bwrf"]) for row in rows(*command, *options)]
    return {name: json.loads((out / name / "record.json").read_text()) | {"folder": out / name} for name in names}


def test_the_command_trains_exports_and_records(records: Mapping[str, dict[str, Any]]) -> None:
    plain, wrapped = records.values()
    assert wrapped["run_id"] == "digits-digits_resnet-post-w3a3-bwrf-s0"
    assert wrapped["config"]["bwrf"] == {
        "stages": [], "distillation": 1.0, "branch_task": 1.0, "branch_distillation": 1.0, "branch_teaching": 0.0,
        "temperature": 4.0,
    }  # fmt: skip
    extra = {f"mixed_accuracy/layer{i}" for i in (1, 2)} | {f"similarity/layer{i}" for i in (1, 2, 3)}
    for row, usual in zip(wrapped["curves"], plain["curves"], strict=True):
        assert set(row) == set(usual) | extra
    assert wrapped["curves"] != plain["curves"]
    assert wrapped["export"]["laws_hold"]


def test_inference_costs_nothing_extra(records: Mapping[str, dict[str, Any]]) -> None:
    plain, wrapped = (record["folder"] for record in records.values())
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (plain, wrapped)]
    assert sizes[0] == sizes[1]
    networks = [load_network(folder / "network.safetensors") for folder in (plain, wrapped)]
    nodes = [[(node.name, type(node), node.inputs) for node in network.nodes] for network in networks]
    assert nodes[0] == nodes[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bwrf-stages", "layer1,layer2"], "--bwrf-stages needs --bwrf"),
        (["--bwrf-branch-task", "1"], "--bwrf-branch-task needs --bwrf"),
        (["--bwrf", "--bwrf-stages", "layer1,,layer2"], "--bwrf-stages takes different entries"),
        (["--bwrf", "--bwrf-stages", "layer1,layer9"], "unknown stage 'layer9'"),
        (["--bwrf", "--bwrf-temperature", "0"], "temperature of BWRF must be positive"),
        (["--bwrf", "--weights", "float"], "BWRF trains a quantized network"),
        (["--bwrf", "--init", "none"], "BWRF needs trained float weights"),
    ],
)
def test_bad_commands_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    assert message in error("train", "--epochs", "1", "--out", tmp_path, *options)
    assert not list(tmp_path.rglob("*.safetensors"))

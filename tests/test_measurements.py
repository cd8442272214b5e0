"""What is measured of a finished run's networks, against numbers that are known, and the runs that are refused."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finished_runs import write_run
from torch import Tensor, nn

from trainers.data import load_dataset
from trainers.finished_run import IMAGES, FinishedRun, open_run
from trainers.layers import quant_layers
from trainers.measurements.block_errors import block_errors, block_names
from trainers.measurements.distributions import distributions
from trainers.measurements.layer_errors import layer_errors
from trainers.measurements.relative import relative_errors
from trainers.models import make_model
from trainers.run_folder import QUANTIZED_WEIGHTS, RECORD
from trainers.stages import cut


class TwoBlocks(nn.Module):
    """x times a, then times b."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.stages = ("a", "b")
        self.a, self.b = (nn.Conv2d(1, 1, 1, bias=False) for _ in range(2))
        for layer, value in ((self.a, a), (self.b, b)):
            nn.init.constant_(layer.weight, value)

    def forward(self, x: Tensor) -> Tensor:
        """Return the products."""
        out: Tensor = self.b(self.a(x))
        return out


@pytest.fixture(scope="module")
def asq_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run whose layers all have 3-bit uniform weights and ASQ's activations."""
    changes = {"weights": "uniform", "activations": "asq", "bits": 3, "first_last_bits": None}
    return open_run(write_run(tmp_path_factory.mktemp("runs"), **changes))


def test_errors_are_relative_to_the_reference_of_the_same_image() -> None:
    reference = torch.tensor([[3.0, 4.0], [0.0, 10.0], [0.0, 0.0]])
    errors = relative_errors(torch.tensor([[3.0, 3.0], [2.0, 10.0], [1.0, 0.0]]), reference)
    assert errors.dtype == torch.float64
    assert errors.tolist()[:2] == [1 / 25, 4 / 100]
    assert errors[2].isnan()


def test_a_block_alone_starts_from_float_features_and_accumulated_errors_do_not() -> None:
    run = FinishedRun(TwoBlocks(1.5, 2.5), TwoBlocks(1, 2), load_dataset("digits"))
    measured = block_errors(run, torch.tensor([[[[1.0, 2.0]]], [[[-4.0, 0.0]]]]))
    assert measured["blocks"].tolist() == ["a", "b"]
    assert measured["own"].tolist() == [[0.5**2] * 2, [0.25**2] * 2]
    assert measured["accumulated"].tolist() == [[0.5**2] * 2, [0.875**2] * 2]


def test_blocks_are_those_of_the_stages_and_the_last_layer() -> None:
    layers = [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in (0, 1, 2)]
    assert block_names(make_model("resnet20")) == [*layers, "linear"]
    assert block_names(make_model("vgg_small")) == [f"features.{end}" for end in (6, 13, 20)] + ["classifier"]


def test_blocks_of_a_run_end_with_its_answers(asq_run: FinishedRun) -> None:
    images, _ = asq_run.test_images(20)
    measured = block_errors(asq_run, images)
    assert measured["blocks"].tolist() == ["conv1", "layer1.0", "layer2.0", "layer3.0", "linear"]
    with torch.no_grad():
        expected = relative_errors(asq_run.quantized(images), asq_run.full(images)).numpy()
    np.testing.assert_array_equal(measured["accumulated"][-1], expected)
    np.testing.assert_array_equal(measured["own"][0], measured["accumulated"][0])
    assert (measured["own"][1] != measured["accumulated"][1]).all()


def test_what_runs_before_the_first_block_is_a_block_of_its_own(asq_run: FinishedRun) -> None:
    """The first block's own error is of that block alone, on the float network's features."""
    images, _ = asq_run.test_images(20)
    measured = block_errors(asq_run, images, ["layer1.0", "linear"])
    assert measured["blocks"].tolist() == ["conv1", "layer1.0", "linear"]
    full, low = (network.get_submodule("layer1.0") for network in (asq_run.full, asq_run.quantized))
    with torch.no_grad():
        features = cut(asq_run.full, ["relu1", "linear"])[0](images)
        expected = relative_errors(low(features), full(features)).numpy()
    np.testing.assert_array_equal(measured["own"][1], expected)
    assert (measured["accumulated"][1] > measured["own"][1]).all()


@pytest.mark.parametrize("blocks", [["conv1", "layer3"], ["relu1", "layer3"]])
def test_a_first_block_that_has_or_ends_the_first_layer_has_none_before_it(
    asq_run: FinishedRun, blocks: list[str]
) -> None:
    images, _ = asq_run.test_images(2)
    assert block_errors(asq_run, images, blocks)["blocks"].tolist() == blocks


def test_images_are_measured_in_batches_as_at_once(asq_run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = asq_run.test_images(7)
    whole = {**block_errors(asq_run, images), **layer_errors(asq_run, images)}
    for module in ("block_errors", "layer_errors"):
        monkeypatch.setattr(sys.modules[f"trainers.measurements.{module}"], "EVALUATION_BATCH", 3)
    parts = {**block_errors(asq_run, images), **layer_errors(asq_run, images)}
    for name in ("own", "accumulated", "errors"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4)


def first_layer(run: FinishedRun, images: Tensor) -> tuple[Any, Any, Any]:
    """Return the images, ASQ's factors and the codes' step times factor of the first layer, computed by hand."""
    state = {name: value.double().numpy() for name, value in run.quantized.state_dict().items()}
    x = images.double().numpy()
    weight, bias = (state[f"conv1.activation_quantizer.adapter.layers.0.{name}"] for name in ("weight", "bias"))
    factors = np.maximum(x.mean((1, 2, 3)) * weight[0, 0] + bias[0], 1e-8)
    steps = np.abs(state["conv1.activation_quantizer.step"]) * factors
    return x, factors, steps[:, None, None, None]


def test_errors_of_a_layer_are_those_of_its_rounded_input(asq_run: FinishedRun) -> None:
    images, _ = asq_run.test_images(20)
    measured = layer_errors(asq_run, images)
    assert measured["layers"][[0, 1, -1]].tolist() == ["conv1", "layer1.0.conv1", "linear"]
    assert measured["errors"].shape == (8, 20)
    x, _, steps = first_layer(asq_run, images)
    rounded = np.clip(np.round(x / steps), 0, 7) * steps
    expected = ((rounded - x) ** 2).sum((1, 2, 3)) / (x**2).sum((1, 2, 3))
    np.testing.assert_allclose(measured["errors"][0], expected, rtol=1e-3)


def test_distributions_hold_a_layer_before_and_after(asq_run: FinishedRun) -> None:
    images, _ = asq_run.test_images(20)
    measured = distributions(asq_run, images, layer="conv1")
    x, factors, steps = first_layer(asq_run, images)
    np.testing.assert_allclose(measured["factors"], factors, rtol=1e-6)
    np.testing.assert_array_equal(measured["activations"], images.numpy().ravel())
    rounded = (np.clip(np.round(x / steps), 0, 7) * steps).ravel()
    assert np.isclose(measured["activations_quantized"], rounded, rtol=1e-5).mean() > 0.999
    layer = quant_layers(asq_run.quantized)["conv1"]
    scaled = (layer.weight / layer.weight_quantizer.scale[:, None, None, None]).detach().numpy().ravel() / 4
    np.testing.assert_allclose(measured["weights"], scaled, rtol=1e-6)
    np.testing.assert_array_equal(measured["weights_quantized"], np.clip(np.round(scaled * 4), -4, 3) / 4)


def test_the_layer_in_the_middle_is_taken_where_none_is_named(asq_run: FinishedRun) -> None:
    images, _ = asq_run.test_images(2)
    assert distributions(asq_run, images)["layer"] == "layer2.0.conv2"
    with pytest.raises(ValueError, match=r"unknown layer 'layer2\.conv1'; did you mean 'layer2\.0\.conv1'"):
        distributions(asq_run, images, layer="layer2.conv1")


def test_methods_without_an_adapter_have_no_factors(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path, weights="post"))
    measured = distributions(run, run.test_images(2)[0])
    assert "factors" not in measured
    assert np.abs(measured["weights_quantized"]).max() == 1


def test_the_first_test_images_are_taken(asq_run: FinishedRun) -> None:
    digits = load_dataset("digits")
    images, labels = asq_run.test_images(5)
    np.testing.assert_array_equal(images.numpy(), digits.normalized(digits.test_images[:5]))
    assert labels.tolist() == digits.test_labels[:5].tolist()
    assert len(asq_run.test_images()[0]) == IMAGES < len(digits.test_labels)
    for count in (0, len(digits.test_labels) + 1):
        rule = rf"images must be an integer in 1\.\.451, the test images of digits, got {count}"
        with pytest.raises(ValueError, match=rule):
            asq_run.test_images(count)


def test_batches_are_joined_up_to_the_number_of_images(asq_run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = asq_run.test_images(7)
    monkeypatch.setattr("trainers.finished_run.EVALUATION_BATCH", 3)
    for part, expected in zip(asq_run.test_images(7), whole, strict=True):
        assert torch.equal(part, expected)


def test_both_networks_are_those_of_the_run(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path, weights="pot", seed=3))
    torch.manual_seed(3)
    expected = make_model("digits_resnet").state_dict()
    for name, value in run.full.state_dict().items():
        assert torch.equal(value, expected[name])
    assert torch.equal(run.quantized.get_submodule("conv1").weight, expected["conv1.weight"])  # type: ignore[arg-type]
    assert not run.full.training
    assert not run.quantized.training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "float"}, "holds a float network; a run of a quantized one is needed"),
        ({"init": None}, "started from random weights, so there is no float network to compare it with"),
        ({"progressive": [8]}, "started from a quantized network, so there is no float network"),
        ({"accumulator_bits": 12}, "was trained through product tables or accumulators"),
        ({"multiplier": ["drum"]}, "was trained through product tables or accumulators"),
        ({"init": "elsewhere"}, "no float weights at 'elsewhere'"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = write_run(tmp_path, weights="uniform")
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**record, "config": {**record["config"], **changes}}))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_run(folder)


def test_other_data_and_missing_files_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path, weights="uniform")
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**record, "data_sha256": "0"}))
    with pytest.raises(ValueError, match="was trained on other data than the digits that is here"):
        open_run(folder)
    (folder / QUANTIZED_WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=f"no trained weights in {folder}: it has no model.safetensors"):
        open_run(folder)
    with pytest.raises(FileNotFoundError, match=f"no finished run in {tmp_path}: it has no record.json"):
        open_run(tmp_path)

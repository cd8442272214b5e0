"""Class activation maps: they sum up to the logits, of every network between full and low precision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command import error, run
from figure_checks import cut_or_overlapping
from finished_runs import write_run
from torch import nn

from reports.figures import activation_maps as figure
from trainers.bwrf import BlockReplacement, BwrfConfig
from trainers.finished_run import FinishedRun, open_run
from trainers.layers import QuantLinear
from trainers.measurements.activation_maps import activation_maps, class_weights, first_of_each

NETWORKS = ["full precision", "low precision up to layer1", "low precision up to layer2", "low precision"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs"), weights="post", bits=3)


@pytest.fixture(scope="module")
def opened(folder: Path) -> FinishedRun:
    return open_run(folder)


def test_the_first_image_of_each_class_is_chosen() -> None:
    assert first_of_each(torch.tensor([4, 4, 0, 4, 7, 0])) == [0, 2, 4]


@torch.no_grad()
def test_means_of_maps_and_biases_are_the_logits_of_full_and_mixed_networks(opened: FinishedRun) -> None:
    images, labels = opened.test_images(40)
    measured = activation_maps(opened, images)
    chosen = first_of_each(labels)[:5]
    x, classes = images[chosen], labels[chosen]
    assert measured["networks"].tolist() == NETWORKS
    assert measured["maps"].shape == (4, 5, 2, 2)
    flow = BlockReplacement(opened.quantized.eval(), opened.full, BwrfConfig()).flow(x)
    bias = opened.full.get_submodule("linear").bias
    assert isinstance(bias, torch.Tensor)
    logits = torch.cat([flow.teacher[-1], flow.mixed]).reshape(3, 5, -1)
    expected = torch.stack([logits[:, i, c] - bias[c] for i, c in enumerate(classes)], dim=1)
    np.testing.assert_allclose(measured["maps"][:3].mean((2, 3)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(measured["answers"][:3], logits.argmax(2))
    np.testing.assert_array_equal(measured["answers"][3], opened.quantized(x).argmax(1))
    assert len(np.unique(measured["maps"].round(6), axis=0)) == 4


@torch.no_grad()
def test_the_low_precision_map_is_of_quantized_features_and_weights(opened: FinishedRun) -> None:
    images, labels = opened.test_images(40)
    features: list[torch.Tensor] = []
    hook = opened.quantized.get_submodule("layer3").register_forward_hook(lambda *call: features.append(call[2]))
    chosen = first_of_each(labels)[:5]
    opened.quantized(images[chosen])
    hook.remove()
    layer = opened.quantized.get_submodule("linear")
    assert isinstance(layer, QuantLinear)
    weight = layer.weight_quantizer(layer.weight)
    assert not torch.equal(weight, layer.weight)
    assert torch.equal(class_weights(layer), weight)
    expected = [(weight[c, :, None, None] * features[0][i]).sum(0) for i, c in enumerate(labels[chosen])]
    np.testing.assert_allclose(activation_maps(opened, images)["maps"][3], torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_pictures_are_the_images_before_they_were_normalized(opened: FinishedRun) -> None:
    images, labels = opened.test_images(40)
    raw = next(opened.data.test_batches(40))[0][first_of_each(labels)[:5]]
    scaled = raw / 255 if raw.dtype == np.uint8 else raw
    np.testing.assert_allclose(activation_maps(opened, images)["pictures"], scaled, atol=1e-6)


class Head(nn.Module):
    """A network of two stages and a head of choice."""

    stages = ("one", "two")

    def __init__(self, *head: nn.Module) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.Sequential(*head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        y: torch.Tensor = self.head(self.two(self.one(x)))
        return y


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (lambda: (nn.Flatten(), nn.Linear(256, 10)), r"takes 256 values of \(4, 8, 8\)"),
        (
            lambda: (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 10)),
            "logits are not the means",
        ),
        (lambda: (nn.Conv2d(4, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), r"head\.0 is the last layer"),
    ],
    ids=["no pooling", "something between", "no linear layer"],
)
def test_other_heads_are_refused(opened: FinishedRun, head: Callable[[], Any], found: str) -> None:
    torch.manual_seed(1)
    model = Head(*head()).eval()
    images, _ = opened.test_images(10)
    with pytest.raises(ValueError, match=f"need global average pooling and one linear layer.*{found}"):
        activation_maps(FinishedRun(model, model, opened.data), images)


def arrays(shift: float = 0.0) -> dict[str, Any]:
    """Maps of two images in a float and a low-precision network; the latter errs on the second image."""
    maps = np.array([[[[1.0, 2.0], [3.0, 4.0]]] * 2, [[[-1.0, 8.0], [0.0, 2.0]]] * 2]).reshape(2, 2, 2, 2)
    maps[1] += shift
    return {
        "networks": np.array(["full precision", "low precision"]),
        "maps": maps,
        "answers": np.array([[3, 5], [3, 6]]),
        "classes": np.array([3, 5]),
        "pictures": np.linspace(0, 1, 32).reshape(2, 1, 4, 4),
    }


def test_maps_are_drawn_as_shares_of_the_rows_largest() -> None:
    rows = figure.data({"a": arrays()})
    assert len(rows) == 32 + 16
    drawing = figure.draw(rows)
    panels = np.array(drawing.axes[:6]).reshape(2, 3)
    shown = [np.asarray(panels[0, column].images[-1].get_array()).tolist() for column in (1, 2)]
    assert shown == [[[1 / 8, 2 / 8], [3 / 8, 4 / 8]], [[0, 1], [0, 2 / 8]]]
    np.testing.assert_allclose(panels[1, 0].images[0].get_array(), arrays()["pictures"][1, 0])
    assert [panel.get_title() for panel in panels[0]] == ["image", "full\nprecision", "low precision"]
    assert [panel.get_xlabel() for panel in panels[1]] == ["class 5", "5", "6 (wrong)"]
    assert cut_or_overlapping(drawing) == []


def test_where_nothing_speaks_for_the_class_nothing_is_shown() -> None:
    numbers = arrays(-100)
    numbers["maps"][0] -= 100
    panels = figure.draw(figure.data({"a": numbers})).axes[:6]
    assert not np.asarray(panels[1].images[-1].get_array()).any()


def test_what_runs_share_is_there_once_and_other_images_are_refused() -> None:
    rows = figure.data({"a": arrays(), "b": arrays(0.5)})
    pairs = rows[["run", "network"]].drop_duplicates().itertuples(index=False, name=None)
    assert list(pairs) == [("a", "picture"), ("a", "full precision"), ("a", "low precision"), ("b", "low precision")]
    other = {**arrays(), "pictures": np.zeros((2, 1, 4, 4))}
    with pytest.raises(ValueError, match="the maps of b are of other images than those of a"):
        figure.data({"a": arrays(), "b": other})


def test_the_command_draws_maps_of_runs(folder: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "a.png", tmp_path / "a.csv"
    result = run("figure", "activation-maps", folder, "--images", 20, "--out", out, "--data", data)
    assert result.exit_code == 0, result.stderr
    rows = pd.read_csv(data)
    assert list(rows["network"].unique()) == ["picture", *NETWORKS]
    message = error("figure", "activation-maps", folder, "--layer", "conv1", "--out", out)
    assert message == "the figure activation-maps does not take --layer"

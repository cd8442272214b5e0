"""Networks cut into stages: the stages are the network, and only one tensor crosses a cut."""

import pytest
import torch
from torch import Tensor, nn

from trainers.models import MODELS, make_model
from trainers.quantize import QuantizationConfig, quantize
from trainers.stages import cut, stage_names

IMAGES = {"digits_resnet": (1, 8, 8), "vgg16": (3, 32, 32), "alexnet": (3, 63, 63)}
SMALL = ("digits_resnet", "resnet20", "resnet18", "mobilenetv2")


def in_turn(stages: list[nn.Module], x: Tensor) -> Tensor:
    for stage in stages:
        x = stage(x)
    return x


@pytest.mark.parametrize("name", MODELS)
def test_every_network_declares_stages_that_make_it_up(name: str) -> None:
    device = "cpu" if name in SMALL else "meta"
    with torch.device(device):
        model = make_model(name).eval()
        x = torch.rand(2, *IMAGES.get(name, (3, 32, 32)))
    stages = cut(model, stage_names(model))
    shared = [id(parameter) for stage in stages for parameter in stage.parameters()]
    assert sorted(shared) == sorted(id(parameter) for parameter in model.parameters())
    out = in_turn([*stages], x)
    assert out.shape == model(x).shape
    assert device == "meta" or torch.equal(out, model(x))


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet50", ("layer1", "layer2", "layer3", "layer4")),
        ("mobilenetv2", ("features.1", "features.3", "features.6", "features.13", "features.17")),
        ("vgg16", ("features.4", "features.9", "features.16", "features.23", "features.30")),
    ],
)
def test_own_stages_end_where_the_image_shrinks(name: str, stages: tuple[str, ...]) -> None:
    with torch.device("meta"):
        model = make_model(name)
        x = torch.rand(1, 3, 64, 64)
    assert stage_names(model) == stages
    sizes = []
    for stage in cut(model, stages)[:-1]:
        x = stage(x)
        sizes.append(x.shape[-1])
    assert sizes == sorted(set(sizes), reverse=True)


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["layer1.0", "layer1.1"], ["conv1", "layer1.0.bn2"]),
        (["relu1", "layer3"], ["conv1", "relu1"]),
        (["layer3", "linear"], ["conv1", "layer3.2.bn2"]),
    ],
)
def test_users_may_name_any_modules(names: list[str], first: list[str]) -> None:
    model = make_model("resnet20").eval()
    x = torch.rand(2, 3, 32, 32)
    stages = cut(model, stage_names(model, names))
    assert len(stages) == 2
    assert set(first) <= {name for name, _ in stages[0].named_modules()}
    assert "linear" in {name for name, _ in stages[1].named_modules()}
    assert torch.equal(in_turn([*stages], x), model(x))


def test_a_quantized_network_is_cut_at_the_same_places() -> None:
    model, x = make_model("digits_resnet"), torch.rand(8, 1, 8, 8)
    quantized = quantize(model, QuantizationConfig(), x)
    stages = cut(quantized, stage_names(model))
    quantized.eval()  # reaches the stages' modules, which are the network's own
    assert torch.equal(in_turn([*stages], x), quantized(x))


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (
            ["layer1.0.conv1", "layer2"],
            r"cannot cut after 'layer1\.0\.conv1': 2 tensors cross there, only one may.*residual connection "
            r"\(the output of relu1, read by add in layer1\.0; "
            r"the output of layer1\.0\.conv1, read by layer1\.0\.bn1\)",
        ),
        (["layer2.0.shortcut", "layer3"], r"cannot cut after 'layer2\.0\.shortcut': 2 tensors cross there"),
        (["layr1", "layer2"], "unknown stage 'layr1'; did you mean 'layer1'"),
        (["layer2", "layer1"], "'layer1' does not end after 'layer2'"),
        (["layer1", "layer1.2.relu2"], r"'layer1\.2\.relu2' does not end after 'layer1'"),
        (["layer1"], "at least two stages, got layer1"),
    ],
)
def test_cuts_that_cannot_be_are_refused(names: list[str], rule: str) -> None:
    model = make_model("resnet20")
    with pytest.raises(ValueError, match=rule):
        cut(model, stage_names(model, names))


class LateInput(nn.Module):
    """A network that adds its input at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, 3]`."""
        out: Tensor = self.second(self.first(x)) + x
        return out


def test_the_input_may_not_cross_either() -> None:
    with pytest.raises(ValueError, match=r"2 tensors cross there.*the output of x, read by add; the output of first"):
        cut(LateInput(), ["first", "second"])


def test_a_network_without_stages_needs_names() -> None:
    with pytest.raises(ValueError, match="LateInput declares no stages; name the modules"):
        stage_names(LateInput())

"""Networks: counts, names, shapes."""

import pytest
import torch
from torch import nn

from trainers.graph import trace, weighted_layers
from trainers.models import MODELS, make_model
from trainers.models.residual import ZeroPadShortcut


@pytest.mark.parametrize(
    ("name", "options", "parameters", "image"),
    [
        ("digits_resnet", {}, 1_320, (1, 8, 8)),
        ("digits_resnet", {"blocks": 2}, 2_888, (1, 8, 8)),
        ("digits_resnet", {"shortcut": "B"}, 1_384, (1, 8, 8)),
        ("digits_resnet", {"widths": [16, 32, 64]}, 75_002, (1, 8, 8)),
        ("resnet20", {}, 269_722, (3, 32, 32)),
        ("resnet20", {"shortcut": "B"}, 272_474, (3, 32, 32)),
        ("resnet20", {"classes": 100}, 275_572, (3, 32, 32)),
        ("resnet32", {}, 464_154, (3, 32, 32)),
        ("resnet32", {"shortcut": "B"}, 466_906, (3, 32, 32)),
        ("resnet44", {}, 658_586, (3, 32, 32)),
        ("resnet44", {"shortcut": "B"}, 661_338, (3, 32, 32)),
        ("resnet56", {}, 853_018, (3, 32, 32)),
        ("resnet56", {"shortcut": "B"}, 855_770, (3, 32, 32)),
        ("vgg_small", {}, 4_660_106, (3, 32, 32)),
        ("resnet18", {}, 11_689_512, (3, 64, 64)),
        ("resnet34", {}, 21_797_672, (3, 64, 64)),
        ("resnet50", {}, 25_557_032, (3, 64, 64)),
        ("mobilenetv2", {}, 3_504_872, (3, 64, 64)),
        ("vgg16", {}, 138_357_544, (3, 64, 64)),
        ("alexnet", {}, 61_100_840, (3, 64, 64)),
    ],
)
def test_parameters_and_output(name: str, options: dict[str, object], parameters: int, image: tuple[int, ...]) -> None:
    with torch.device("meta"):
        model = make_model(name, **options).eval()
        out = model(torch.zeros(2, *image))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert out.shape == (2, options.get("classes", 10 if image[-1] < 64 else 1000))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_traces_to_known_steps(name: str) -> None:
    with torch.device("meta"):
        model = make_model(name)
    weighted = [layer for layer, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert sorted(weighted_layers(model)) == sorted(weighted)


@pytest.mark.parametrize("name", ["digits_resnet", "resnet20"])
def test_small_networks_have_the_usual_layers(name: str) -> None:
    model = make_model(name)
    assert weighted_layers(model)[0] == "conv1"
    assert weighted_layers(model)[-1] == "linear"
    leaves = {type(model.get_submodule(str(n.target))) for n in trace(model).nodes if n.op == "call_module"}
    assert ZeroPadShortcut in leaves


def test_state_dict_names_are_the_usual_ones() -> None:
    names = set(make_model("resnet20").state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer3.2.bn2.bias", "linear.bias"} <= names
    assert len(names) == 19 + 19 * 5 + 2


def test_zero_pad_shortcut_drops_pixels_and_adds_channels() -> None:
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    out = ZeroPadShortcut(2, 1, 3)(x)
    assert out.shape == (1, 6, 2, 2)
    assert torch.equal(out[:, 1:3], x[:, :, ::2, ::2])
    assert not out[:, :1].any()
    assert not out[:, 3:].any()


def test_bad_requests_name_rule_and_value() -> None:
    with pytest.raises(ValueError, match="unknown model 'resnet_20'; did you mean 'resnet20'"):
        make_model("resnet_20")
    with pytest.raises(ValueError, match="unknown option of model digits_resnet 'width'; did you mean 'widths'"):
        make_model("digits_resnet", width=3)
    with pytest.raises(ValueError, match="shortcut must be one of A, B, got 'C'"):
        make_model("resnet20", shortcut="C")
    with pytest.raises(ValueError, match="blocks must be at least 1, got 0"):
        make_model("digits_resnet", blocks=0)
    with pytest.raises(ValueError, match=r"widths must be positive and not decrease, got \[4, 2\]"):
        make_model("digits_resnet", widths=[4, 2])


class Unusual(nn.Module):
    """A network whose path depends on its data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` or its negative."""
        return x if x.sum() > 0 else -x


def test_untraceable_and_unknown_steps_are_named() -> None:
    with pytest.raises(ValueError, match="cannot trace Unusual"):
        trace(Unusual())
    with pytest.raises(ValueError, match=r"cannot handle module '1' \(GELU\)"):
        trace(nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU()))
    with pytest.raises(ValueError, match="padding_mode must be 'zeros', '0' has 'reflect'"):
        trace(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")))
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="layer '0' runs 2 times"):
        weighted_layers(nn.Sequential(shared, nn.ReLU(), shared))

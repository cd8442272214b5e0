"""Functions and methods between layers are the modules that do the same; what would be lost is refused by name."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from hwsim.nodes import Add, AvgPool, Concat, Flatten, MaxPool, Relu
from trainers.export import export
from trainers.promises import check_export
from trainers.quantize import QuantizationConfig, quantize

IMAGES = torch.rand(16, 2, 6, 6, generator=torch.Generator().manual_seed(0)) - 0.3


class Network(nn.Module):
    """A convolution, some step, a pooling over the image, and a classifier."""

    def __init__(self, step: Callable[[Tensor], Tensor], channels: int = 4) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(channels, 3)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 3)."""
        result: Tensor = self.last(self.step(self.first(x)).mean((2, 3)))
        return result


STEPS = [
    (functional.relu, Relu, 4),
    (torch.relu, Relu, 4),
    (lambda x: x.relu(), Relu, 4),
    (lambda x: torch.add(x, x), Add, 4),
    (lambda x: x.add(x), Add, 4),
    (lambda x: functional.max_pool2d(x, 2), MaxPool, 4),
    (lambda x: functional.avg_pool2d(x, 3, stride=1), AvgPool, 4),
    (lambda x: functional.adaptive_avg_pool2d(x, 1), AvgPool, 4),
    (lambda x: torch.cat([x, functional.relu(x)], 1), Concat, 8),
    (lambda x: torch.cat((functional.relu6(x), x), dim=1), Concat, 8),
    (lambda x: torch.cat(tensors=[x, x], dim=1), Concat, 8),
    (lambda x: torch.add(x, other=x), Add, 4),
    (lambda x: torch.add(input=x, other=x), Add, 4),
]


@pytest.mark.parametrize(("step", "kind", "channels"), STEPS)
def test_a_function_becomes_the_node_of_its_module(step: Callable[[Tensor], Tensor], kind: type, channels: int) -> None:
    model = quantize(Network(step, channels).eval(), QuantizationConfig(bits=8), IMAGES).eval()
    network = export(model, (2, 6, 6))
    assert any(isinstance(node, kind) for node in network.nodes)
    assert any(isinstance(node, Flatten) for node in network.nodes)
    check = check_export(model, network, IMAGES, torch.zeros(16, dtype=torch.int64))
    assert (check.agreeing, check.laws_hold) == (16, True)
    assert all(layer.codes_differing <= 0.02 * layer.codes for layer in check.layers)


class Pooled(nn.Module):
    """A network that makes vectors of images of one pixel by some step."""

    def __init__(self, flat: Callable[[Tensor], Tensor], size: int = 1) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.flat, self.size = flat, size
        self.first, self.last = nn.Conv2d(2, 4, 3), nn.Linear(4 * size * size, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 3)."""
        result: Tensor = self.last(self.flat(functional.adaptive_avg_pool2d(self.first(x), self.size)))
        return result


def unpacked(x: Tensor) -> Tensor:
    """Make vectors as is done where all sizes are asked for."""
    n, _, _, _ = x.shape
    return x.view(n, -1)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(
    "flat",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape((x.shape[0], -1)),
        lambda x: torch.reshape(x, (x.size()[0], -1)),
        unpacked,
        lambda x: x.squeeze(),
        lambda x: x.squeeze(-1).squeeze(-1),
        lambda x: torch.squeeze(torch.squeeze(x, 3), dim=2),
        lambda x: x.squeeze((2, 3)),
    ],
)
def test_vectors_are_made_as_flatten_makes_them(flat: Callable[[Tensor], Tensor], size: int) -> None:
    float_model = Pooled(flat, size)
    if size > 1 and flat(torch.ones(3, 4, 2, 2)).dim() > 2:
        float_model.last = nn.Linear(2, 3)  # what torch takes then
        with pytest.raises(ValueError, match=r"squeeze 'squeeze' must take images of one pixel, got \(2, 2\)"):
            quantize(float_model, QuantizationConfig(), IMAGES)
        return
    model = quantize(float_model, QuantizationConfig(bits=8), IMAGES).eval()
    network = export(model, (2, 6, 6))
    assert sum(isinstance(node, Flatten) for node in network.nodes) == 1
    assert check_export(model, network, IMAGES, torch.zeros(16, dtype=torch.int64)).agreeing == 16


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (lambda x: x.view(x.size(1), -1), "size"),
        (lambda x: x.view(x.size(0), 4, -1), "size"),
        (lambda x: x.view(x.size(0), 144), "size"),
        (lambda x: x.squeeze(1), "squeeze"),
        (lambda x: torch.cat([x, x], 2), "cat"),
        (lambda x: torch.add(x, x, alpha=2), "add"),
        (torch.sigmoid, "sigmoid"),
        (lambda x: x.mean(1, keepdim=True), "mean"),
        (lambda x: x * 2, "mul"),
    ],
)
def test_other_functions_are_refused_by_name(step: Callable[[Tensor], Tensor], name: str) -> None:
    with pytest.raises(ValueError, match=f"cannot handle the step '{name}'"):
        quantize(Network(step), QuantizationConfig(), IMAGES)


class Negated(nn.ReLU):
    """Not what its class stands for."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the negative."""
        return -functional.relu(input)


class Standardized(nn.Conv2d):
    """A convolution with other weights than it stores."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution with weights of mean 0."""
        return functional.conv2d(input, self.weight - self.weight.mean(), self.bias)


def hooked() -> nn.Module:
    layer = nn.Conv2d(2, 4, 1)
    layer.register_forward_hook(lambda module, inputs, output: output * 2)
    return layer


@pytest.mark.parametrize(
    ("layer", "error"),
    [
        (Standardized(2, 4, 1), r"cannot handle module '0' \(Standardized\)|cannot handle the step"),
        (hooked(), "'0' has forward hooks"),
        (weight_norm(nn.Conv2d(2, 4, 1)), "'0' has a parametrization|cannot handle module '0'"),
        (nn.Sequential(nn.Conv2d(2, 4, 1), Negated()), "cannot handle the step|Negated"),
    ],
    ids=["forward", "hook", "parametrization", "glue"],
)
def test_what_would_be_lost_is_refused(layer: nn.Module, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        quantize(nn.Sequential(layer, nn.Flatten(), nn.Linear(144, 3)), QuantizationConfig(), IMAGES)

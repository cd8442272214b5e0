"""What export refuses, by name: steps that have no integer form, and values that no hardware has."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from export_models import SHAPE, quantized, random_images, random_model
from torch import Tensor, nn

from hwsim.engines import simulate
from trainers.export import ExportConfig, export
from trainers.geometry import padding_of
from trainers.layers import quant_layers
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers.pot import PotQuantizer


class Steps(nn.Module):
    """A convolution and whatever a test puts behind it."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        """Run everything in order."""
        for module in self.children():
            x = module(x)
        return x


class NormOfSum(Steps):
    """A batch norm behind an addition."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the batch norm of twice the convolution."""
        y = self.conv(x)
        out: Tensor = self.get_submodule("norm")(y + y)
        return out


class NormOfShared(Steps):
    """A batch norm behind a convolution that something else reads, too."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution plus its batch norm."""
        y = self.conv(x)
        out: Tensor = y + self.get_submodule("norm")(y)
        return out


class PlusConstant(Steps):
    """A constant added."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution plus one."""
        out: Tensor = self.conv(x) + 1.0
        return out


class EarlyResult(Steps):
    """The result is not what the last step makes."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution, not its ReLU."""
        y: Tensor = self.conv(x)
        self.get_submodule("relu")(y)
        return y


class TwoResults(Steps):
    """Two results."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return the convolution twice."""
        y = self.conv(x)
        return y, y


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NormOfSum(norm=nn.BatchNorm2d(4)), "batch norm 'norm' must follow a quantized layer that nothing else reads"),
        (
            NormOfShared(norm=nn.BatchNorm2d(4)),
            "batch norm 'norm' must follow a quantized layer that nothing else reads",
        ),
        (Steps(relu=nn.ReLU(), norm=nn.BatchNorm2d(4)), "batch norm 'norm' must follow a quantized layer"),
        (
            Steps(norm=nn.BatchNorm2d(4, track_running_stats=False)),
            "layer 'conv': a batch norm without running statistics cannot be folded",
        ),
        (
            Steps(pool=nn.AdaptiveAvgPool2d((4, 1))),
            r"adaptive pooling 'pool' must divide its input \(6, 6\) evenly, got \(4, 1\)",
        ),
        (Steps(pool=nn.AdaptiveAvgPool2d((None, 5))), r"adaptive pooling 'pool' must divide .* got \(None, 5\)"),
        (Steps(relu=nn.ReLU(), same=nn.Conv2d(4, 2, 2, padding="same")), "layer 'same': padding='same' of a kernel"),
        (Steps(linear=nn.Linear(6, 3)), r"node 'linear' takes shape \(6,\), got \(4, 6, 6\)"),
        (Steps(long=nn.Conv2d(4, 1, (1, 3)), linear=nn.Linear(4, 3)), "node 'linear' takes shape"),
        (Steps(pool=nn.MaxPool2d(2, ceil_mode=True)), "max pooling 'pool' must have dilation 1 and ceil_mode off"),
        (Steps(pool=nn.MaxPool2d(2, dilation=2)), "max pooling 'pool' must have dilation 1 and ceil_mode off"),
        (Steps(pool=nn.AvgPool2d(2, ceil_mode=True)), "average pooling 'pool' must divide by its kernel's size"),
        (Steps(pool=nn.AvgPool2d(2, divisor_override=3)), "average pooling 'pool' must divide by its kernel's size"),
        (Steps(pool=nn.AvgPool2d(2, padding=1, count_include_pad=False)), "average pooling 'pool' must divide"),
        (Steps(flatten=nn.Flatten(2)), "flatten 'flatten' must join dimensions 1 to -1, got 2 to -1"),
        (PlusConstant(), "step 'add' takes tensors, got the constant 1.0"),
        (EarlyResult(relu=nn.ReLU()), "must return what its last step makes, 'relu', got conv"),
        (TwoResults(), "must return what its last step makes, 'conv.rescale', got"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_what_has_no_integer_form_is_refused_by_name_before_training(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantize(model.eval(), QuantizationConfig(), random_images(), verbose=False)


@pytest.mark.parametrize("size", [(2, 3), (None, 1), 6, 1])
def test_adaptive_pooling_into_even_windows_is_exported(size: Any) -> None:
    model = quantize(Steps(pool=nn.AdaptiveAvgPool2d(size)).eval(), QuantizationConfig(), random_images()).eval()
    network = export(model, SHAPE)
    expected = model(random_images()).detach().double()
    outputs = (
        torch.from_numpy(simulate(network, random_images().numpy()).outputs).double() * 2.0**-network.datapath.frac_bits
    )
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-4)


def test_float_layers_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"module '0' \(Conv2d\) has no integer form"):
        export(random_model("plain"), SHAPE)


def test_activations_that_no_multiplier_takes_are_refused_by_name() -> None:
    model = quantized("linear_only", "uniform")
    layer = quant_layers(model)["3"]
    layer.activation_quantizer = PotQuantizer("activations", 4)
    with pytest.raises(ValueError, match="layer '3': activations of pot levels; the multipliers take integer ones"):
        export(model, SHAPE)


def test_numbers_that_are_not_finite_are_refused_by_name() -> None:
    for value in (float("nan"), float("inf")):
        model = quantized("plain", "uniform")
        layer = quant_layers(model)["4"]
        assert layer.bias is not None
        layer.bias.data[1] = value
        with pytest.raises(ValueError, match="layer '4': its bias or its batch norm is not finite"):
            export(model, SHAPE)


def test_padding_by_name() -> None:
    def conv(size: Any, padding: str, dilation: int = 1) -> nn.Conv2d:
        return nn.Conv2d(1, 1, size, padding=padding, dilation=dilation)

    assert padding_of("c", conv((3, 5), "same", 2)) == (2, 4)
    assert padding_of("c", conv((2, 4), "same", 2)) == (1, 3)
    assert padding_of("c", conv(3, "valid")) == (0, 0)
    with pytest.raises(ValueError, match=r"layer 'c': padding='same' of a kernel of \(2, 3\) is not symmetric"):
        padding_of("c", conv((2, 3), "same"))


def test_export_config_names_rule_and_value() -> None:
    with pytest.raises(ValueError, match="unknown rounding 'half-up'; did you mean 'half_up'"):
        ExportConfig(rounding="half-up")
    with pytest.raises(ValueError, match=r"multiplier_bits must be in 8\.\.31, got 32"):
        replace(ExportConfig(), multiplier_bits=32)

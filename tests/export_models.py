"""Small networks for the tests of export, one for each thing that export must handle; and quantized forms of them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainers.layers import quant_layers
from trainers.models.digits_resnet import digits_resnet
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers.step import StepQuantizer

SHAPE = (2, 8, 8)
IMAGES = 16


def residual(shortcut: str) -> nn.Module:
    """Return the digits' network with one of the parameter-free (A) or convolutional (B) shortcuts."""
    return digits_resnet((4, 6, 8), channels=2, shortcut=shortcut)


def plain() -> nn.Module:
    """Return convolutions of every kind: bias, groups, dilation, stride, padding by name, pooling, no batch norm."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=(1, 2), padding=1),
        nn.Dropout(),
        nn.Conv2d(4, 6, (3, 1), groups=2, dilation=(2, 1), padding=(2, 0)),
        nn.Identity(),
        nn.ReLU6(),
        nn.AvgPool2d(2, padding=1),
        nn.Conv2d(6, 4, (1, 2), stride=(2, 1), padding="valid", bias=False),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 8, 1, groups=4),
        nn.BatchNorm2d(8, affine=False),
        nn.Flatten(),
        nn.Linear(48, 5),
    )


def linear_only() -> nn.Module:
    """Return a multilayer perceptron; one layer has no bias."""
    return nn.Sequential(nn.Flatten(), nn.Linear(128, 12), nn.ReLU(), nn.Linear(12, 7, bias=False), nn.Linear(7, 5))


class Sharing(nn.Module):
    """One tensor read by two layers, a tensor added to itself, and modules that run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(2, 4, 3, padding=1)
        self.right = nn.Conv2d(2, 4, 1)
        self.after = nn.Conv2d(4, 4, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        y = self.pool(input=self.relu(self.left(x) + self.right(x)))
        y = self.relu(self.norm(self.after(y)) + y)
        y = y + y
        out: Tensor = self.linear(self.flatten(self.pool(y)))
        return out


MODELS: dict[str, Callable[[], nn.Module]] = {
    "residual_a": lambda: residual("A"),
    "residual_b": lambda: residual("B"),
    "plain": plain,
    "linear_only": linear_only,
    "sharing": Sharing,
}


def random_model(name: str, seed: int = 0) -> nn.Module:
    """Return a float network in eval mode with random batch norms: some gammas negative, one zero."""
    torch.manual_seed(seed)
    model = MODELS[name]().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            randomize(module)
    return model


@torch.no_grad()
def randomize(norm: nn.BatchNorm2d) -> None:
    """Give a batch norm statistics, and a gamma and beta if it has them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_(0, 0.3)
    norm.running_var.uniform_(0.3, 2)
    if norm.affine:
        norm.weight.normal_(0.5, 0.7)
        norm.weight[0] = -norm.weight[0].abs()
        norm.weight[-1] = 0
        norm.bias.normal_(0.3, 0.2)


def random_images(seed: int = 0, signed: bool = False) -> Tensor:
    """Return images in 0..1, or around zero."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(IMAGES, *SHAPE, generator=generator)
    return 2 * x - 1 if signed else x


def quantized(name: str, weights: str, bits: int = 4, seed: int = 0, signed: bool = False) -> nn.Module:
    """Return a random network of that name, quantized, in eval mode."""
    config = QuantizationConfig(weights=weights, bits=bits)
    return quantize(random_model(name, seed), config, random_images(seed, signed)).eval()


@torch.no_grad()
def dyadic(name: str, weights: str, seed: int = 0) -> nn.Module:
    """Return a quantized network all of whose numbers are short binary fractions.

    Then float32 computes without rounding, 16 fraction bits hold every value, and so do rescaling multipliers.
    """
    model = quantized(name, weights, 3, seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            make_dyadic(module)
    for layer in quant_layers(model).values():
        layer.weight.copy_((layer.weight * 32).round() / 32)
        for quantizer in (layer.weight_quantizer, layer.activation_quantizer):
            assert isinstance(quantizer, StepQuantizer)
            quantizer.step.copy_(2.0 ** quantizer.step.log2().round().clamp(min=-8))
        if layer.bias is not None:
            layer.bias.copy_((layer.bias * 64).round() / 64)
    return model


@torch.no_grad()
def make_dyadic(norm: nn.BatchNorm2d) -> None:
    """Give a batch norm a gain of 2^n or -2^n or 0, and short offsets."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.eps = 0.0
    norm.running_var.copy_(4.0 ** norm.running_var.log2().round().clamp(-1, 1))
    norm.running_mean.copy_((norm.running_mean * 16).round() / 16)
    if norm.affine:
        norm.weight.copy_(norm.weight.sign() * 2.0 ** norm.weight.abs().log2().round().clamp(-2, 1))
        norm.bias.copy_((norm.bias * 16).round() / 16)


def dyadic_images(seed: int = 0) -> Tensor:
    """Return images in sixteenths."""
    return (random_images(seed) * 16).round() / 16

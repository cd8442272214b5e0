"""Convolution and linear layers that quantize their input and their weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.quantizers import Quantizer


class QuantConv2d(nn.Conv2d):
    """A convolution between quantized activations and quantized weights; the bias stays in float."""

    def __init__(self, conv: nn.Conv2d, weights: Quantizer, activations: Quantizer) -> None:
        """Take over the settings and the parameters of `conv`."""
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]  # torch types a pair as a tuple of any length
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            padding_mode=conv.padding_mode,
            device="meta",  # no memory and no random numbers for parameters that are replaced
        )
        self.weight = conv.weight
        self.bias = conv.bias
        self.weight_quantizer = weights
        self.activation_quantizer = activations

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, K, OY, OX]`."""
        weight = in_float32(self.weight_quantizer, self.weight)
        out: Tensor = self._conv_forward(in_float32(self.activation_quantizer, x), weight, self.bias)
        return out


class QuantLinear(nn.Linear):
    """A linear layer between quantized activations and quantized weights; the bias stays in float."""

    def __init__(self, linear: nn.Linear, weights: Quantizer, activations: Quantizer) -> None:
        """Take over the settings and the parameters of `linear`."""
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight = linear.weight
        self.bias = linear.bias
        self.weight_quantizer = weights
        self.activation_quantizer = activations

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, K]`."""
        weight = in_float32(self.weight_quantizer, self.weight)
        return functional.linear(in_float32(self.activation_quantizer, x), weight, self.bias)


QuantLayer = QuantConv2d | QuantLinear


def in_float32(quantizer: Quantizer, x: Tensor) -> Tensor:
    """Return the quantizer's output, computed as it is even where convolutions are done in bfloat16."""
    device = x.device.type
    if not torch.is_autocast_enabled(device):
        return quantizer(x)  # type: ignore[no-any-return]
    with torch.autocast(device, enabled=False):
        return quantizer(x.float())  # type: ignore[no-any-return]


def quant_layers(model: nn.Module) -> dict[str, QuantLayer]:
    """Return the quantized layers of a model by name, in the order of registration."""
    return {name: module for name, module in model.named_modules() if isinstance(module, QuantLayer)}


def followed_values(model: nn.Module) -> dict[str, float]:
    """Return what the quantizers let a record follow (`Quantizer.followed`), as `learned/<layer>/<role>/<name>`."""
    return {
        f"learned/{layer}/{quantizer.role}/{name}": value
        for layer, module in quant_layers(model).items()
        for quantizer in (module.weight_quantizer, module.activation_quantizer)
        for name, value in quantizer.followed().items()
    }

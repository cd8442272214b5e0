"""Training through the hardware: forward with the simulated products and registers, backward straight through.

A quantized layer's output becomes what its circuit would compute: products from a table, sums in a register that wraps
or saturates. Its gradient stays that of the exact layer (the straight-through estimator, Bengio et al.,
arXiv:1308.3432), so that the weights learn to live with the circuit's errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.accumulator import Accumulator
from hwsim.engines.compiled import compiled_layer
from hwsim.engines.elementwise import wrap
from hwsim.formats import Uniform
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.multipliers.custom_files import named_table
from hwsim.nodes import Conv, Linear, Matmul
from trainers.export import activation_format
from trainers.geometry import padding_of, pair
from trainers.layers import QuantLayer, QuantLinear, quant_layers


@dataclass(frozen=True)
class Hardware:
    """The circuit that a network is trained for."""

    table: str | None = None  #: Product table of the uniform layers: a file or an example's name; None: exact products.
    accumulator: Accumulator = field(default_factory=lambda: Accumulator(62, "wrap"))  #: Register of every layer.

    def multiplier(self, name: str, layer: QuantLayer) -> Multiplier:
        """Return the circuit that multiplies in a layer."""
        weight, activation = layer.weight_quantizer.format, activation_format(name, layer)
        if self.table is None or not isinstance(weight, Uniform):
            return multiplier_for(weight, activation)
        return named_table(self.table, weight, activation)


@contextmanager
def on_hardware(model: nn.Module, hardware: Hardware) -> Iterator[None]:
    """Let every quantized layer of the model compute as the hardware does, until the block ends.

    Raises:
        ValueError: a table that does not fit a layer; the message says which size it has.
    """
    handles = [
        layer.register_forward_hook(_Simulation(name, layer, hardware)) for name, layer in quant_layers(model).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Simulation:
    """A hook that replaces one layer's output by the simulated one and leaves its gradient."""

    def __init__(self, name: str, layer: QuantLayer, hardware: Hardware) -> None:
        self.name, self.hardware = name, hardware
        self.multiplier = hardware.multiplier(name, layer)

    def __call__(self, layer: QuantLayer, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Return the simulated output, with the gradient of the exact one."""
        with torch.no_grad():
            difference = self.simulated(layer, inputs[0]) - output
        return output + difference

    def simulated(self, layer: QuantLayer, x: Tensor) -> Tensor:
        """Return what the hardware's registers stand for, and the bias."""
        node, kernel_codes = self.node(layer), layer.activation_quantizer.codes(x).numpy()
        last = kernel_codes.transpose(0, 2, 3, 1) if kernel_codes.ndim == 4 else kernel_codes
        kernel = compiled_layer(node)
        sums, _ = kernel(np.ascontiguousarray(last).astype(np.uint16))
        if kernel.wrap_bits is not None:
            wrap(sums, kernel.wrap_bits)
        registers = torch.from_numpy(sums).double()
        first = registers.permute(0, 3, 1, 2) if registers.ndim == 4 else registers
        scale = (layer.weight_quantizer.scale * layer.activation_quantizer.scale).double().reshape(-1)
        shape = (1, -1) + (1,) * (first.ndim - 2)
        real = first * scale.reshape(shape) * self.multiplier.unit
        return (real if layer.bias is None else real + layer.bias.reshape(shape)).float()

    def node(self, layer: QuantLayer) -> Matmul:
        """Return the layer as the simulator knows it, with the weights of this moment."""
        weight = layer.weight_quantizer.codes(layer.weight).numpy()
        accumulator, inputs = self.hardware.accumulator, ("codes",)
        if isinstance(layer, QuantLinear):
            return Linear(self.name, inputs, weight=weight, multiplier=self.multiplier, accumulator=accumulator)
        return Conv(
            self.name,
            inputs,
            weight=weight,
            multiplier=self.multiplier,
            accumulator=accumulator,
            stride=pair(layer.stride),
            padding=padding_of(self.name, layer),
            dilation=pair(layer.dilation),
            groups=layer.groups,
        )

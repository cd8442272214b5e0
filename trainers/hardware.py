"""Training through the hardware: forward with the simulated products and registers, backward straight through.

A quantized layer's output becomes what its circuit would compute: products from a table, sums in a register that wraps
or saturates. Its gradient stays that of the exact layer (the straight-through estimator, Bengio et al.,
arXiv:1308.3432), so that the weights learn to live with the circuit's errors.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.accumulator import Accumulator
from hwsim.choices import parse_choices
from hwsim.engines.compiled import compiled_layer
from hwsim.engines.elementwise import wrap
from hwsim.multipliers.custom_files import table_file
from hwsim.multipliers.examples import EXAMPLES
from hwsim.nodes import Conv, Linear, Matmul
from trainers.config import TrainConfig
from trainers.export import ExportConfig, layer_multiplier
from trainers.geometry import padding_of, pair
from trainers.layers import QuantLayer, QuantLinear, quant_layers
from trainers.run_folder import file_sha256

EXACT = Accumulator(62, "wrap")


def export_config(config: TrainConfig) -> ExportConfig:
    """Return the hardware that a run is exported to."""
    return ExportConfig(
        fraction_bits=config.fraction_bits,
        layout=config.layout,
        accumulator_bits=config.accumulator_bits,
        overflow=config.overflow or "error",
        tables=config.multiplier or (),
    )


def as_trained(model: nn.Module, config: TrainConfig) -> AbstractContextManager[None]:
    """Let the model compute as it does while it is trained: through the run's tables and accumulators, if it has any.

    Raises:
        FileNotFoundError, ValueError: as `on_hardware`.
    """
    return on_hardware(model, export_config(config)) if config.hardware else nullcontext()


def table_hashes(config: TrainConfig) -> dict[str, str | None]:
    """Return the SHA-256 of each file that holds a table of the run, as `table NAME`.

    Raises:
        FileNotFoundError, ValueError: there is no such table.
    """
    names = {choice.value for choice in parse_choices(config.multiplier or ())} - set(EXAMPLES)
    files = {name: Path(file) if (file := name.rpartition(":")[0]) else table_file(name) for name in sorted(names)}
    return {f"table {name}": file_sha256(file) for name, file in files.items()}


@contextmanager
def on_hardware(model: nn.Module, config: ExportConfig) -> Iterator[None]:
    """Let every quantized layer of the model compute as the hardware it is exported to does, until the block ends.

    An accumulator that wraps or saturates does so here; one that refuses overflow sums exactly.

    Raises:
        FileNotFoundError, ValueError: a table that there is not, or that does not fit a layer, which the message names.
    """
    layers = quant_layers(model)
    handles = [layer.register_forward_hook(_Simulation(name, layer, config)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Simulation:
    """A hook that replaces one layer's output by the simulated one and leaves its gradient."""

    def __init__(self, name: str, layer: QuantLayer, config: ExportConfig) -> None:
        self.name = name
        self.multiplier = layer_multiplier(name, layer, config)
        bits = None if config.overflow == "error" else config.accumulator_bits
        self.accumulator = EXACT if bits is None else Accumulator(bits, config.overflow)

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
        shape = (1, -1) + (1,) * (first.ndim - 2)
        scale = layer.weight_quantizer.scale.double().reshape(shape) * layer.activation_quantizer.scale_for(x).double()
        real = first * scale * self.multiplier.unit
        return (real if layer.bias is None else real + layer.bias.reshape(shape)).float()

    def node(self, layer: QuantLayer) -> Matmul:
        """Return the layer as the simulator knows it, with the weights of this moment."""
        weight = layer.weight_quantizer.codes(layer.weight).numpy()
        accumulator, inputs = self.accumulator, ("codes",)
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

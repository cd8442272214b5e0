"""The engine for GPUs: plain torch operations, each layer a floating-point convolution that was seen to be exact.

Operations are the same on every device, so that tests run them on the CPU. Tensors have their channels first; codes and
fixed point are integers, and rescaling multiplies in 64 bits.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.arithmetic import IntArray, Requantizer, register_range
from hwsim.engines import reference
from hwsim.engines.bounds import overflow_excluded
from hwsim.engines.device_layers import device_layer
from hwsim.engines.simulate import Run
from hwsim.network import Network
from hwsim.nodes import (
    Add,
    AvgPool,
    Clip,
    Concat,
    Flatten,
    Input,
    Matmul,
    MaxPool,
    Node,
    PadChannels,
    Pool,
    Quantize,
    Relu,
    Rescale,
    Threshold,
)

Counts = dict[str, Tensor]  #: Overflows by node, still on the device.


def prepare(network: Network, kept: Collection[str] = (), device: str = "cuda") -> "DeviceEngine":
    """Return the engine for a network: weights on the device, each layer's path chosen.

    Raises:
        ValueError: torch sees no such device, or a layer has no exact path; the message names it.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError("the cuda engine needs a CUDA device, and torch sees none; the tensor engine runs on the CPU")
    return DeviceEngine(network, kept, torch.device(device))


class DeviceEngine:
    """Runs a network's nodes in order on one device; `kept` names the tensors that the caller wants to see."""

    def __init__(self, network: Network, kept: Collection[str], device: torch.device) -> None:
        self.network, self.kept, self.device = network, set(kept), device
        self.layers = {node.name: device_layer(node, device) for node in network.layers}
        self.paths = {name: layer.path for name, layer in self.layers.items()}
        self.last_reader = {name: node for node in network.nodes for name in node.inputs}
        self.constants = {node.name: _constants(node, device) for node in network.nodes}

    @torch.no_grad()
    def run(self, images: NDArray[np.float64]) -> Run:
        """Return the kept tensors of one batch of images, on the device; the others are dropped once read."""
        values: dict[str, Tensor] = {self.network.input.name: torch.from_numpy(images).to(self.device)}
        counts: Counts = {}
        for node in self.network.nodes:
            operands = [values[name] for name in node.inputs or (node.name,)]
            values[node.name] = self._compute(node, operands, counts)
            for name in node.inputs:
                if self.last_reader[name] is node and name not in self.kept:
                    values.pop(name, None)
        run = Run(dict(values))
        run.overflows.update({name: int(count) for name, count in counts.items()})
        return run

    def to_numpy(self, value: Tensor) -> IntArray:
        """Return a copy of a tensor as int64."""
        return np.array(value.cpu().numpy(), dtype=np.int64)

    def _compute(self, node: Node, operands: list[Tensor], counts: Counts) -> Tensor:
        if isinstance(node, Matmul):
            sums, overflowed = self.layers[node.name](operands[0])
            return self._wrapped(node, sums, overflowed, counts)
        if type(node) not in OPERATIONS:
            return self._by_reference(node, operands, counts)
        result = OPERATIONS[type(node)](node, self.constants[node.name], *operands)
        if not isinstance(node, Input | Rescale | Add | AvgPool):
            return result
        low, high = self.network.datapath.range
        if isinstance(node, Input):
            result = torch.round(result * 2.0**self.network.datapath.frac_bits)
        held = result.clamp(low, high)
        counts[node.name] = (held != result).sum()
        return held.long()

    def _by_reference(self, node: Node, operands: list[Tensor], counts: Counts) -> Tensor:
        """Return what the reference engine computes, on the CPU: adapters and what they adapt."""
        context = reference.Context(node.name, self.network.datapath, Counter())
        result = reference.STEPS[type(node)](node, context, *map(self.to_numpy, operands))
        counts[node.name] = torch.tensor(context.overflows[node.name])
        return torch.from_numpy(np.ascontiguousarray(result)).to(self.device)

    def _wrapped(self, node: Matmul, sums: Tensor, overflowed: Tensor | None, counts: Counts) -> Tensor:
        """Return sums as integers, wrapped where the bound does not exclude it."""
        if overflowed is not None:
            counts[node.name] = overflowed
            return sums
        exact = sums.long()
        if overflow_excluded(node).all():
            return exact
        top = 1 << (node.accumulator.bits - 1)
        register = ((exact + top) & (2 * top - 1)) - top
        counts[node.name] = (register != exact).sum()
        return register


def requantize(x: Tensor, requantizer: Requantizer, constants: tuple[Tensor, ...]) -> Tensor:
    """Return `Requantizer.apply` of x, shape (N, K, ...); constants: multiplier and shift, shaped to match."""
    multiplier, shift = (c.reshape(-1, *(1,) * (x.ndim - 2)) if c.ndim else c for c in constants[:2])
    product = x * multiplier
    floor = product >> shift
    remainder, half = product - (floor << shift), (1 << (shift - 1).clamp(min=0)).clamp(min=1)
    match requantizer.rounding:
        case "half_up":
            up = remainder >= half
        case "half_even":
            up = (remainder > half) | ((remainder == half) & (floor % 2 == 1))
        case "toward_zero":
            up = (floor < 0) & (remainder > 0)
        case _:
            return floor
    return floor + up


def _constants(node: Node, device: torch.device) -> tuple[Tensor, ...]:
    """Return a node's integers on the device: multiplier, shift and bias, or thresholds and codes, if it has them."""
    arrays: list[IntArray] = []
    if isinstance(node, Rescale | Quantize | AvgPool):
        arrays = [node.requantizer.multiplier, node.requantizer.shift]
    if isinstance(node, Rescale):
        arrays.append(node.bias)
    if isinstance(node, Threshold):
        arrays = [node.thresholds, node.format.codes]
    return tuple(torch.from_numpy(np.array(array, dtype=np.int64)).to(device) for array in arrays)


def _quantize(node: Quantize, constants: tuple[Tensor, ...], x: Tensor) -> Tensor:
    level = requantize(x - node.offset, node.requantizer, constants)
    clipped = level.clamp(int(node.format.min_level), int(node.format.max_level))
    return (clipped + (node.format.zero_code or 0)) & ((1 << node.format.bits) - 1)


def _compare(node: Threshold, constants: tuple[Tensor, ...], x: Tensor) -> Tensor:
    thresholds, codes = constants
    return codes[torch.searchsorted(thresholds, x.contiguous(), right=True)]


def _rescale(node: Rescale, constants: tuple[Tensor, ...], sums: Tensor) -> Tensor:
    return requantize(sums, node.requantizer, constants) + constants[2].reshape(-1, *(1,) * (sums.ndim - 2))


def _taps(node: Pool, x: Tensor, border: int) -> Iterator[Tensor]:
    """Yield what each tap of a pooling window sees, (N, C, OY, OX)."""
    rows, columns = node.padding
    padded = torch.nn.functional.pad(x, (columns, columns, rows, rows), value=border)
    _, height, width = node.output_shape(tuple(x.shape[1:]))
    for row, column in np.ndindex(*node.kernel):
        ends = row + node.stride[0] * (height - 1) + 1, column + node.stride[1] * (width - 1) + 1
        yield padded[:, :, row : ends[0] : node.stride[0], column : ends[1] : node.stride[1]]


def _max_pool(node: MaxPool, constants: tuple[Tensor, ...], x: Tensor) -> Tensor:
    taps = _taps(node, x, register_range(63)[0])
    result = next(taps)
    for tap in taps:
        result = torch.maximum(result, tap)
    return result


def _average_pool(node: AvgPool, constants: tuple[Tensor, ...], x: Tensor) -> Tensor:
    total = torch.stack(list(_taps(node, x, 0))).sum(dim=0)
    return requantize(total, node.requantizer, constants)


def _pad_channels(node: PadChannels, constants: tuple[Tensor, ...], x: Tensor) -> Tensor:
    return torch.nn.functional.pad(x, (0, 0) * (x.ndim - 2) + (node.before, node.after))


#: What a node computes before the datapath saturates it; layers are in `device_layers`, adapters on the CPU.
OPERATIONS: dict[type[Node], Callable[..., Tensor]] = {
    Input: lambda node, constants, pixels: pixels,
    Quantize: _quantize,
    Threshold: _compare,
    Rescale: _rescale,
    Add: lambda node, constants, x, y: x + y,
    Relu: lambda node, constants, x: x.clamp(min=0),
    Clip: lambda node, constants, x: x.clamp(node.low, node.high),
    MaxPool: _max_pool,
    AvgPool: _average_pool,
    Flatten: lambda node, constants, x: x.reshape(len(x), -1),
    Concat: lambda node, constants, *tensors: torch.cat(tensors, dim=1),
    PadChannels: _pad_channels,
}

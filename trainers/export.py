"""Quantization-aware model to integer network: the only bridge. Floats end here.

Batch norm is folded into the convolution before it; every scale becomes an integer multiplier and a shift. With s_a and
s_w the scales of a layer's activations and weights, u the unit of its multiplier's products and 2^-f the unit of the
datapath, a sum of products stands for sum * s_a * s_w * u, so its rescaling is by s_a * s_w * u * 2^f * gamma / sigma.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from torch import fx, nn

from hwsim.accumulator import Accumulator, required_bits
from hwsim.arithmetic import IntArray
from hwsim.choices import chosen, parse_choices
from hwsim.errors import naming
from hwsim.exchange import layer_table
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.network import Network
from hwsim.nodes import (
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Encode,
    Flatten,
    Input,
    Linear,
    Matmul,
    MaxPool,
    Node,
    PadChannels,
    Pair,
    Relu,
    Rescale,
)
from trainers.export_adapter import adapter_node, adaptive_quantize, adaptive_rescale
from trainers.export_codes import encode_node, integer_format
from trainers.export_config import DEFAULT_EXPORT, ExportConfig
from trainers.folding import FloatArray, folded, to_numpy
from trainers.functional_glue import Squeeze, as_module, concatenated, is_concatenation, is_sum
from trainers.geometry import padding_of, pair
from trainers.graph import trace
from trainers.layers import QuantConv2d, QuantLayer, QuantLinear
from trainers.models.residual import ZeroPadShortcut
from trainers.quantizers import Quantizer
from trainers.quantizers.asq import AsqQuantizer

__all__ = ["ExportConfig", "export", "layer_multiplier"]


def export(
    model: nn.Module,
    input_shape: tuple[int, ...],
    config: ExportConfig = DEFAULT_EXPORT,
    name: str = "network",
    metadata: Mapping[str, Any] | None = None,
) -> Network:
    """Return the integer network of a quantization-aware model in eval mode; input_shape is one image's (C, H, W).

    Raises:
        ValueError: the model holds a step that has no integer form, a batch norm that does not follow a convolution or
            linear layer, or weights that the configured accumulator or multiplier cannot take; the message names it.
    """
    program = Program(dict(model.named_modules()), config)
    for step in trace(model).nodes:
        program.add(step, input_shape)
    return Network(tuple(program.nodes), config.datapath, name, dict(metadata or {}))


@dataclass
class Program:
    """The nodes so far, and which tensor holds the value of each step of the traced model."""

    modules: dict[str, nn.Module]
    config: ExportConfig
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[fx.Node, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def add(self, step: fx.Node, input_shape: tuple[int, ...]) -> None:
        """Append the nodes of one step."""
        if step.op == "placeholder":
            self.tensors[step] = self.emit(Input(self._free(step.name), (), shape=input_shape))
        elif step.op == "output":
            self._check_output(step)
        else:
            self.tensors[step] = self._add_call(step)

    def _add_call(self, step: fx.Node) -> str:
        name = self._free(step.name)
        if step.op == "call_module" or is_sum(step):
            inputs = tuple(self._tensor_of(step, source) for source in (*step.args, *step.kwargs.values()))
            return self.emit(Add(name, inputs)) if is_sum(step) else self._add_module(step, inputs)
        if is_concatenation(step):
            return self.emit(Concat(name, tuple(self._tensor_of(step, part) for part in concatenated(step))))
        module, tensor = as_module(step), self._tensor_of(step, step.args[0])
        for place, part in enumerate(module if isinstance(module, nn.Sequential) else [module]):
            assert part is not None  # trace() refuses other steps
            tensor = self._convert(f"{name}.{place}" if place else name, part, (tensor,))
        return tensor

    def _check_output(self, step: fx.Node) -> None:
        result = step.args[0]
        if not isinstance(result, fx.Node) or self.tensors[result] != self.nodes[-1].name:
            raise ValueError(f"the network must return what its last step makes, {self.nodes[-1].name!r}, got {result}")

    def _tensor_of(self, step: fx.Node, source: object) -> str:
        if not isinstance(source, fx.Node):
            raise ValueError(f"step {step.name!r} takes tensors, got the constant {source!r}")
        return self.tensors[source]

    def emit(self, node: Node) -> str:
        """Append a node and return the name of its tensor."""
        self.shapes[node.name] = node.output_shape(*(self.shapes[source] for source in node.inputs))
        self.nodes.append(node)
        return node.name

    def _add_module(self, step: fx.Node, inputs: tuple[str, ...]) -> str:
        name = str(step.target)
        module = self.modules[name]
        if isinstance(module, QuantConv2d | QuantLinear):
            return self._add_layer(name, module, inputs, self._batch_norm_after(step))
        if isinstance(module, nn.BatchNorm2d):
            if not self._is_folded(step):
                raise ValueError(f"batch norm {name!r} must follow a quantized layer that nothing else reads")
            return inputs[0]
        return self._convert(self._unused(name), module, inputs)

    def _convert(self, name: str, module: nn.Module, inputs: tuple[str, ...]) -> str:
        for kind, convert in CONVERTERS.items():
            if isinstance(module, kind):
                return convert(self, name, module, inputs)
        raise ValueError(f"module {name!r} ({type(module).__name__}) has no integer form")

    def _unused(self, name: str) -> str:
        """Return the name, numbered from 2 on where a module runs several times."""
        return next(candidate for candidate in _numbered(name) if candidate not in self.shapes)

    def _free(self, name: str) -> str:
        """Return the name of a step that is no module's, numbered where a module or an earlier step has it."""
        taken = self.modules.keys() | self.shapes.keys()
        return next(candidate for candidate in _numbered(name) if candidate not in taken)

    def _is_folded(self, step: fx.Node) -> bool:
        source = step.all_input_nodes[0]
        return source.op == "call_module" and self._batch_norm_after(source) is self.modules[str(step.target)]

    def _batch_norm_after(self, step: fx.Node) -> nn.BatchNorm2d | None:
        readers = [self.modules.get(str(user.target)) for user in step.users]
        is_layer = isinstance(self.modules[str(step.target)], QuantConv2d | QuantLinear)
        reader = readers[0] if is_layer and len(readers) == 1 else None
        return reader if isinstance(reader, nn.BatchNorm2d) else None

    def _add_layer(self, name: str, layer: QuantLayer, inputs: tuple[str, ...], norm: nn.BatchNorm2d | None) -> str:
        unit = 2.0**-self.config.datapath.frac_bits
        quantizer = layer.activation_quantizer
        step_size = to_numpy(quantizer.scale)
        beta = self._add_adapter(name, layer, inputs)
        with naming(f"layer {name!r}"):
            codes = self.emit(self._encode(f"{name}.quantize", quantizer, inputs + beta))
        matmul = self._matmul(name, layer, codes)
        sums = self.emit(matmul)
        gain, offset = folded(name, layer, norm)
        scale = step_size * to_numpy(layer.weight_quantizer.scale) * matmul.multiplier.unit / unit * gain
        bias = np.rint(offset / unit).astype(np.int64)
        adapts = isinstance(quantizer, AsqQuantizer) and quantizer.dequantize == "adapted_step"
        return self.emit(self._rescale(f"{name}.rescale", (sums, *beta) if adapts else (sums,), matmul, scale, bias))

    def _add_adapter(self, name: str, layer: QuantLayer, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Append ASQ's adapter, if the layer has one, and return the name of its tensor."""
        quantizer = layer.activation_quantizer
        if not isinstance(quantizer, AsqQuantizer):
            return ()
        return (self.emit(adapter_node(f"{name}.adapter", inputs, quantizer, self.shapes[inputs[0]], self.config)),)

    def _encode(self, name: str, quantizer: Quantizer, inputs: tuple[str, ...]) -> Encode:
        if not isinstance(quantizer, AsqQuantizer):
            return encode_node(name, inputs, quantizer, self.config)
        scale = 2.0**-self.config.datapath.frac_bits / to_numpy(quantizer.scale)
        return adaptive_quantize(name, inputs, integer_format(quantizer), scale, self.config)

    def _rescale(
        self, name: str, inputs: tuple[str, ...], matmul: Matmul, scale: FloatArray, bias: IntArray
    ) -> Rescale:
        largest = matmul.largest_sum
        if len(inputs) > 1:
            return adaptive_rescale(name, inputs, scale, largest, self.config, bias=bias)
        return Rescale(name, inputs, requantizer=self.config.requantizer(scale, largest), bias=bias)

    def _matmul(self, name: str, layer: QuantLayer, codes: str) -> Matmul:
        multiplier, bits = layer_multiplier(name, layer, self.config), self.config.accumulator_bits
        with naming(f"layer {name!r}"):
            weight = layer.weight_quantizer.codes(layer.weight).numpy()
            width = required_bits(multiplier, weight) if bits is None else bits
        accumulator = Accumulator(width, self.config.overflow)
        if isinstance(layer, QuantLinear):
            return Linear(name, (codes,), weight=weight, multiplier=multiplier, accumulator=accumulator)
        return Conv(
            name,
            (codes,),
            weight=weight,
            multiplier=multiplier,
            accumulator=accumulator,
            stride=pair(layer.stride),
            padding=padding_of(name, layer),
            dilation=pair(layer.dilation),
            groups=layer.groups,
        )


def _numbered(name: str) -> Iterator[str]:
    """Yield the name, then the name with #2, #3, ..."""
    yield name
    for call in count(2):
        yield f"{name}#{call}"


def layer_multiplier(name: str, layer: QuantLayer, config: ExportConfig) -> Multiplier:
    """Return the circuit that multiplies a layer's codes.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: there is no circuit for these formats, its products would be too wide, or the table does not fit.
    """
    table = chosen(parse_choices(config.tables), name)
    with naming(f"layer {name!r}"):
        weight, activation = layer.weight_quantizer.format, integer_format(layer.activation_quantizer)
        if table is not None:
            return layer_table(table, weight, activation)
        return multiplier_for(weight, activation, config.fraction_bits, config.layout)


def _relu(program: Program, name: str, module: nn.ReLU, inputs: tuple[str, ...]) -> str:
    return program.emit(Relu(name, inputs))


def _relu6(program: Program, name: str, module: nn.ReLU6, inputs: tuple[str, ...]) -> str:
    return program.emit(Clip(name, inputs, low=0, high=6 << program.config.datapath.frac_bits))


def _flatten(program: Program, name: str, module: nn.Flatten, inputs: tuple[str, ...]) -> str:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise ValueError(f"flatten {name!r} must join dimensions 1 to -1, got {module.start_dim} to {module.end_dim}")
    return program.emit(Flatten(name, inputs))


def _squeeze(program: Program, name: str, module: Squeeze, inputs: tuple[str, ...]) -> str:
    size = program.shapes[inputs[0]][1:]
    if size not in ((), (1, 1)):
        raise ValueError(f"squeeze {name!r} must take images of one pixel, got {size}")
    return program.emit(Flatten(name, inputs)) if size else inputs[0]


def _skip(program: Program, name: str, module: nn.Module, inputs: tuple[str, ...]) -> str:
    return inputs[0]


def _max_pool(program: Program, name: str, module: nn.MaxPool2d, inputs: tuple[str, ...]) -> str:
    if pair(module.dilation) != (1, 1) or module.ceil_mode:
        raise ValueError(f"max pooling {name!r} must have dilation 1 and ceil_mode off")
    sizes = {"kernel": pair(module.kernel_size), "stride": pair(module.stride), "padding": pair(module.padding)}
    return program.emit(MaxPool(name, inputs, **sizes))


def _average_pool(program: Program, name: str, module: nn.AvgPool2d, inputs: tuple[str, ...]) -> str:
    padding = pair(module.padding)
    if module.ceil_mode or module.divisor_override or (padding != (0, 0) and not module.count_include_pad):
        raise ValueError(f"average pooling {name!r} must divide by its kernel's size, padding included")
    return _emit_average(program, name, inputs, pair(module.kernel_size), pair(module.stride), padding)


def _adaptive_pool(program: Program, name: str, module: nn.AdaptiveAvgPool2d, inputs: tuple[str, ...]) -> str:
    size = program.shapes[inputs[0]][1:]
    wanted = module.output_size if isinstance(module.output_size, tuple) else (module.output_size,) * 2
    result = [have if want is None else want for have, want in zip(size, wanted, strict=True)]
    if any(have % want for have, want in zip(size, result, strict=True)):
        raise ValueError(f"adaptive pooling {name!r} must divide its input {size} evenly, got {module.output_size}")
    rows, columns = (have // want for have, want in zip(size, result, strict=True))
    if rows == columns == 1:
        return inputs[0]
    return _emit_average(program, name, inputs, (rows, columns), (rows, columns), (0, 0))


def _emit_average(
    program: Program, name: str, inputs: tuple[str, ...], kernel: Pair, stride: Pair, padding: Pair
) -> str:
    taps = math.prod(kernel)
    requantizer = program.config.requantizer(np.array(1 / taps), -program.config.datapath.range[0] * taps)
    return program.emit(AvgPool(name, inputs, kernel=kernel, stride=stride, padding=padding, requantizer=requantizer))


def _zero_pad(program: Program, name: str, module: ZeroPadShortcut, inputs: tuple[str, ...]) -> str:
    stride = (module.stride, module.stride)
    kept = program.emit(MaxPool(f"{name}.subsample", inputs, kernel=(1, 1), stride=stride))
    return program.emit(PadChannels(name, (kept,), before=module.before, after=module.after))


CONVERTERS: dict[type[nn.Module], Callable[..., str]] = {
    nn.ReLU: _relu,
    nn.ReLU6: _relu6,
    nn.Flatten: _flatten,
    nn.Identity: _skip,
    nn.Dropout: _skip,
    nn.Dropout2d: _skip,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    Squeeze: _squeeze,
    ZeroPadShortcut: _zero_pad,
}

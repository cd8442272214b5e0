"""Workloads from ONNX and QONNX files; the `onnx` package is an extra (`pip install hwsim[onnx]`)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, NodeProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.workload import Layer, Workload, WorkloadError
from hwsim.workloads.onnx_operators import FREE, OPERATORS, QUANTIZERS, SHAPE_OPERANDS, Operator
from hwsim.workloads.shapes import Fields, elementwise

#: Operators that exporters use to compute sizes.
FOLDED = ("Constant", "ConstantOfShape", "Concat", "Reshape", "Slice", "Transpose", "Cast", "Squeeze", "Unsqueeze")

MAX_FOLDED = 64  #: Elements of the largest constant that is a size.

MAX_BITS = 16  #: Wider quantizers are read as 32-bit values.


def read_onnx(path: str | Path, list_unknown: bool = False) -> Workload:
    """Return the layers of an ONNX file, for a batch of 1 where its batch size is open.

    Quantizers (QONNX' Quant and BipolarQuant, ONNX' QuantizeLinear) are no layers: they give the formats of the
    products that read them. What depends on constants alone is computed before inference and is no layer.

    Args:
        path: the file; external data is not needed.
        list_unknown: make an operator that is not known a layer of kind `unknown` instead of refusing the file.

    Raises:
        WorkloadError: not an ONNX file, an unknown operator, or a tensor without a shape; the node is named.
        OSError: the file cannot be read.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise WorkloadError(f"{path}: not an ONNX file ({error})") from error
    if not model.graph.node:
        raise WorkloadError(f"{path}: not an ONNX file, or one without nodes")
    reader = _Reader(str(path), list_unknown, *_prepared(model, str(path)))
    layers = [layer for node in model.graph.node for layer in reader.layers(node)]
    return Workload(Path(path).stem, tuple(layers))


@dataclass
class _Reader:
    """What is known while the nodes are read in order."""

    where: str
    list_unknown: bool
    shapes: dict[str, tuple[int, ...]]  #: Of each tensor.
    constants: dict[str, Any]  #: Tensors that do not depend on the input: an array, or None if only its shape is known.
    made_by: dict[str, str]  #: Key of the layer that makes a tensor; "input" for the network's.
    formats: dict[str, Uniform] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    names: dict[str, int] = field(default_factory=dict)

    def layers(self, node: NodeProto) -> Iterator[Layer]:
        """Yield the layers that a node is: none, one, or one with its constants before it."""
        inputs = [name for name in node.input if name]
        if node.op_type in QUANTIZERS:
            self._quantizer(node)
        elif all(name in self.constants for name in inputs):
            self._fold(node)
        elif node.op_type in FREE:
            self._pass(node)
        else:
            yield from self._operator(node, inputs)

    def _quantizer(self, node: NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        found = self._format(node)
        if found:
            self.formats[result] = found
        if source in self.constants:
            self.constants[result] = None
        else:
            self.made_by[result] = self._maker(source, node)
        self.shapes[result] = self._shape(source, node)

    def _format(self, node: NodeProto) -> Uniform | None:
        bits, signed, narrow = QUANTIZERS[node.op_type](node, self.constants)
        if bits is None:
            return self.formats.get(node.input[0])
        if bits != int(bits) or bits < 1:
            raise WorkloadError(f"{self._place(node)}: a bit width must be a positive integer, got {bits}")
        return Uniform(int(bits), signed, narrow) if bits <= MAX_BITS else None

    def _fold(self, node: NodeProto) -> None:
        for name in node.output:
            self.constants.setdefault(name, None)

    def _pass(self, node: NodeProto) -> None:
        for name in node.output:
            if name:
                self.made_by[name] = self._maker(node.input[0], node)
                if node.input[0] in self.formats:
                    self.formats[name] = self.formats[node.input[0]]

    def _operator(self, node: NodeProto, inputs: list[str]) -> Iterator[Layer]:
        operator = Operator(
            self._place(node),
            {a.name: helper.get_attribute_value(a) for a in node.attribute},
            tuple(self._shape(name, node) for name in node.input if name),
            self._shape(node.output[0], node),
            tuple(name in self.constants for name in inputs),
            tuple(self.constants.get(name) for name in inputs),
        )
        fields = self._fields(node, operator)
        layer = Layer(self._name(node), op=node.op_type, inputs=self._reads(inputs), **fields)
        owned = [name for name in inputs if name in self.constants]
        yield from self._constants(node, layer, owned)
        shared = bool(owned) and layer.has_weight and set(owned) <= self.claimed
        self.claimed |= set(owned)
        for name in node.output:
            self.made_by[name] = layer.key
        if node.op_type == "MaxPool" and inputs[0] in self.formats:
            self.formats[node.output[0]] = self.formats[inputs[0]]
        yield replace(layer, shared=shared, **self._precision(layer, inputs))

    def _fields(self, node: NodeProto, operator: Operator) -> Fields:
        if node.op_type in OPERATORS:
            kind, handler = OPERATORS[node.op_type]
            return {"kind": kind, **handler(operator)}
        if self.list_unknown:
            return {"kind": "unknown", **elementwise(operator.result)}
        raise WorkloadError(f"{self._place(node)}: unknown operator {node.op_type!r}")

    def _constants(self, node: NodeProto, layer: Layer, owned: list[str]) -> Iterator[Layer]:
        """Yield the constants that an elementwise operator reads as parameters of their own."""
        if layer.has_weight or layer.has_bias or node.op_type in SHAPE_OPERANDS:
            return
        for name in owned:
            if name not in self.claimed:
                size = 1
                for extent in self._shape(name, node):
                    size *= extent
                yield Layer(self._unique(name), "constant", C=size, has_weight=True, op="initializer")

    def _precision(self, layer: Layer, inputs: list[str]) -> Fields:
        activation, weight = (self.formats.get(name) for name in inputs[:2]) if len(inputs) > 1 else (None, None)
        if not layer.macs or activation is None or weight is None:
            return {}
        return {"weight": weight, "activation": activation, "multiplier": multiplier_for(weight, activation)}

    def _reads(self, inputs: list[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.made_by[name] for name in inputs if name in self.made_by))

    def _maker(self, name: str, node: NodeProto) -> str:
        if name not in self.made_by:
            raise WorkloadError(f"{self._place(node)}: reads {name!r}, which no earlier node makes")
        return self.made_by[name]

    def _shape(self, name: str, node: NodeProto) -> tuple[int, ...]:
        if name not in self.shapes:
            raise WorkloadError(f"{self._place(node)}: tensor {name!r} has no known shape")
        return self.shapes[name]

    def _place(self, node: NodeProto) -> str:
        return f"{self.where}, node {node.name or node.output[0]!r}"

    def _name(self, node: NodeProto) -> str:
        return self._unique(node.name or node.output[0])

    def _unique(self, name: str) -> str:
        name = "_".join(name.split())
        self.names[name] = self.names.get(name, 0) + 1
        return name if self.names[name] == 1 else f"{name}_{self.names[name]}"


def _prepared(model: ModelProto, where: str) -> tuple[dict[str, tuple[int, ...]], dict[str, Any], dict[str, str]]:
    """Return the shapes of all tensors, the constants, and which tensors are the network's input."""
    constants: dict[str, Any] = {tensor.name: _value(tensor) for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    for value in inputs:
        _close_batch(value, where)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    plain = _without_quantizers(model)
    constants |= _fold_sizes(plain)
    shapes |= {name: tuple(value.shape) for name, value in constants.items() if value is not None}
    try:
        graph = shape_inference.infer_shapes(plain, strict_mode=False, data_prop=True).graph
    except shape_inference.InferenceError as error:
        raise WorkloadError(f"{where}: {' '.join(str(error).split())}") from error
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes.setdefault(value.name, tuple(dim.dim_value for dim in dims))
    return shapes, constants, {value.name: "input" for value in inputs}


def _value(tensor: onnx.TensorProto) -> Any:
    external = tensor.data_location == onnx.TensorProto.EXTERNAL
    return None if external else numpy_helper.to_array(tensor)


def _close_batch(value: onnx.ValueInfoProto, where: str) -> None:
    """Set an open batch size to 1; any other open size is an error."""
    dims = value.type.tensor_type.shape.dim
    if not dims:
        raise WorkloadError(f"{where}: input {value.name!r} has no shape")
    if not dims[0].HasField("dim_value") or dims[0].dim_value < 1:
        dims[0].Clear()
        dims[0].dim_value = 1
    for i, dim in enumerate(dims):
        if not dim.HasField("dim_value") or dim.dim_value < 1:
            raise WorkloadError(f"{where}: dimension {i} of input {value.name!r} is open; only the batch may be")


def _without_quantizers(model: ModelProto) -> ModelProto:
    """Return the model with its quantizers replaced by identities, which shape inference knows."""
    plain = ModelProto()
    plain.CopyFrom(model)
    for node in plain.graph.node:
        if node.op_type in QUANTIZERS:
            del node.input[1:]
            del node.attribute[:]
            node.op_type, node.domain = "Identity", ""
    for value in plain.graph.output:
        value.type.tensor_type.ClearField("shape")
    del plain.graph.value_info[:]
    return plain


def _fold_sizes(model: ModelProto) -> dict[str, Any]:
    """Make initializers of what nodes compute from small constants alone (sizes, for shape inference); return them."""
    known = {tensor.name: _value(tensor) for tensor in model.graph.initializer if _is_small(tensor)}
    found: dict[str, Any] = {}
    for node in model.graph.node:
        if node.op_type in FOLDED and all(name in known for name in node.input if name):
            inputs = {name: known[name] for name in node.input if name}
            results = ReferenceEvaluator(_alone(node, model)).run(None, inputs)
            new = {name: np.asarray(value) for name, value in zip(node.output, results, strict=True)}
            known |= new
            found |= new
    keep = [node for node in model.graph.node if not set(node.output) <= set(found)]
    del model.graph.node[:]
    model.graph.node.extend(keep)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in found.items())
    return found


def _is_small(tensor: onnx.TensorProto) -> bool:
    return bool(np.prod(tensor.dims, dtype=np.int64) <= MAX_FOLDED)


def _alone(node: NodeProto, model: ModelProto) -> ModelProto:
    inputs = [helper.make_value_info(name, onnx.TypeProto()) for name in node.input if name]
    outputs = [helper.make_value_info(name, onnx.TypeProto()) for name in node.output]
    graph = helper.make_graph([node], "constant", inputs, outputs)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)

"""What ONNX' operators are as layers: the table that the ONNX reader uses."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.workload import WorkloadError
from hwsim.workloads.shapes import Fields, channels_first, extents
from hwsim.workloads.shapes import elementwise as same_shape

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operator:
    """One node: its place for messages, attributes, shapes of inputs and result, and which inputs are constants."""

    place: str
    attributes: Mapping[str, Any]
    shapes: tuple[Shape, ...]
    result: Shape
    constant: tuple[bool, ...]
    values: tuple[Any, ...]

    def pair(self, name: str, default: Sequence[int]) -> tuple[int, int]:
        """Return an attribute of the image's axes as (y, x); in one dimension there is no y."""
        y, x = (default[0], *self.attributes.get(name, default))[-2:]
        return int(y), int(x)


def convolution(o: Operator) -> Fields:
    """Return Conv(x, w, bias?)."""
    return {**_convolution(o), "K": o.shapes[1][0]}


def transposed_convolution(o: Operator) -> Fields:
    """Return ConvTranspose(x, w, bias?)."""
    return {**_convolution(o), "K": o.result[1]}


def gemm(o: Operator) -> Fields:
    """Return Gemm(x, w, bias?): (M, C) x (C, K)."""
    c = o.shapes[0][0] if o.attributes.get("transA", 0) else o.shapes[0][1]
    rows = o.result[0]
    fields = {"K": o.result[1], "C": c, "OX": rows, "IX": rows, "has_bias": len(o.shapes) > 2}
    return fields | ({"has_weight": True} if o.constant[1] else {"kind": "matmul", "has_bias": False})


def matmul(o: Operator) -> Fields:
    """Return MatMul(a, b): a linear layer if b is a constant matrix, else one product per leading index."""
    a, b = o.shapes[0], o.shapes[1]
    if o.constant[1] and len(b) == 2:
        rows = math.prod(a[:-1])
        return {"K": b[1], "C": b[0], "OX": rows, "IX": rows, "has_weight": True}
    batch, rows = math.prod(o.result[:-2]), a[-2] if len(a) > 1 else 1
    sizes = {"K": batch * b[-1], "C": batch * a[-1], "groups": batch, "OX": rows, "IX": rows}
    return {"kind": "matmul", **sizes, "has_weight": o.constant[1]}


def gather(o: Operator) -> Fields:
    """Return Gather(data, indices): an embedding where the data is a constant table."""
    if not o.constant[0]:
        return {"kind": "reshape", **same_shape(o.result)}
    rows, width = o.shapes[0][0], math.prod(o.shapes[0][1:])
    return {"K": width, "C": rows, "OX": math.prod(o.result) // width, "has_weight": True}


def elementwise(o: Operator) -> Fields:
    """Return an operator with one result per element."""
    return same_shape(o.result)


def pooling(o: Operator) -> Fields:
    """Return MaxPool or AveragePool."""
    fy, fx = o.pair("kernel_shape", (1, 1))
    window = {"FY": fy, "FX": fx, "strides": o.pair("strides", (1, 1)), "padding": _pads(o)}
    return {**extents("I", o.shapes[0]), **extents("O", o.result), **window}


def global_pooling(o: Operator) -> Fields:
    """Return GlobalAveragePool."""
    fields = {**extents("I", o.shapes[0]), **extents("O", o.result)}
    return fields | {"FY": fields["IY"], "FX": fields["IX"]}


def mean(o: Operator) -> Fields:
    """Return ReduceMean over any axes."""
    if len(o.shapes[0]) == 4 and math.prod(o.result) == math.prod(o.shapes[0][:2]):
        n, c, y, x = o.shapes[0]
        return {"N": n, "C": c, "K": c, "IY": y, "IX": x, "FY": y, "FX": x}
    results = math.prod(o.result)
    window = math.prod(o.shapes[0]) // results
    return {"C": results, "K": results, "IX": window, "FX": window}


def batch_norm(o: Operator) -> Fields:
    """Return BatchNormalization(x, scale, bias, mean, variance)."""
    return {**channels_first(o.result), "has_weight": True, "has_bias": True}


def layer_norm(o: Operator) -> Fields:
    """Return LayerNormalization(x, scale, bias?)."""
    width = math.prod(o.result[o.attributes.get("axis", -1) :])
    rows = math.prod(o.result) // width
    affine = {"has_weight": True, "has_bias": len(o.shapes) > 2}
    return {"K": width, "C": width, "OX": rows, "IX": rows, "FX": width, **affine}


def softmax(o: Operator) -> Fields:
    """Return Softmax over one axis."""
    return {**same_shape(o.result), "FX": o.result[o.attributes.get("axis", -1)]}


def _convolution(o: Operator) -> Fields:
    if len(o.shapes[1]) > 4:
        raise WorkloadError(f"{o.place}: convolutions over {len(o.shapes[1]) - 2} dimensions are not known")
    window, image, result = ((*(1,) * (4 - len(s)), *s[2:]) for s in (o.shapes[1], o.shapes[0], o.result))
    return {
        "N": o.shapes[0][0],
        "C": o.shapes[0][1],
        "groups": int(o.attributes.get("group", 1)),
        **dict(zip(("IY", "IX", "OY", "OX", "FY", "FX"), (*image, *result, *window), strict=True)),
        "strides": o.pair("strides", (1, 1)),
        "dilation": o.pair("dilations", (1, 1)),
        "padding": _pads(o),
        "has_weight": o.constant[1],
        "has_bias": len(o.shapes) > 2,
    }


def _pads(o: Operator) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right): explicit, or what `auto_pad` makes of the sizes."""
    mode = o.attributes.get("auto_pad", b"NOTSET").decode()
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = [_same(o, axis, mode) for axis in range(len(o.result) - 2)]
        begins, ends = zip(*pads, strict=True)
    else:
        given = [int(p) for p in o.attributes.get("pads", [0] * 2 * (len(o.result) - 2))]
        begins, ends = tuple(given[: len(given) // 2]), tuple(given[len(given) // 2 :])
    (top, left), (bottom, right) = (0, *begins)[-2:], (0, *ends)[-2:]
    return top, left, bottom, right


def _same(o: Operator, axis: int, mode: str) -> tuple[int, int]:
    kernel = o.attributes.get("kernel_shape") or o.shapes[1][2:]
    stride = o.attributes.get("strides", [1] * len(kernel))[axis]
    extent = o.attributes.get("dilations", [1] * len(kernel))[axis] * (kernel[axis] - 1) + 1
    total = max((o.result[axis + 2] - 1) * stride + extent - o.shapes[0][axis + 2], 0)
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)


Handler = Callable[[Operator], Fields]


def _all(kind: str, *names: str) -> dict[str, tuple[str, Handler]]:
    return dict.fromkeys(names, (kind, elementwise))


#: Operator -> (kind, handler); a handler's own `kind` wins.
OPERATORS: dict[str, tuple[str, Handler]] = {
    "Conv": ("conv", convolution),
    "ConvTranspose": ("conv_transpose", transposed_convolution),
    "Gemm": ("linear", gemm),
    "MatMul": ("linear", matmul),
    "Gather": ("embedding", gather),
    "MaxPool": ("max_pool", pooling),
    "AveragePool": ("avg_pool", pooling),
    "GlobalAveragePool": ("avg_pool", global_pooling),
    "ReduceMean": ("avg_pool", mean),
    "BatchNormalization": ("batch_norm", batch_norm),
    "LayerNormalization": ("norm", layer_norm),
    "Softmax": ("softmax", softmax),
    **_all("add", "Add", "Sub"),
    **_all("multiply", "Mul", "Div"),
    **_all("relu", "Relu", "LeakyRelu", "PRelu", "Abs", "Max", "Min"),
    **_all("clip", "Clip"),
    **_all("nonlinear", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Erf", "Gelu", "Pow", "HardSwish", "HardSigmoid"),
    **_all("nonlinear", "Elu", "Selu", "Softplus", "Mish", "Sin", "Cos"),
    **_all("reciprocal", "Reciprocal"),
    **_all("reshape", "Concat", "Pad"),
}

#: Operators that only rename or copy elements: no layer.
FREE = ("Reshape", "Flatten", "Transpose", "Identity", "Squeeze", "Unsqueeze", "Slice", "Split", "Cast", "Dropout")

#: Operators whose constant operands are sizes or bounds, not parameters.
SHAPE_OPERANDS = ("Clip", "Pad", "ReduceMean", "Pow", "Gather")

_Format = tuple[float | None, bool, bool]


def _quant(node: Any, constants: Mapping[str, Any]) -> _Format:
    flags = {a.name: a.i for a in node.attribute}
    bits = constants.get(node.input[3])
    return (None if bits is None else float(bits)), bool(flags.get("signed", 1)), bool(flags.get("narrow", 0))


def _bipolar(node: Any, constants: Mapping[str, Any]) -> _Format:
    return 1.0, True, False


def _quantize_linear(node: Any, constants: Mapping[str, Any]) -> _Format:
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    signed = zero is not None and zero.dtype.kind == "i"
    return 8.0, signed, False


def _dequantize_linear(node: Any, constants: Mapping[str, Any]) -> _Format:
    stored = constants.get(node.input[0])
    if stored is None or stored.dtype.itemsize != 1:
        return None, False, False
    return 8.0, stored.dtype.kind == "i", False


#: Quantizers -> (bits, signed, narrow) of a node; no bits where it keeps its input's format.
QUANTIZERS: dict[str, Callable[[Any, Mapping[str, Any]], _Format]] = {
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar,
    "QuantizeLinear": _quantize_linear,
    "DequantizeLinear": _dequantize_linear,
}

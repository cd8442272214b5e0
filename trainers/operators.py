"""What torch's operators are as layers: the table that `trainers.trace` reads.

A handler takes a `Call` and returns fields of a `Layer`. Shapes are read as (N, C, H, W), (N, T, C) or (N, C).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hwsim.workloads import shapes
from hwsim.workloads.shapes import Fields


@dataclass(frozen=True)
class Call:
    """One operator as it ran: its name (`aten::relu`), arguments and first result, and which tensors are weights."""

    op: str
    args: tuple[Any, ...]
    result: Tensor
    is_parameter: Callable[[Any], bool]

    def arg(self, i: int) -> Any:
        """Return argument i, None where it was left out."""
        return self.args[i] if i < len(self.args) else None

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments, those in lists included."""
        flat = [x for arg in self.args for x in (arg if isinstance(arg, list | tuple) else [arg])]
        return [x for x in flat if isinstance(x, Tensor)]


def elementwise(call: Call) -> Fields:
    """Return the sizes of an operator whose result has one element per element of its (largest) input."""
    return shapes.elementwise(call.result.shape)


def convolution(call: Call) -> Fields:
    """Return a convolution, transposed or not; one over three dimensions is not known."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = call.args[:9]
    if weight.dim() > 4:
        return {"kind": "unknown", **elementwise(call)}
    window, image, result = ([*(1,) * (4 - t.dim()), *t.shape[2:]] for t in (weight, x, call.result))
    top, left = _per_axis(padding, 0)
    return {
        "N": x.shape[0],
        "K": call.result.shape[1],
        "C": x.shape[1],
        "groups": groups,
        **dict(zip(("IY", "IX", "OY", "OX", "FY", "FX"), (*image, *result, *window), strict=True)),
        "strides": _per_axis(stride, 1),
        "padding": (top, left, top, left),
        "dilation": _per_axis(dilation, 1),
        "kind": "conv_transpose" if transposed else "conv",
        "has_bias": bias is not None,
        "has_weight": call.is_parameter(weight),
    }


def linear(call: Call) -> Fields:
    """Return `addmm(bias, x, w)` or `mm(x, w)`: x is (tokens, C), w is (C, K)."""
    *bias, x, weight = call.args[:3] if call.op == "aten::addmm" else call.args[:2]
    tokens, (c, k) = x.shape[0], weight.shape
    sizes = {"K": k, "C": c, "OX": tokens, "IX": tokens}
    if call.is_parameter(weight):
        return {"kind": "linear", **sizes, "has_weight": True, "has_bias": bool(bias)}
    return {"kind": "matmul", **sizes}


def batched_matmul(call: Call) -> Fields:
    """Return `bmm(a, b)`, (B, M, C) x (B, C, K): B independent products of two activations, or of one and a weight."""
    a, b = call.args[-2:]
    batch, rows, c = a.shape
    sizes = {"K": batch * b.shape[2], "C": batch * c, "OX": rows, "IX": rows, "groups": batch}
    return {"kind": "matmul", **sizes, "has_weight": call.is_parameter(b)}


def embedding(call: Call) -> Fields:
    """Return `embedding(weight, indices)`."""
    rows, width = call.args[0].shape
    tokens = call.result.numel() // width
    return {"K": width, "C": rows, "OX": tokens, "IX": 1, "has_weight": call.is_parameter(call.args[0])}


def batch_norm(call: Call) -> Fields:
    """Return `native_batch_norm(x, weight, bias, ...)`."""
    return {**shapes.channels_first(call.result.shape), **_affine(call, 1, 2)}


def layer_norm(call: Call) -> Fields:
    """Return `native_layer_norm(x, normalized_shape, weight, bias, eps)`."""
    width = math.prod(call.args[1])
    rows = call.result.numel() // width
    return {"K": width, "C": width, "OX": rows, "IX": rows, "FX": width, **_affine(call, 2, 3)}


def group_norm(call: Call) -> Fields:
    """Return `native_group_norm(x, weight, bias, N, C, HxW, group, eps)`."""
    channels, pixels, groups = call.args[4:7]
    return {**shapes.channels_first(call.result.shape), "FX": channels // groups * pixels, **_affine(call, 1, 2)}


def softmax(call: Call) -> Fields:
    """Return a softmax over one dimension."""
    return {**elementwise(call), "FX": call.result.shape[call.args[1]]}


def pooling(call: Call) -> Fields:
    """Return `max_pool2d_with_indices` or `avg_pool2d`: (x, kernel, stride, padding, ...)."""
    kernel, padding = _both(call.args[1]), _both(call.arg(3) or [0])
    strides = _both(call.arg(2) or list(kernel))
    window = {"FY": kernel[0], "FX": kernel[1], "strides": strides, "padding": padding * 2}
    return {**shapes.extents("I", call.args[0].shape), **shapes.extents("O", call.result.shape), **window}


def adaptive_pooling(call: Call) -> Fields:
    """Return `_adaptive_avg_pool2d(x, size)`: windows of ceil(in / out), as large as the largest that torch takes."""
    fields = {**shapes.extents("I", call.args[0].shape), **shapes.extents("O", call.result.shape)}
    return fields | {f"F{d}": -(-fields[f"I{d}"] // fields[f"O{d}"]) for d in "YX"}


def mean(call: Call) -> Fields:
    """Return a mean: over the image (global average pooling), or over any dimensions."""
    x = call.args[0]
    dims = sorted(d % x.dim() for d in (call.arg(1) or range(x.dim())))
    if x.dim() == 4 and dims == [2, 3]:
        n, c, y, z = x.shape
        return {"N": n, "C": c, "K": c, "IY": y, "IX": z, "FY": y, "FX": z}
    window = x.numel() // call.result.numel()
    return {"C": call.result.numel(), "K": call.result.numel(), "IX": window, "FX": window}


def scores(call: Call) -> Fields:
    """Return q k^T of a fused attention (q, k, v, ...), each (..., T, D); heads are groups."""
    q, k = call.args[0], call.args[1]
    heads, rows = math.prod(q.shape[:-2]), q.shape[-2]
    return {"K": heads * k.shape[-2], "C": heads * q.shape[-1], "groups": heads, "OX": rows, "IX": rows}


def scores_softmax(call: Call) -> Fields:
    """Return the softmax over the scores."""
    fields = scores(call)
    return {"K": fields["K"], "C": fields["K"], "OX": fields["OX"], "IX": fields["IX"], "FX": call.args[1].shape[-2]}


def attended(call: Call) -> Fields:
    """Return the scores times v."""
    fields = scores(call)
    return fields | {"K": fields["groups"] * call.args[2].shape[-1], "C": fields["K"]}


def prelu(call: Call) -> Fields:
    """Return `_prelu_kernel(x, weight)`: one comparison, and a weight per channel."""
    return {**shapes.channels_first(call.result.shape), "has_weight": call.is_parameter(call.args[1])}


def _affine(call: Call, weight: int, bias: int) -> Fields:
    return {"has_weight": call.arg(weight) is not None, "has_bias": call.arg(bias) is not None}


def _per_axis(values: list[int], missing: int) -> tuple[int, int]:
    """Return (y, x) of a convolution's sizes; in one dimension there is no y."""
    y, x = (missing, *values)[-2:]
    return y, x


def _both(values: list[int]) -> tuple[int, int]:
    """Return (y, x) of a pooling's sizes; a single size means both."""
    y, x = (*values, *values)[:2]
    return y, x


Step = tuple[str, Callable[[Call], Fields]]


def _same(kind: str, *names: str) -> dict[str, tuple[Step, ...]]:
    return {f"aten::{name}": ((kind, elementwise),) for name in names}


_NONLINEAR = ("gelu", "silu", "sigmoid", "tanh", "exp", "erf", "log", "sqrt", "rsqrt", "sin", "cos", "elu", "mish")

_ATTENTION: tuple[Step, ...] = (("matmul", scores), ("softmax", scores_softmax), ("matmul", attended))

#: Operator -> its steps, each a kind and a handler; a handler's own `kind` wins.
OPERATORS: dict[str, tuple[Step, ...]] = {
    "aten::convolution": (("conv", convolution),),
    "aten::addmm": (("linear", linear),),
    "aten::mm": (("linear", linear),),
    "aten::bmm": (("matmul", batched_matmul),),
    "aten::embedding": (("embedding", embedding),),
    "aten::native_batch_norm": (("batch_norm", batch_norm),),
    "aten::native_layer_norm": (("norm", layer_norm),),
    "aten::native_group_norm": (("norm", group_norm),),
    "aten::_softmax": (("softmax", softmax),),
    "aten::_safe_softmax": (("softmax", softmax),),
    "aten::max_pool2d_with_indices": (("max_pool", pooling),),
    "aten::avg_pool2d": (("avg_pool", pooling),),
    "aten::_adaptive_avg_pool2d": (("avg_pool", adaptive_pooling),),
    "aten::mean": (("avg_pool", mean),),
    "aten::mean.dim": (("avg_pool", mean),),
    "aten::_prelu_kernel": (("relu", prelu),),
    "aten::div.Tensor": (("reciprocal", elementwise), ("multiply", elementwise)),
    "aten::_scaled_dot_product_flash_attention": _ATTENTION,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _ATTENTION,
    "aten::_scaled_dot_product_efficient_attention": _ATTENTION,
    "aten::_scaled_dot_product_cudnn_attention": _ATTENTION,
    **_same("reshape", "cat", "stack", "constant_pad_nd", "pixel_shuffle", "upsample_nearest2d"),
    **_same("reciprocal", "reciprocal"),
    **_same("add", *(f"{op}.{what}" for op in ("add", "sub", "add_", "sub_") for what in ("Tensor", "Scalar"))),
    **_same("add", "rsub.Scalar"),
    **_same("multiply", *(f"{op}.{what}" for op in ("mul", "mul_") for what in ("Tensor", "Scalar"))),
    **_same("multiply", "div.Scalar", "div_.Scalar"),
    **_same("relu", "relu", "relu_", "leaky_relu", "leaky_relu_", "abs"),
    **_same("clip", "hardtanh", "hardtanh_", "clamp", "clamp_"),
    **_same("nonlinear", *_NONLINEAR, *(f"{name}_" for name in _NONLINEAR)),
    **_same("nonlinear", "hardswish", "hardswish_", "hardsigmoid", "softplus", "pow.Tensor_Scalar"),
}

#: Operators that only rename or copy elements, or make constants: no layer.
FREE = frozenset(
    f"aten::{name}"
    for name in (
        *("view", "_unsafe_view", "reshape", "t", "transpose.int", "permute", "expand", "slice.Tensor", "select.int"),
        *("unsqueeze", "squeeze", "squeeze.dim", "squeeze.dims", "detach", "alias", "clone", "_to_copy", "copy_"),
        *("contiguous", "split.Tensor", "split_with_sizes", "unsafe_split.Tensor", "unbind.int", "as_strided"),
        *("empty.memory_format", "zeros", "ones", "full", "arange", "arange.start", "scalar_tensor", "lift_fresh"),
        *("zeros_like", "ones_like", "unfold", "unsafe_split_with_sizes"),
    )
)

"""Batch norm and bias as one gain and one offset per channel, in float64."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.layers import QuantLayer

FloatArray = NDArray[np.float64]


def folded(name: str, layer: QuantLayer, norm: nn.BatchNorm2d | None) -> tuple[FloatArray, FloatArray]:
    """Return (gain, offset), each (K,): what bias and batch norm do to the layer's output y, as gain * y + offset.

    Raises:
        ValueError: the batch norm has no running statistics, or a number is not finite.
    """
    gain, offset = _folded(name, layer, norm)
    if not (np.isfinite(gain).all() and np.isfinite(offset).all()):
        raise ValueError(f"layer {name!r}: its bias or its batch norm is not finite")
    return gain, offset


def _folded(name: str, layer: QuantLayer, norm: nn.BatchNorm2d | None) -> tuple[FloatArray, FloatArray]:
    channels = len(layer.weight)
    bias = np.zeros(channels) if layer.bias is None else to_numpy(layer.bias)
    if norm is None:
        return np.ones(channels), bias
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"layer {name!r}: a batch norm without running statistics cannot be folded")
    gamma = np.ones(channels) if norm.weight is None else to_numpy(norm.weight)
    beta = np.zeros(channels) if norm.bias is None else to_numpy(norm.bias)
    gain = gamma / np.sqrt(to_numpy(norm.running_var) + norm.eps)
    return gain, beta + (bias - to_numpy(norm.running_mean)) * gain


def to_numpy(tensor: Tensor) -> FloatArray:
    """Return the tensor's float32 values as float64."""
    return np.asarray(tensor.detach().numpy(), dtype=np.float64)

"""Where a run computes: the processor, or a GPU.

A GPU's convolutions use no TF32, so that float32 is float32, and its kernels are deterministic, as the processor's.
"""

import os
import re
from collections.abc import Collection

import torch
from torch import nn
from torch.backends import cudnn

#: Methods that count codes by sums whose order on a GPU is not fixed.
CPU_METHODS = ("lq_nets",)


def check_device(name: str, methods: Collection[str]) -> None:
    """Check the form of a device's name, and that methods can train there.

    Raises:
        ValueError: it is not cpu, cuda or cuda:N, or a method is for the CPU only.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"device must be cpu, cuda or cuda:N, got {name!r}")
    for method in CPU_METHODS:
        if method in methods and name != "cpu":
            raise ValueError(f"{method} trains on the CPU only, got device {name}")


def open_device(name: str) -> torch.device:
    """Return the device, made ready for results that can be repeated.

    Raises:
        ValueError: torch sees no such device.
    """
    device = torch.device(name)
    if device.type == "cuda":
        seen = torch.cuda.device_count()
        if (device.index or 0) >= seen:
            raise ValueError(f"device {name} is asked for, but torch sees {seen or 'no'} CUDA devices")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic matrix products need
        cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    return device


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a network's parameters."""
    return next(model.parameters()).device


def placed(model: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
    """Return the network, moved to the device, its weights in the order of memory that is asked for."""
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model

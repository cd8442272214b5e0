"""Functions and methods that stand between layers, read as the modules that do the same."""

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

CALLS = ("call_function", "call_method")
SUMS = (operator.add, torch.add)
CONCATENATIONS = (torch.cat, torch.concat, torch.concatenate)


def is_sum(step: fx.Node) -> bool:
    """Return whether a step adds two tensors, without a factor."""
    is_function = step.op == "call_function" and step.target in SUMS
    is_method = step.op == "call_method" and step.target == "add"
    return (is_function or is_method) and step.kwargs.keys() <= {"input", "other"}


def is_concatenation(step: fx.Node) -> bool:
    """Return whether a step joins tensors along their channels."""
    dim = step.args[1] if len(step.args) > 1 else step.kwargs.get("dim", 0)
    return step.op == "call_function" and step.target in CONCATENATIONS and bool(dim == 1)


def concatenated(step: fx.Node) -> list[Any]:
    """Return what a step that joins tensors joins."""
    parts = step.args[0] if step.args else step.kwargs["tensors"]
    assert isinstance(parts, list | tuple)
    return [*parts]


def arguments(step: fx.Node) -> dict[str, Any]:
    """Return the arguments of a step that calls a function of `torch.nn.functional`, with its defaults; else none."""
    if step.target not in (functional.relu, functional.relu6, functional.dropout):
        return {}
    bound = inspect.signature(step.target).bind(*step.args, **step.kwargs)
    bound.apply_defaults()
    return bound.arguments


class Squeeze(nn.Module):
    """Images of one pixel as vectors; nothing where they are vectors already."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, C]`."""
        return x.flatten(1)


def as_module(step: fx.Node) -> nn.Module | None:
    """Return the module that computes what a function's or method's step does, or None if none is known.

    The constants among the step's arguments are the module's; its only tensor comes first.
    """
    build = BUILDERS.get(step.target) if step.op in CALLS else None
    constants = (*step.args[1:], *step.kwargs.values())
    if build is None or any(isinstance(value, fx.Node) for value in constants):
        return None
    try:
        return build(*step.args[1:], **step.kwargs)
    except (TypeError, ValueError):
        return None


def _relu(inplace: bool = False) -> nn.Module:
    return nn.ReLU()


def _relu6(inplace: bool = False) -> nn.Module:
    return nn.ReLU6()


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return nn.Dropout(p)


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


def _squeeze(dim: Any = (2, 3)) -> nn.Module:
    dims = dim if isinstance(dim, list | tuple) else [dim]
    if not {d % 4 for d in dims} <= {2, 3}:
        raise ValueError(f"height and width can be squeezed, got dimensions {dim}")
    return Squeeze()


def _mean(dim: Any, keepdim: bool = False) -> nn.Module:
    if sorted(d % 4 for d in dim) != [2, 3]:
        raise ValueError(f"a mean over height and width is known, got dimensions {dim}")
    return nn.AdaptiveAvgPool2d(1) if keepdim else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


BUILDERS: Mapping[Any, Callable[..., nn.Module]] = {
    functional.relu: _relu,
    torch.relu: _relu,
    "relu": _relu,
    functional.relu6: _relu6,
    functional.dropout: _dropout,
    torch.flatten: _flatten,
    "flatten": _flatten,
    torch.squeeze: _squeeze,
    "squeeze": _squeeze,
    torch.mean: _mean,
    "mean": _mean,
    functional.max_pool2d: nn.MaxPool2d,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}

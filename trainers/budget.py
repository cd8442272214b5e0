"""Budgets of bits: what the layers of a network may cost together."""

import re
from dataclasses import dataclass

import torch
from torch import nn

from hwsim.errors import unknown_name
from hwsim.workload import MAC_KINDS
from trainers.trace import trace_workload

KINDS = ("bits", "bops", "size")
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Budget:
    """A limit: average bits, bit operations per image, or bytes of weights (size).

    Raises:
        ValueError: the kind is not one of these.
    """

    kind: str
    limit: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("budget", self.kind, KINDS)


def parse_budget(text: str) -> Budget:
    """Return the budget of a text such as `bits=4`, `bops=0.5G` or `size=20k`.

    Raises:
        ValueError: the text is not of that form, or the number is not positive.
    """
    kind, _, amount = text.partition("=")
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([kMG]?)", amount)
    budget = Budget(kind, float(match[1]) * UNITS[match[2]] if match else 0.0)
    if not budget.limit:
        raise ValueError(f"a budget is {kind}=NUMBER with k, M or G for 10^3, 10^6 or 10^9, got {text!r}")
    return budget


def layer_macs(model: nn.Module, image_shape: tuple[int, ...]) -> dict[str, int]:
    """Return the multiplications per image of each convolution and linear layer of a float network, by name.

    A layer that runs several times counts as often.
    """
    workload = trace_workload(model, torch.empty(1, *image_shape, device="meta"))
    owners = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    layers = [layer for layer in workload.layers if layer.kind in MAC_KINDS]
    return {
        name: sum(layer.macs for layer in layers if layer.name == name or re.fullmatch(rf"{name}_\d+", layer.name))
        for name in owners
    }

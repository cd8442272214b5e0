"""The networks of the literature, from which the workload files of `hwsim.workloads` are generated.

`python -m trainers.literature FOLDER` writes them; a test compares them with what ships.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hwsim.workload import Workload
from hwsim.workloads import write_csv
from trainers.models.alexnet import alexnet
from trainers.models.imagenet_resnet import resnet18, resnet34, resnet50
from trainers.models.mobilenetv2 import mobilenetv2
from trainers.models.residual import ResidualNetwork
from trainers.models.vgg import vgg16
from trainers.trace import trace_workload

CIFAR_WIDTHS = (16, 32, 64)


def cifar_resnet(depth: int, shortcut: str) -> nn.Module:
    """Return the CIFAR ResNet of 6n + 2 layers (He et al., arXiv:1512.03385, section 4.2)."""
    return ResidualNetwork(CIFAR_WIDTHS, (depth - 2) // 6, 3, 10, shortcut)


#: Name -> (network, image size).
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (resnet18, 224),
    "resnet34": (resnet34, 224),
    "resnet50": (resnet50, 224),
    "resnet20_a": (lambda: cifar_resnet(20, "A"), 32),
    "resnet20_b": (lambda: cifar_resnet(20, "B"), 32),
    "resnet32_a": (lambda: cifar_resnet(32, "A"), 32),
    "resnet32_b": (lambda: cifar_resnet(32, "B"), 32),
    "resnet56_a": (lambda: cifar_resnet(56, "A"), 32),
    "resnet56_b": (lambda: cifar_resnet(56, "B"), 32),
    "mobilenetv2": (mobilenetv2, 224),
    "vgg16": (vgg16, 224),
    "alexnet": (alexnet, 224),
}


def traced(name: str) -> Workload:
    """Return a network of `NETWORKS` as a workload for one image; no weights are allocated."""
    make, size = NETWORKS[name]
    with torch.device("meta"):
        return trace_workload(make(), torch.empty(1, 3, size, size), name=name)


def main(folder: Path) -> None:
    """Write every network's workload file into the folder."""
    for name in NETWORKS:
        write_csv(traced(name), folder / f"{name}.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

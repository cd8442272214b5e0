"""Workloads of the literature's networks, and readers for workloads of any other."""

from functools import cache
from importlib import resources
from pathlib import Path

from hwsim.errors import unknown_name
from hwsim.extras import install_command, is_installed
from hwsim.workload import Workload, WorkloadError
from hwsim.workloads.csv_file import parse_csv, read_csv, write_csv
from hwsim.workloads.quantized import Precision, quantized, unquantized

__all__ = [
    "LITERATURE",
    "Precision",
    "literature",
    "load_workload",
    "quantized",
    "read_csv",
    "unquantized",
    "write_csv",
]

#: Networks that ship with their layers, for one image: 3x224x224, or 3x32x32 for the CIFAR networks.
LITERATURE = {
    "resnet18": "ResNet-18, ImageNet",
    "resnet34": "ResNet-34, ImageNet",
    "resnet50": "ResNet-50, ImageNet (stride in the 3x3 convolution)",
    "resnet20_a": "ResNet-20, CIFAR, zero-padded shortcuts",
    "resnet20_b": "ResNet-20, CIFAR, 1x1 convolutions as shortcuts",
    "resnet32_a": "ResNet-32, CIFAR, zero-padded shortcuts",
    "resnet32_b": "ResNet-32, CIFAR, 1x1 convolutions as shortcuts",
    "resnet56_a": "ResNet-56, CIFAR, zero-padded shortcuts",
    "resnet56_b": "ResNet-56, CIFAR, 1x1 convolutions as shortcuts",
    "mobilenetv2": "MobileNetV2, ImageNet",
    "vgg16": "VGG-16, ImageNet",
    "alexnet": "AlexNet in one column, ImageNet",
}


@cache
def literature(name: str) -> Workload:
    """Return a network of the literature, in floating point.

    Raises:
        ValueError: the name is not in `LITERATURE`; the nearest one is suggested.
    """
    if name not in LITERATURE:
        raise unknown_name("network", name, LITERATURE)
    text = resources.files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return parse_csv(text, name, f"{name}.csv")


def load_workload(source: str | Path) -> Workload:
    """Return a workload by name (of `LITERATURE`) or from a file: .csv, .onnx, or the .safetensors of a Network.

    Raises:
        ValueError: the name is unknown, the kind of file is not one of these, or the file is not in order.
        OSError: the file cannot be read.
    """
    if str(source) in LITERATURE:
        return literature(str(source))
    suffix = Path(source).suffix
    if not suffix:
        return literature(str(source))
    if suffix == ".csv":
        return read_csv(source)
    if suffix == ".onnx":
        _check_onnx(source)
        from hwsim.workloads.onnx_file import read_onnx

        return read_onnx(source)
    if suffix == ".safetensors":
        from hwsim.network_file import load_network

        return Workload.from_network(load_network(source))
    raise WorkloadError(
        f"{source}: a workload is a .csv, .onnx or .safetensors file, or one of {', '.join(LITERATURE)}"
    )


def _check_onnx(source: str | Path) -> None:
    if not is_installed("onnx"):
        raise WorkloadError(f"{source}: reading ONNX files needs the package onnx: {install_command('onnx')}")

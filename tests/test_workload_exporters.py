"""Exported workloads: what the other simulators will read from them."""

import csv
import io
import math
from typing import Any

import pytest

from hwsim.cost import Design, accelerator
from hwsim.workload import Layer, Workload, WorkloadError
from hwsim.workloads import LITERATURE, Precision, literature, quantized
from hwsim.workloads.exporters import EXPORTERS, to_scalesim, to_timeloop, to_zigzag

yaml = pytest.importorskip("yaml")


def scalesim_rows(workload: Workload) -> list[tuple[str, list[int]]]:
    """Return (name, the seven numbers) of each line, read as SCALE-Sim does: the last cell of a line is dropped."""
    _, *rows = csv.reader(io.StringIO(to_scalesim(workload)))
    return [(row[0], [int(cell) for cell in row[1:-1]]) for row in rows]


def pixels(size: int, window: int, stride: int) -> int:
    return math.ceil((size - window + stride) / stride)


@pytest.mark.parametrize("name", LITERATURE)
def test_scale_sim_will_count_the_same_macs(name: str) -> None:
    total = 0
    for _, (height, width, fy, fx, channels, filters, stride) in scalesim_rows(literature(name)):
        total += pixels(height, fy, stride) * pixels(width, fx, stride) * fy * fx * channels * filters
    assert total == literature(name).macs


def test_scale_sim_will_count_the_same_cycles() -> None:
    """Its closed form over the exported lines is the accelerator model's count."""
    cycles = 0
    for _, (height, width, fy, fx, channels, filters, stride) in scalesim_rows(literature("resnet18")):
        m, k = pixels(height, fy, stride) * pixels(width, fx, stride), fy * fx * channels
        cycles += math.ceil(m / 32) * math.ceil(filters / 32) * (k + 62) - 1
    assert cycles == 2_133_315 == accelerator(literature("resnet18"), Design()).value("cycles")


def test_padding_becomes_extent() -> None:
    """conv1 of ResNet-18: 112 windows of 7, 2 apart, span 229 of 224 + 6 pixels."""
    assert scalesim_rows(literature("resnet18"))[0] == ("conv1", [229, 229, 7, 7, 3, 64, 2])


def test_a_depthwise_convolution_is_a_line_per_group() -> None:
    rows = scalesim_rows(Workload("x", (Layer("DPconv", "conv", K=3, C=3, groups=3, has_weight=True),)))
    assert [name for name, _ in rows] == ["dpconv.g0", "dpconv.g1", "dpconv.g2"]


def test_two_strides_are_written_as_a_matrix() -> None:
    sizes: dict[str, Any] = {"K": 4, "C": 3, "OY": 5, "OX": 3, "IY": 5, "IX": 5, "FX": 1, "strides": (1, 2)}
    (row,) = scalesim_rows(Workload("x", (Layer("c", "conv", **sizes, has_weight=True),)))
    assert row == ("c", [15, 3, 1, 3, 1, 4, 1])


def test_zigzag_reads_layers_sizes_and_precisions() -> None:
    workload = quantized(literature("resnet20_b"), Precision("uniform", 4))
    layers = yaml.safe_load(to_zigzag(workload))
    assert len(layers) == len(workload.mac_layers)
    for entry, layer in zip(layers, workload.mac_layers, strict=True):
        assert entry["name"] == layer.key
        assert math.prod(entry["loop_sizes"]) == layer.macs
        assert entry["operand_precision"]["W"] == layer.weight_bits
    assert layers[0]["operand_source"] == {"I": 0, "W": 0}
    names = {entry["name"]: entry["id"] for entry in layers}
    shortcut = layers[names["layer2.0.shortcut.0"]]
    assert shortcut["operand_source"]["I"] == layers[names["layer2.0.conv1"]]["operand_source"]["I"]


def test_timeloop_reads_one_problem_per_layer() -> None:
    layer = literature("mobilenetv2").layer("features.2.conv.1.0")
    problem = yaml.safe_load(to_timeloop(layer))["problem"]
    sizes = problem["instance"]
    assert math.prod(sizes[d] for d in problem["shape"]["dimensions"]) == layer.macs
    assert (sizes["G"], sizes["Wstride"], sizes["P"]) == (96, 2, 56)


def test_what_cannot_be_exported_is_refused() -> None:
    with pytest.raises(WorkloadError, match="layer a: a relu layer is no Timeloop problem"):
        to_timeloop(Layer("a", "relu"))
    for export in EXPORTERS.values():
        with pytest.raises(WorkloadError, match="workload x has no layer with products"):
            export(Workload("x", (Layer("a", "relu"),)))

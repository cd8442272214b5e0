"""Numbers that other tools gave for the same layers, measured by running them.

SCALE-Sim 3.0.0 (numpy 1.24) read `to_scalesim` of five layers of ResNet-20 B on a 16 x 8 array with 64 KiB buffers.
QONNX 1.0.0 read ResNet-20 A as torch exports it.
"""

import pytest

from hwsim.cost import Design, accelerator, bops
from hwsim.workloads import literature

LAYERS = ("conv1", "layer2.0.conv1", "layer2.0.shortcut.0", "layer3.1.conv2", "linear")

# COMPUTE_REPORT.csv, column "Total Cycles".
CYCLES = {
    "os": (6271, 10623, 2431, 19135, 171),
    "ws": (4247, 10583, 1175, 29375, 311),
    "is": (13823, 20159, 2239, 29375, 191),
}

# DETAILED_ACCESS_REPORT.csv, columns "SRAM IFMAP Reads" and "SRAM Filter Reads".
READS = {
    "os": ((55296, 27648), (147456, 73728), (16384, 8192), (294912, 147456), (128, 640)),
    "ws": ((55296, 432), (147456, 4608), (16384, 512), (294912, 36864), (128, 640)),
    "is": ((27648, 55296), (36864, 147456), (4096, 16384), (36864, 294912), (64, 640)),
}

# "SRAM OFMAP Writes" (output stationary over-counts by 2 C per fold and is left out).
WRITES = {"ws": (32768, 73728, 8192, 147456, 40), "is": (32768, 73728, 8192, 147456, 40)}

# COMPUTE_REPORT.csv, column "Compute Util %", of the output-stationary run.
UTILIZATION = (55.102040816326635, 86.74698795180709, 42.10526315789477, 96.32107023411368, 2.9069767441860463)


@pytest.mark.parametrize("dataflow", CYCLES)
def test_scale_sims_cycles_and_accesses(dataflow: str) -> None:
    table = accelerator(literature("resnet20_b"), Design(rows=16, columns=8, dataflow=dataflow))
    for i, layer in enumerate(LAYERS):
        assert table.value("cycles", layer=layer) == CYCLES[dataflow][i]
        reads = tuple(table.value("sram_accesses", layer=layer, part=f"{b} buffer reads") for b in ("input", "weight"))
        assert reads == READS[dataflow][i]
        if dataflow in WRITES:
            assert table.value("sram_accesses", layer=layer, part="output buffer writes") == WRITES[dataflow][i]


def test_scale_sims_utilization() -> None:
    table = accelerator(literature("resnet20_b"), Design(rows=16, columns=8))
    found = [100 * table.value("utilization", layer=layer) for layer in LAYERS]
    assert found == pytest.approx(UTILIZATION, rel=1e-13)


def test_qonnx_counts_the_same_bops() -> None:
    workload = literature("resnet20_a")
    assert workload.macs == 40_551_040
    assert bops(workload, "qonnx").value("bops") == 41_524_264_960

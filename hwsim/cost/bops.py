"""Bit operations (BOPs): one number for arithmetic at mixed precision, under the conventions of the literature."""

from hwsim.cost.counts import part_of
from hwsim.cost.table import CostTable, Entry
from hwsim.workload import Workload


def macs_bits(workload: Workload) -> CostTable:
    """Return MACs x weight bits x activation bits per layer (HAWQ-V3, arXiv:2011.10680; LIMPQ; NIPQ).

    Bits are those that store a code; an operand without a format has 32.
    """
    source = "HAWQ-V3, arXiv:2011.10680"
    return CostTable(
        tuple(
            Entry(
                layer.name,
                part_of(layer, "products"),
                "bops",
                layer.macs * layer.weight_bits * layer.activation_bits,
                "bit operation",
                "macs_bits",
                source,
            )
            for layer in workload.mac_layers
        )
    )

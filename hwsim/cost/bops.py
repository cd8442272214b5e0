"""Bit operations (BOPs): one number for arithmetic at mixed precision, under the conventions of the literature.

Bits are those that store a code; an operand without a format has 32. Layers without products count nothing, in every
convention. The conventions answer different questions: compare numbers of one convention only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from hwsim.cost.counts import part_of
from hwsim.cost.table import CostTable, Entry, Number
from hwsim.errors import unknown_name
from hwsim.workload import FLOAT_BITS, Layer, Workload


@dataclass(frozen=True)
class Convention:
    """How one layer's BOPs are counted: None where the convention needs weights that are not known."""

    count: Callable[[Layer], Number | None]
    unit: str
    source: str


def macs_bits(layer: Layer) -> int:
    """Return MACs x weight bits x activation bits."""
    return layer.macs * layer.weight_bits * layer.activation_bits


def uniq(layer: Layer) -> float:
    """Return MACs x (b_a b_w + b_a + b_w + log2(C/groups FY FX)): the products, and the adders they need."""
    b_a, b_w = layer.activation_bits, layer.weight_bits
    return layer.macs * (b_a * b_w + b_a + b_w + math.log2(layer.terms))


def ebops(layer: Layer) -> int | None:
    """Return, over all products, the bits of the weight from its first to its last set bit, x activation bits.

    A zero weight is free, a power of two costs one bit, a table read counts like the shift behind it. Every output
    position is counted, as in hardware that is fully unrolled.
    """
    if layer.facts is None:
        return None
    return layer.facts.enclosed_bits * (layer.macs // layer.operand_elements) * layer.activation_bits


def qonnx_sparse(layer: Layer) -> int | None:
    """Return MACs with nonzero weights x weight bits x activation bits: QONNX' default."""
    if layer.facts is None:
        return None
    share = layer.facts.nonzero * (layer.macs // layer.operand_elements)
    return share * layer.weight_bits * layer.activation_bits


def asq_linear(layer: Layer) -> float:
    """Return OPS x b_w / 32: multiplications of convolutions, multiplications and additions of linear layers.

    One width only, and linear in it: that activations shrink too does not show.
    """
    operations = layer.macs * (2 if layer.kind == "linear" else 1)
    return operations * layer.weight_bits / FLOAT_BITS


CONVENTIONS: dict[str, Convention] = {
    "macs_bits": Convention(macs_bits, "bit operation", "HAWQ-V3, arXiv:2011.10680; LIMPQ, arXiv:2203.08368"),
    "uniq": Convention(uniq, "bit operation", "Baskin et al., arXiv:1804.10969"),
    "ebops": Convention(ebops, "bit operation", "HGQ, arXiv:2405.00645"),
    "qonnx": Convention(macs_bits, "bit operation", "QONNX inference_cost, discount_sparsity=False"),
    "qonnx_sparse": Convention(qonnx_sparse, "bit operation", "QONNX inference_cost, discount_sparsity=True"),
    "asq_linear": Convention(asq_linear, "32-bit operation", "ASQ, arXiv:2504.17263, eqs. 12, 13, 15, 16"),
}


def bops(workload: Workload, convention: str) -> CostTable:
    """Return the BOPs of each layer with products under one convention.

    Raises:
        ValueError: the convention is unknown, or needs weight codes, which the workload does not know.
    """
    if convention not in CONVENTIONS:
        raise unknown_name("BOPs convention", convention, CONVENTIONS)
    entries = _entries(workload, convention)
    if workload.mac_layers and not len(entries):
        raise ValueError(f"{convention} needs weight codes: {workload.name} has none, take a trained network")
    return entries


def _entries(workload: Workload, convention: str) -> CostTable:
    rule = CONVENTIONS[convention]
    counted = ((layer, rule.count(layer)) for layer in workload.mac_layers)
    return CostTable(
        tuple(
            Entry(layer.name, part_of(layer, "products"), "bops", value, rule.unit, convention, rule.source)
            for layer, value in counted
            if value is not None
        )
    )


def all_bops(workload: Workload) -> CostTable:
    """Return the BOPs under every convention that the workload's knowledge of its weights allows, side by side.

    `ebops` and `qonnx_sparse` need weight codes: only workloads of a Network (or a file with weights) have them.
    """
    return CostTable(tuple(entry for convention in CONVENTIONS for entry in _entries(workload, convention)))

"""The cost of an integer network, counted from its own weight codes, against counts by hand."""

import numpy as np
import pytest

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.cost import CostTable, bops, evaluate, network_cost, summary
from hwsim.formats import PowerOfSqrtTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Network
from hwsim.nodes import AvgPool, Conv, Input, Quantize, Relu, Rescale
from hwsim.workload import Workload, WorkloadError
from hwsim.workloads import Precision, literature, quantized
from hwsim.workloads.facts import weight_facts


def post_network() -> Network:
    """Return a 4-bit POST convolution with every helper node, on 1 x 8 x 8 images."""
    activation = Uniform(4, signed=False)
    multiplier = multiplier_for(PowerOfSqrtTwo(4), activation)
    codes = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 9], [10, 11, 12, 13, 14, 15, 0, 0, 1]]).reshape(2, 1, 3, 3)
    scale = Requantizer(np.array([5, -3]), np.array([4, 4]))
    conv = Conv("c", ("q",), weight=codes, multiplier=multiplier, accumulator=Accumulator(24), padding=(1, 1))
    nodes = (
        Input("in", (), shape=(1, 8, 8)),
        Quantize("q", ("in",), format=activation, requantizer=Requantizer(np.array(3), np.array(9))),
        conv,
        Rescale("r", ("c",), requantizer=scale, bias=np.array([1, 2])),
        Relu("relu", ("r",)),
        AvgPool("pool", ("relu",), kernel=(8, 8), stride=(8, 8), requantizer=Requantizer(np.array(1), np.array(6))),
    )
    return Network(nodes)


def test_every_operation_of_a_network_is_counted() -> None:
    """Derivation: 64 pixels in, 2 channels of 64 pixels out, 9 products each; the facts of the codes are tested apart.

    multiply: quantizer 64, rescale 128, mean 2. shift: products 64*18, quantizer 64, rescale 128, mean 2. add: sums
    8*128, bias 128, mean 2*63. compare: quantizer 2*64, ReLU 128. table_read: 64*6.
    """
    table = network_cost(post_network())
    assert summary(table) == {
        "parameters": 18 + 2 + 2 + 1 + 1,
        "weight_storage_bits": 18 * 4,
        "storage_bits": 18 * 4 + 2 * 32 + 2 * (3 + 1 + 6) + (2 + 6) + (1 + 6) + 16 * 11,
        "macs": 64 * 18,
        "multiplications": 64 + 128 + 2,
        "shifts": 64 * 18 + 64 + 128 + 2,
        "additions": 8 * 128 + 128 + 2 * 63,
        "table_reads": 64 * 6,
        "bops": 64 * 18 * 16,
        "table_bits": 16 * 11,
    }
    assert table.value("compare") == 2 * 64 + 128


def test_a_trained_network_takes_no_other_precision() -> None:
    """Its quantizers and scales would be counted twice."""
    with pytest.raises(WorkloadError, match="is a trained network: it has its own precision"):
        quantized(Workload.from_network(post_network()), Precision("post", 4))


def test_a_metric_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="metric 'counts' stands twice"):
        evaluate(Workload.from_network(post_network()), ["counts", "bops", "counts"])


@pytest.mark.parametrize("convention", ["ebops", "qonnx_sparse"])
def test_bops_of_weight_codes_need_a_trained_network(convention: str) -> None:
    assert len(bops(Workload.from_network(post_network()), convention)) == 1
    with pytest.raises(ValueError, match=f"{convention} needs weight codes: resnet18 has none, take a trained network"):
        bops(literature("resnet18"), convention)


def test_a_summary_of_nothing_is_zero() -> None:
    assert set(summary(CostTable()).values()) == {0}


def test_a_network_becomes_one_layer_per_node() -> None:
    workload = Workload.from_network(post_network())
    assert [layer.kind for layer in workload] == ["reshape", "quantize", "conv", "rescale", "relu", "avg_pool"]
    conv = workload.layer("c")
    assert (conv.macs, conv.terms, conv.accumulator_bits, conv.inputs) == (64 * 2 * 9, 9, 24, ("q",))
    assert (conv.weight_bits, conv.activation_bits) == (4, 4)


def test_the_facts_of_weight_codes_are_exact() -> None:
    facts = Workload.from_network(post_network()).layer("c").facts
    assert facts is not None
    # fields 2, 4, 6 of either sign are odd exponents: codes 2, 4, 6, 10, 12, 14; codes 0 are three of the eighteen
    assert dict(facts.operations) == {"shift": 18, "table_read": 6}
    assert (facts.nonzero, facts.enclosed_bits) == (15, 15)


def test_enclosed_bits_are_those_between_the_ends() -> None:
    multiplier = multiplier_for(Uniform(4), Uniform(4, signed=False))
    codes = np.array([0, 1, 6, 5, 8, 15])  # 0, 1, 110 -> 11, 101, -1000 -> 1, -1
    assert weight_facts(multiplier, codes).enclosed_bits == 0 + 1 + 2 + 3 + 1 + 1

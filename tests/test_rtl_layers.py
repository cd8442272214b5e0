"""Layers of networks on systolic arrays in simulation, against the reference engine and the accelerator model."""

from dataclasses import replace

import numpy as np
import pytest
from random_networks import random_images, random_network

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import IntArray, Requantizer
from hwsim.cost.accelerator import accelerator
from hwsim.cost.design import Design
from hwsim.formats import Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import Conv, Input, Matmul, Quantize, Rescale
from hwsim.workload import Workload

pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")

from hwsim.rtl.adapt import betas_by_circuit
from hwsim.rtl.adapter import AdapterCircuit
from hwsim.rtl.from_network import layer_adapter
from hwsim.rtl.layer_operands import Operands, layer_operands
from hwsim.rtl.verify_layer import ArrayChoice, LayerCheck, verify_layer

pytestmark = pytest.mark.rtl


def small_network() -> Network:
    """Return one convolution with stride, padding, dilation and 2 groups: M = 12 for one image, K = 12, N = 3 each."""
    rng = np.random.default_rng(0)
    activation = Uniform(3, signed=False)
    conv = Conv(
        "conv",
        ("codes",),
        weight=rng.integers(0, 8, (6, 2, 2, 3)),
        multiplier=multiplier_for(Uniform(3), activation),
        accumulator=Accumulator(6, "saturate"),
        stride=(2, 1),
        padding=(1, 0),
        dilation=(1, 2),
        groups=2,
    )
    to_codes = Requantizer(np.array(1), np.array(4))
    to_fixed = Requantizer(rng.integers(-99, 99, 6), np.full(6, 3), "half_even")
    nodes = (
        Input("image", (), (4, 5, 8)),
        Quantize("codes", ("image",), format=activation, requantizer=to_codes),
        conv,
        Rescale("rescale", ("conv",), requantizer=to_fixed, bias=rng.integers(-500, 500, 6)),
    )
    return Network(nodes, Datapath(12, 6))


SMALL = small_network()


def checked(network: Network, name: str, positions: int | None, choice: ArrayChoice, count: int = 1) -> LayerCheck:
    return verify_layer(network, name, random_images(network, 0, count), positions, choice)


@pytest.mark.parametrize("dataflow", ["os", "ws"])
def test_a_layer_with_groups_takes_the_cycles_of_the_accelerator(dataflow: str) -> None:
    check = checked(SMALL, "conv", None, ArrayChoice(3, 2, dataflow))
    assert check.passed, check
    assert (check.size, check.groups) == ((12, 12, 3), 2)
    assert (check.sums.values, [part.values for part in check.rescaled]) == (72, [72])
    table = accelerator(Workload.from_network(SMALL), Design(rows=3, columns=2, dataflow=dataflow))
    (cycles,) = [row.value for row in table if (row.layer, row.quantity) == ("conv", "cycles")]
    assert check.cycles == cycles


def test_positions_are_spread_over_all_images() -> None:
    check = checked(SMALL, "conv", 5, ArrayChoice(2, 3), count=3)
    assert check.passed, check
    assert check.size == (5, 12, 3)


@pytest.mark.parametrize("dataflow", ["os", "ws"])
@pytest.mark.parametrize(
    ("seed", "layer"), [(0, "conv7"), (0, "linear13"), (2, "conv3"), (9, "conv7"), (12, "conv6"), (14, "linear14")]
)
def test_layers_of_random_networks(seed: int, layer: str, dataflow: str) -> None:
    """Among them two with ASQ's beta, and accumulators that wrap and saturate."""
    network = random_network(seed, 2)
    positions = min(3, int(np.prod(network.shapes[layer][1:])))
    check = checked(network, layer, positions, ArrayChoice(2, 3, dataflow))
    assert check.passed, check
    assert len(check.rescaled) == 1
    assert (check.beta is not None) == any(
        layer_adapter(network, node) for node in network.layers if node.name == layer
    )


def test_a_wrong_beta_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(circuit: AdapterCircuit, sums: IntArray, simulator: str) -> IntArray:
        betas = betas_by_circuit(circuit, sums, simulator)
        betas[1] += 1
        return betas

    monkeypatch.setattr("hwsim.rtl.verify_layer.betas_by_circuit", wrong)
    check = checked(random_network(0, 2), "conv7", 1, ArrayChoice(2, 2), count=3)
    assert check.beta is not None
    assert (check.passed, check.beta.node, check.beta.values, check.beta.differing) == (False, "adapter5", 3, 1)
    assert check.beta.first.startswith("image 1, channel 0: ")


@pytest.mark.slow
@pytest.mark.parametrize("dataflow", ["os", "ws"])
@pytest.mark.parametrize("seed", range(20))
def test_every_layer_of_random_networks(seed: int, dataflow: str) -> None:
    network = random_network(seed, 2)
    for layer in network.layers:
        positions = min(8, int(np.prod(network.shapes[layer.name][1:])))
        check = checked(network, layer.name, positions, ArrayChoice(3, 2, dataflow), count=2)
        assert check.passed, check


def test_a_wrong_weight_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(layer: Matmul, codes: IntArray) -> list[Operands]:
        first, second = layer_operands(layer, codes)
        return [first, replace(second, weight=np.where(np.indices(second.weight.shape)[0] == 1, 3, second.weight))]

    monkeypatch.setattr("hwsim.rtl.verify_layer.layer_operands", wrong)
    check = checked(SMALL, "conv", 4, ArrayChoice(2, 2))
    assert not check.passed
    assert 0 < check.sums.differing <= 4
    assert "channel 4: " in check.sums.first
    assert check.rescaled[0].differing
    assert check.cycles == check.model_cycles


def test_a_wrong_cycle_count_is_found_out() -> None:
    check = checked(SMALL, "conv", 1, ArrayChoice(2, 2))
    assert check.passed
    assert not replace(check, cycles=check.cycles + 1).passed


def test_progress_counts_to_the_models_cycles() -> None:
    told: list[tuple[int, int]] = []
    check = verify_layer(
        SMALL, "conv", random_images(SMALL, 0, 1), 2, ArrayChoice(2, 2), lambda *cycles: told.append(cycles)
    )
    total = check.model_cycles + 1
    assert told == [(done, total) for done in range(1, total + 1)]


@pytest.mark.parametrize(
    ("layer", "positions", "choice", "message"),
    [
        ("rescale", 1, ArrayChoice(), r"layer 'rescale' is of kind Rescale, without products \(with: conv\)"),
        ("cov", 1, ArrayChoice(), "unknown layer 'cov'; did you mean 'conv'"),
        ("conv", 13, ArrayChoice(), r"positions of layer 'conv' must be an integer in 1\.\.12, got 13"),
        ("conv", 1, ArrayChoice(0), r"layer 'conv', multiplier array: rows of a systolic array must be"),
        ("conv", 1, ArrayChoice(dataflow="is"), "layer 'conv', multiplier array: unknown dataflow of a systolic array"),
        ("conv", 1, ArrayChoice(simulator="vcs"), "unknown simulator 'vcs'"),
    ],
)
def test_what_cannot_be_checked_is_refused(layer: str, positions: int, choice: ArrayChoice, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(SMALL, layer, positions, choice)


def test_a_bias_beyond_the_datapath_is_refused() -> None:
    rescale = SMALL.nodes_of(Rescale)[0]
    network = replace(SMALL, nodes=(*SMALL.nodes[:-1], replace(rescale, bias=np.full(6, 1 << 12))))
    with pytest.raises(ValueError, match=r"bits of the bias of 'rescale' must be an integer in 1\.\.12, got 14"):
        checked(network, "conv", 1, ArrayChoice())

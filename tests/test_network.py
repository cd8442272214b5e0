"""The integer network: its rules, each broken once, and its shapes."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_networks import random_images, random_network

from hwsim.accumulator import Accumulator
from hwsim.adapter import AdapterLayer
from hwsim.arithmetic import Requantizer
from hwsim.engines import ENGINES, simulate
from hwsim.formats import Apot, Codebook, PowerOfTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import (
    NODES,
    Adapter,
    AdaptiveQuantize,
    AdaptiveRescale,
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Flatten,
    Input,
    Linear,
    MaxPool,
    Node,
    PadChannels,
    Quantize,
    Relu,
    Rescale,
    Threshold,
)

UNSIGNED = Uniform(4, signed=False)
WEIGHTS = PowerOfTwo(4)


def scale(multiplier: Any = 1, shift: Any = 0) -> Requantizer:
    return Requantizer(np.array(multiplier, np.int64), np.broadcast_to(np.array(shift, np.int64), np.shape(multiplier)))


def bias(channels: int, value: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.full(channels, value, np.int64)


def codes(*shape: int, code: int = 1) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.full(shape, code, np.int64)


LAYER: dict[str, Any] = {"multiplier": multiplier_for(WEIGHTS, UNSIGNED), "accumulator": Accumulator(24)}
ADAPTER = tuple(AdapterLayer(codes(j, c), bias(j, 5), scale()) for j, c in ((3, 12), (1, 3)))
GOOD: tuple[Node, ...] = (
    Input("image", (), (2, 7, 9)),
    Quantize("codes", ("image",), format=UNSIGNED, requantizer=scale([1, 2])),
    Conv(
        "conv", ("codes",), weight=codes(4, 1, 3, 2), **LAYER, stride=(2, 1), padding=(1, 2), dilation=(1, 3), groups=2
    ),
    Rescale("scaled", ("conv",), requantizer=scale(), bias=bias(4)),
    PadChannels("padded", ("image",), before=1, after=1),
    AvgPool("average", ("padded",), kernel=(2, 2), stride=(2, 1), padding=(1, 1), requantizer=scale(1, 2)),
    MaxPool("max", ("scaled",), kernel=(1, 3), stride=(1, 1), padding=(0, 0)),
    Add("sum", ("average", "scaled")),
    Clip("clipped", ("sum",), low=0, high=100),
    Relu("relu", ("clipped",)),
    Concat("joined", ("relu", "average", "scaled")),
    Flatten("flat", ("joined",)),
    Threshold("other_codes", ("joined",), format=Apot(2), thresholds=np.array([-3, 5])),
    Adapter("factor", ("joined",), format=UNSIGNED, requantizer=scale(), layers=ADAPTER),
    AdaptiveQuantize("head_codes", ("flat", "factor"), format=UNSIGNED, requantizer=scale(1 << 15, 3)),
    Linear("head", ("head_codes",), weight=codes(3, 12 * 4 * 10), **LAYER),
    AdaptiveRescale("out", ("head", "factor"), requantizer=scale([1, 2, 3]), bias=bias(3), beta_bits=16),
)


def changed(changed_node: str, /, **fields: Any) -> tuple[Node, ...]:
    """Return the good network's nodes with some fields of one node changed."""
    return tuple(replace(node, **fields) if node.name == changed_node else node for node in GOOD)


def test_shapes_of_every_node_kind() -> None:
    network = Network(GOOD)
    assert {type(node) for node in network.nodes} == set(NODES.values())
    assert network.shapes == {
        "image": (2, 7, 9),
        "codes": (2, 7, 9),
        "conv": (4, 4, 10),
        "scaled": (4, 4, 10),
        "padded": (4, 7, 9),
        "average": (4, 4, 10),
        "max": (4, 4, 8),
        "sum": (4, 4, 10),
        "clipped": (4, 4, 10),
        "relu": (4, 4, 10),
        "joined": (12, 4, 10),
        "flat": (480,),
        "other_codes": (12, 4, 10),
        "factor": (1,),
        "head_codes": (480,),
        "head": (3,),
        "out": (3,),
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_shapes_are_those_of_the_tensors(engine: str) -> None:
    for seed in range(10):
        network = random_network(seed)
        trace = simulate(network, random_images(network, seed, 2), engine, trace=True).trace
        assert trace is not None
        assert {name: tensor.shape[1:] for name, tensor in trace.items()} == network.shapes


def test_lookups() -> None:
    network = Network(GOOD, Datapath(32, 16), name="good", metadata={"a": 1})
    assert network.input is network.nodes[0]
    assert network.output is network.nodes[-1]
    assert network.node("conv") is network.nodes[2]
    assert [node.name for node in network.layers] == ["conv", "head"]
    assert [node.name for node in network.nodes_of(Quantize)] == ["codes", "head_codes"]
    assert [node.name for node in network.nodes_of(Linear)] == ["head"]
    assert (network.datapath.bits, network.datapath.frac_bits, network.datapath.range) == (
        32,
        16,
        (-(2**31), 2**31 - 1),
    )
    assert (network.name, dict(network.metadata)) == ("good", {"a": 1})
    with pytest.raises(ValueError, match=r"unknown node 'convv'; did you mean 'conv'\?"):
        network.node("convv")


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("conv", {"name": "codes"}, "two nodes are named 'codes'"),
    ("conv", {"inputs": ("cods",)}, "node 'conv' reads 'cods', which no earlier node makes"),
    ("conv", {"inputs": ("head_codes",)}, "node 'conv' reads 'head_codes', which no earlier node makes"),
    ("conv", {"inputs": ("image",)}, "node 'conv' takes codes, but 'image' makes fixed"),
    ("relu", {"inputs": ("conv",)}, "node 'relu' takes fixed, but 'conv' makes sums"),
    ("scaled", {"inputs": ("codes",)}, "node 'scaled' takes sums, but 'codes' makes codes"),
    ("conv", {"inputs": ()}, "node 'conv' takes 1 inputs, got 0"),
    ("sum", {"inputs": ("scaled",)}, "node 'sum' takes 2 inputs, got 1"),
    ("sum", {"inputs": ("scaled",) * 3}, "node 'sum' takes 2 inputs, got 3"),
    ("joined", {"inputs": ("relu",)}, "node 'joined' takes two or more inputs, got 1"),
    ("image", {"inputs": ("out",)}, "node 'image' takes 0 inputs, got 1"),
    ("image", {"shape": ()}, "node 'image' needs a shape of positive sizes, got ()"),
    ("image", {"shape": (2, 0, 9)}, "node 'image' needs a shape of positive sizes, got (2, 0, 9)"),
    ("image", {"shape": (2, 63)}, "takes an image (C, H, W), got shape (2, 63)"),
    ("codes", {"requantizer": scale([1, 2, 3])}, "node 'codes' has 3 multipliers for 2 channels"),
    ("codes", {"offset": 2**31 + 1}, "node 'codes' has an offset of 2147483649, beyond the datapath"),
    ("codes", {"format": Apot(4)}, "node 'codes' makes uniform or offset codes; a threshold node makes Apot(bits=4"),
    ("head_codes", {"offset": 1}, "node 'head_codes' divides by beta: it has no offset, got 1"),
    (
        "other_codes",
        {"thresholds": bias(3)},
        "node 'other_codes' needs 2 thresholds that do not descend, got [0, 0, 0]",
    ),
    ("other_codes", {"thresholds": np.array([5, 4])}, "node 'other_codes' needs 2 thresholds that do not descend, got"),
    ("conv", {"multiplier": multiplier_for(WEIGHTS, Codebook(4, (1, 2)))}, "node 'conv' pads with zeros, but 0 is not"),
    ("average", {"requantizer": scale([1, 2])}, "node 'average' has 2 multipliers for 4 channels"),
    ("scaled", {"requantizer": scale([1, 2])}, "node 'scaled' has 2 multipliers for 4 channels"),
    ("scaled", {"bias": bias(5)}, "node 'scaled' has a bias of shape (5,) for 4 channels"),
    ("scaled", {"bias": bias(1)}, "node 'scaled' has a bias of shape (1,) for 4 channels"),
    ("conv", {"groups": 1}, "node 'conv': 2 input channels and 4 kernels of depth 1 do not divide into 1 groups"),
    (
        "conv",
        {"weight": codes(3, 1, 3, 2)},
        "node 'conv': 2 input channels and 3 kernels of depth 1 do not divide into 2",
    ),
    (
        "conv",
        {"weight": codes(4, 2, 3, 2)},
        "node 'conv': 2 input channels and 4 kernels of depth 2 do not divide into 2",
    ),
    ("conv", {"groups": 0}, "node 'conv': 2 input channels and 4 kernels of depth 1 do not divide into 0 groups"),
    ("conv", {"groups": -2}, "do not divide into -2 groups"),
    ("conv", {"dilation": (1, 0)}, "node 'conv': dilation must be at least 1, got (1, 0)"),
    ("conv", {"weight": codes(4, 6)}, "node 'conv' needs a weight with 4 axes, none empty, got shape (4, 6)"),
    (
        "conv",
        {"weight": codes(4, 1, 0, 2)},
        "node 'conv' needs a weight with 4 axes, none empty, got shape (4, 1, 0, 2)",
    ),
    (
        "head",
        {"weight": codes(3, 12, 4, 10)},
        "node 'head' needs a weight with 2 axes, none empty, got shape (3, 12, 4",
    ),
    ("head", {"weight": codes(0, 480)}, "node 'head' needs a weight with 2 axes, none empty, got shape (0, 480)"),
    ("head", {"weight": codes(3, 479)}, "node 'head' takes shape (479,), got (480,)"),
    ("conv", {"stride": (0, 1)}, "node 'conv': a window of (3, 4) with stride (0, 1) and padding (1, 2) does not fit"),
    ("conv", {"stride": (2, -1)}, "with stride (2, -1) and padding (1, 2) does not fit an image of (7, 9)"),
    ("conv", {"padding": (1, -1)}, "with stride (2, 1) and padding (1, -1) does not fit an image of (7, 9)"),
    (
        "conv",
        {"dilation": (5, 3)},
        "node 'conv': a window of (11, 4) with stride (2, 1) and padding (1, 2) does not fit",
    ),
    ("max", {"kernel": (0, 3)}, "node 'max': a window of (0, 3) with stride (1, 1) and padding (0, 0) does not fit"),
    ("max", {"kernel": (5, 3)}, "node 'max': a window of (5, 3) with stride (1, 1) and padding (0, 0) does not fit"),
    ("max", {"stride": (1, 0)}, "node 'max': a window of (1, 3) with stride (1, 0) and padding (0, 0) does not fit"),
    ("max", {"padding": (0, 2)}, "node 'max': padding (0, 2) exceeds half of the kernel (1, 3)"),
    ("max", {"padding": (1, 0)}, "node 'max': padding (1, 0) exceeds half of the kernel (1, 3)"),
    ("max", {"inputs": ("flat",), "name": "later"}, "node 'later' reads 'flat', which no earlier node makes"),
    ("sum", {"inputs": ("scaled", "padded")}, "node 'sum' adds equal shapes, got (4, 4, 10) and (4, 7, 9)"),
    ("joined", {"inputs": ("relu", "padded")}, "node 'joined' joins images of one size, got ((4, 4, 10), (4, 7, 9))"),
    ("padded", {"before": -1}, "node 'padded' pads by 0 or more channels, got -1 and 1"),
    ("padded", {"after": -2}, "node 'padded' pads by 0 or more channels, got 1 and -2"),
    ("clipped", {"low": 101}, "node 'clipped' clips to low <= high, got 101 and 100"),
    (
        "clipped",
        {"low": 2**31, "high": 2**40},
        "node 'clipped' clips to 2147483648..1099511627776, beyond the datapath",
    ),
    ("clipped", {"low": -(2**40), "high": -(2**31) - 1}, "node 'clipped' clips to -1099511627776..-2147483649, beyond"),
    ("factor", {"layers": ()}, "node 'factor': layers of [] inputs and [] outputs do not lead from 12 channels to 1"),
    ("factor", {"layers": ADAPTER[:1]}, "node 'factor': layers of [12] inputs and [3] outputs do not lead from 12"),
    ("factor", {"layers": ADAPTER[1:]}, "node 'factor': layers of [3] inputs and [1] outputs do not lead from 12"),
    ("factor", {"bits": 17}, "node 'factor': beta's bits must be an integer in 2..16, got 17"),
    ("factor", {"frac_bits": 17}, "node 'factor': beta's frac_bits must be an integer in 0..16, got 17"),
    ("factor", {"requantizer": scale(2**27)}, "node 'factor': values up to 85899345920 times the multiplier"),
    ("factor", {"requantizer": scale([1, 2])}, "node 'factor' has 2 multipliers for 12 channels"),
    ("factor", {"bits": 15}, "node 'out' takes a beta of 16 bits, got 15"),
    ("head_codes", {"inputs": ("flat",)}, "node 'head_codes' takes 2 inputs, got 1"),
    ("head_codes", {"inputs": ("flat", "flat")}, "node 'head_codes' takes beta, but 'flat' makes fixed"),
    ("head_codes", {"inputs": ("factor", "factor")}, "node 'head_codes' takes fixed, but 'factor' makes beta"),
    ("conv", {"weight": codes(4, 1, 3, 2, code=8)}, "node 'conv': code 8 is unused in PowerOfTwo(bits=4"),
    (
        "conv",
        {"weight": codes(4, 1, 3, 2, code=16)},
        "node 'conv': codes of PowerOfTwo(bits=4, exponents=None, extended",
    ),
    ("conv", {"weight": codes(4, 1, 3, 2, code=-1)}, "must be in 0..15, got -1"),
    (
        "codes",
        {"format": Uniform(4)},
        "node 'conv' multiplies Uniform(bits=4, signed=False, narrow=False), but gets Uni",
    ),
    (
        "conv",
        {"accumulator": Accumulator(7)},
        "node 'conv': channel 0: sums can reach a magnitude of 90, too wide for an accumulator of 7 bits "
        "with overflow='error'; 8 bits would do",
    ),
]


@pytest.mark.parametrize(("name", "fields", "message"), BAD)
def test_each_broken_rule_is_refused_with_the_nodes_name(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Network(changed(name, **fields))


def test_values_at_the_edge_of_a_rule_are_taken() -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("clipped", {"low": 2**31 - 1, "high": 2**40}),
        ("clipped", {"low": -(2**40), "high": -(2**31)}),
        ("clipped", {"low": 100, "high": 100}),
        ("conv", {"accumulator": Accumulator(8)}),
        ("conv", {"accumulator": Accumulator(2, "wrap")}),
        ("conv", {"accumulator": Accumulator(2, "saturate")}),
        ("codes", {"requantizer": scale(2**31 - 1)}),
    ]
    for name, fields in cases:
        Network(changed(name, **fields))


def test_a_network_has_one_input_and_a_fixed_point_result() -> None:
    nodes = GOOD
    with pytest.raises(ValueError, match="a network needs exactly one input node"):
        Network(nodes[1:])
    with pytest.raises(ValueError, match="a network needs exactly one input node"):
        Network(())
    with pytest.raises(ValueError, match="a network needs exactly one input node"):
        Network((*nodes, Input("other", (), (1,))))
    for last, name in [(2, "codes"), (3, "conv")]:
        with pytest.raises(
            ValueError, match=f"the last node must make fixed-point values, '{name}' makes (codes|sums|beta)"
        ):
            Network(nodes[:last])
    assert Network(nodes[:1]).output is nodes[0]


def test_requantizers_of_the_datapath_are_checked_against_its_range() -> None:
    wide = Datapath(48, 0)
    for name, requantizer, largest in [("codes", scale(2**16), 2**47), ("average", scale(2**14), 2**49)]:
        with pytest.raises(ValueError, match=f"node '{name}': values up to {largest} times the multiplier"):
            Network(changed(name, requantizer=requantizer), wide)
        Network(changed(name, requantizer=scale(int(requantizer.multiplier) - 1)), wide)


def test_a_node_without_a_layer_runs_for_flat_inputs() -> None:
    steps: list[Callable[[str], Node]] = [
        lambda tip: PadChannels("pad", (tip,), before=1, after=2),
        lambda tip: Concat("concat", (tip, "pad")),
        lambda tip: Add("add", (tip, tip)),
        lambda tip: Flatten("flat", (tip,)),
    ]
    nodes: list[Node] = [Input("image", (), (3,))]
    for step in steps:
        nodes.append(step(nodes[-1].name))
    network = Network(tuple(nodes), Datapath(8, 0))
    for engine in ENGINES:
        assert simulate(network, [[1, -2, 3]], engine).outputs.tolist() == [[0, 2, -4, 6, 0, 0] * 2]

"""Which path the tensor engine takes, at the edges of each bound, and what a narrow accumulator does in order."""

from typing import Any

import engine_checks
import numpy as np
import pytest
import torch
from engine_checks import both

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.engines import simulate
from hwsim.engines.proof import EXACT_BITS, prove, saturation_excluded
from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import Conv, Input, Linear, Quantize, Rescale

strict_torch = engine_checks.strict_torch


def constant(multiplier: int = 1, shift: int = 0) -> Requantizer:
    return Requantizer(np.array(multiplier), np.array(shift))


def single_layer(
    layer: type[Conv | Linear], shape: tuple[int, ...], weight: Any, multiplier: Multiplier, **more: Any
) -> Network:
    """Return a network of one layer whose pixels are the activation levels and whose outputs are the sums."""
    accumulator = more.pop("accumulator", Accumulator(63))
    codes = np.array(weight, np.int64)
    nodes = (
        Input("image", (), shape),
        Quantize("codes", ("image",), format=multiplier.activation, requantizer=constant()),
        layer("layer", ("codes",), weight=codes, multiplier=multiplier, accumulator=accumulator, **more),
        Rescale("out", ("layer",), requantizer=constant(0), bias=np.zeros(len(codes), np.int64)),
    )
    return Network(nodes, Datapath(32, 0))


def sums(network: Network, pixels: Any) -> tuple[list[Any], str]:
    """Return the layer's sums, equal in both engines, and the tensor engine's path."""
    result = both(network, np.array(pixels, np.float64))
    assert result.trace is not None
    return result.trace["layer"].tolist(), result.paths["layer"].split()[0]


ONE_BIT = Uniform(1, signed=False)


def powers(*exponents: int) -> tuple[list[list[int]], Multiplier]:
    """Return weights 2^e, one channel, and the circuit that multiplies them with one-bit activations."""
    return [[e + 1 for e in exponents]], multiplier_for(PowerOfTwo(8, exponents=56), ONE_BIT)


@pytest.mark.parametrize(
    ("exponents", "path"),
    [
        (range(24), "float32"),  # 2^24 - 1
        ([24], "float32"),
        ([23, 23], "float32"),
        ([24, 0], "float64"),  # 2^24 + 1: not a float32
        ([23, 23, 0, 0], "float64"),
        ([25], "float64"),
        (range(53), "float64"),  # 2^53 - 1
        ([53], "float64"),
        ([52, 52], "float64"),
        ([53, 0], "reference:"),  # 2^53 + 1: not a float64
        ([52, 0, 52], "reference:"),
        ([55, 0, 3], "reference:"),
    ],
)
def test_edges_of_each_path_with_powers_of_two(exponents: Any, path: str) -> None:
    weight, multiplier = powers(*exponents)
    network = single_layer(Linear, (len(exponents),), weight, multiplier)
    exact = sum(2**e for e in exponents)
    assert sums(network, [[1] * len(exponents), [0] * len(exponents)]) == ([[exact], [0]], path)
    assert prove(network.layers[0]).bound == exact
    negative = single_layer(Linear, (len(exponents),), [[128 + w for w in weight[0]]], multiplier)
    assert sums(negative, [[1] * len(exponents)]) == ([[-exact]], path)


@pytest.mark.parametrize(("last", "path"), [(255, "float32"), (256, "float32"), (257, "float64")])
@pytest.mark.parametrize("reverse", [False, True])
def test_edge_of_float32_with_many_odd_products(last: int, path: str, reverse: bool) -> None:
    """256 products of 65535 and a last one: 2^24 - 1, 2^24 and 2^24 + 1, in either order."""
    weight = [65535] * 256 + [last]
    weight = weight[::-1] if reverse else weight
    multiplier = multiplier_for(Uniform(16, signed=False), ONE_BIT)
    network = single_layer(Linear, (257,), [weight], multiplier)
    assert sums(network, [[1] * 257]) == ([[2**24 - 256 + last]], path)


def test_bound_counts_magnitudes_so_that_cancelling_sums_stay_exact() -> None:
    weight, multiplier = powers(24, 24, 0)
    weight[0][1] += 128
    network = single_layer(Linear, (3,), weight, multiplier)
    assert sums(network, [[1, 1, 1], [1, 0, 1], [0, 1, 1]]) == ([[1], [2**24 + 1], [1 - 2**24]], "float64")
    assert prove(network.layers[0]).bound == 2**25 + 1


def test_bound_takes_the_widest_channel_and_the_most_negative_activation() -> None:
    multiplier = multiplier_for(Uniform(16), Uniform(16))
    codes = [[511, 0], [512, 0], [511, 1]]
    network = single_layer(Linear, (2,), codes, multiplier)
    assert prove(network.layers[0]).bound == 2**24
    assert sums(network, [[-32768, -32768]]) == ([[-511 * 2**15, -(2**24), -(2**24)]], "float32")
    wider = single_layer(Linear, (2,), [[1, 0], [512, 1]], multiplier)
    assert sums(wider, [[-32768, -32767]]) == ([[-32768, -(2**24) - 32767]], "float64")


def test_bound_of_a_table_counts_every_term() -> None:
    for layout in ("shared", "full"):
        multiplier = multiplier_for(PowerOfSqrtTwo(4), Uniform(4, signed=False), 5, layout)
        network = single_layer(Linear, (3,), [[7, 6, 8 + 2]], multiplier)
        table = multiplier.table()
        assert prove(network.layers[0]).bound == int(table[7, 15] + table[6, 15] + table[2, 15])
        assert sums(network, [[15, 15, 15]])[0] == [[int(table[7, 15] + table[6, 15] - table[2, 15])]]


def test_proof_says_why() -> None:
    weight, multiplier = powers(53, 0)
    far = single_layer(Linear, (2,), weight, multiplier).layers[0]
    assert prove(far).reason == f"partial sums can reach {2**53 + 1} > 2^53"
    weight, multiplier = powers(3, 0)
    near = single_layer(Linear, (2,), weight, multiplier)
    assert prove(near.layers[0]).reason == "partial sums reach at most 9 <= 2^24"
    saturating = single_layer(Linear, (2,), weight, multiplier, accumulator=Accumulator(4, "saturate"))
    assert prove(saturating.layers[0]).dtype is None
    assert prove(saturating.layers[0]).reason == "the accumulator can saturate, so the order of additions matters"
    pixels = np.ones((1, 2))
    assert simulate(near, pixels).paths == {"layer": "float32 convolution: partial sums reach at most 9 <= 2^24"}
    ordered = simulate(saturating, pixels).paths["layer"]
    assert ordered.startswith("rows of products")
    assert ordered.endswith(": 1 of 1 channels can saturate")
    assert simulate(near, pixels, "reference").paths == {"layer": "one product and one addition at a time, int64"}
    assert EXACT_BITS == {"float32": 24, "float64": 53}


def test_a_saturating_accumulator_that_cannot_saturate_takes_the_fast_path() -> None:
    multiplier = multiplier_for(Uniform(4), ONE_BIT)
    for weight, excluded in [([7, 0], True), ([7, 1], False), ([8, 0], True), ([8, 15], False)]:
        network = single_layer(Linear, (2,), [weight], multiplier, accumulator=Accumulator(4, "saturate"))
        assert saturation_excluded(network.layers[0]) is excluded
        assert sums(network, [[1, 1]])[1] == ("int8" if excluded else "rows")


@pytest.mark.parametrize(
    ("levels", "result", "overflowed"),
    [
        ([7, 7, -8], -1, 1),  # 7, 14 -> 7, -1
        ([-8, 7, 7], 6, 0),
        ([7, -8, 7], 6, 0),
        ([-8, -8, 7], -1, 1),
        ([5, 2, 0], 7, 0),
        ([5, 3, -1], 6, 1),
        ([-8, 0, 0], -8, 0),
    ],
)
def test_saturation_happens_after_every_addition(levels: list[int], result: int, overflowed: int) -> None:
    multiplier = multiplier_for(Uniform(4), ONE_BIT)
    weight = [[level % 16 for level in levels]]
    network = single_layer(Linear, (3,), weight, multiplier, accumulator=Accumulator(4, "saturate"))
    simulation = both(network, np.ones((1, 3)))
    assert simulation.trace is not None
    assert simulation.trace["layer"].tolist() == [[result]]
    assert simulation.overflows == ({"layer": 1} if overflowed else {})


def test_saturation_order_is_channel_then_row_then_column() -> None:
    multiplier = multiplier_for(Uniform(6), ONE_BIT)
    rng = np.random.default_rng(3)
    for _ in range(30):
        levels = rng.integers(-31, 32, (2, 3, 2))
        register = 0
        for level in levels.flatten().tolist():
            register = min(max(register + level, -32), 31)
        network = single_layer(Conv, (2, 3, 2), levels[None] % 64, multiplier, accumulator=Accumulator(6, "saturate"))
        assert sums(network, np.ones((1, 2, 3, 2))) == ([[[[register]]]], "rows")


@pytest.mark.parametrize(("total", "kept"), [(127, 127), (128, -128), (255, -1), (256, 0), (-128, -128), (-129, 127)])
def test_wrapping_drops_the_carry_and_is_counted(total: int, kept: int) -> None:
    multiplier = multiplier_for(Uniform(16), ONE_BIT)
    network = single_layer(Linear, (1,), [[total % 2**16]], multiplier, accumulator=Accumulator(8, "wrap"))
    result = both(network, np.array([[1.0], [0.0], [1.0]]))
    assert result.trace is not None
    assert result.trace["layer"].tolist() == [[kept], [0], [kept]]
    assert result.overflows == ({} if kept == total else {"layer": 2})


def test_wrapping_back_into_range_is_no_overflow() -> None:
    multiplier = multiplier_for(Uniform(8), ONE_BIT)
    network = single_layer(Linear, (3,), [[127, 127, 0x81]], multiplier, accumulator=Accumulator(8, "wrap"))
    assert both(network, np.array([[1.0, 1, 1], [1, 1, 0]])).overflows == {"layer": 1}


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # of switching oneDNN on and off
@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 16, 17])
@pytest.mark.parametrize("groups", [1, 4])
def test_no_fast_transform_touches_3_by_3_convolutions(batch: int, groups: int, onednn: bool) -> None:
    """Winograd's transform rounds, which large odd sums show; without oneDNN, a batch of 16 would go to NNPACK."""
    rng = np.random.default_rng(batch)
    multiplier = multiplier_for(Uniform(9), Uniform(8, signed=False))
    weight = rng.choice([0x7F, 0x81, 0x7D, 3], (16, 16 // groups, 3, 3))
    options = {"padding": (1, 1), "groups": groups}
    network = single_layer(Conv, (16, 8, 8), weight, multiplier, **options)
    pixels = rng.integers(0, 128, (batch, 16, 8, 8)) * 2.0 + 1
    with torch.backends.mkldnn.flags(enabled=onednn):
        _, path = sums(network, pixels)
    assert path == "float32"

"""The compiled kernels against the reference engine: every kernel, the edges of the choice, saturation."""

from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import IntArray
from hwsim.engines import lanes, reference, table_layer
from hwsim.engines.compiled import compiled_layer
from hwsim.engines.lane_layer import LaneLayer, lane_plan
from hwsim.engines.row_layer import RowLayer, row_plan
from hwsim.formats import Uniform
from hwsim.multipliers import TableMultiplier
from hwsim.network import Datapath
from hwsim.nodes import Conv, Linear, Matmul

OVERFLOWS = ("wrap", "saturate")
needs_lanes = pytest.mark.skipif(not lanes.available(), reason="needs AVX-512")


def table_multiplier(rng: np.random.Generator, bits: tuple[int, int], largest: int) -> TableMultiplier:
    """Return a random table, code 0 included, that reaches `largest`."""
    table = rng.integers(-largest, largest + 1, (1 << bits[0], 1 << bits[1]))
    table.flat[0], table.flat[-1] = largest, -largest
    return TableMultiplier.from_table(table, Uniform(bits[0]), Uniform(bits[1], signed=False))


def convolution(rng: np.random.Generator, multiplier: TableMultiplier, accumulator: Accumulator, **shape: Any) -> Conv:
    """Return a convolution of random codes: channels, kernels, taps and the options of `Conv`."""
    kernels, depth, taps = shape.pop("kernels"), shape.pop("depth"), shape.pop("taps")
    weight = rng.integers(0, 1 << multiplier.weight.bits, (kernels, depth // shape.get("groups", 1), *taps))
    return Conv("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=accumulator, **shape)


def check(node: Matmul, layer: LaneLayer | RowLayer, codes: IntArray) -> None:
    """Assert that the layer's registers, after wrapping, and its overflow count are the reference engine's."""
    context = reference.Context("layer", Datapath(), Counter())
    expected = reference.STEPS[type(node)](node, context, codes)
    image = codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes
    sums, overflowed = layer(np.ascontiguousarray(image).astype(np.uint8))
    if layer.wrap_bits is not None:
        from hwsim.engines.elementwise import wrap

        overflowed += wrap(sums, layer.wrap_bits)
    found = sums.transpose(0, 3, 1, 2) if codes.ndim == 4 else sums
    np.testing.assert_array_equal(found, expected)
    assert overflowed == context.overflows["layer"]


def row_layer(node: Matmul) -> RowLayer:
    """Return the layer by rows, which takes every table of the tests."""
    plan = row_plan(node)
    assert plan is not None
    return RowLayer(node, plan)


SHAPES = [
    {"kernels": 64, "depth": 3, "taps": (3, 3), "padding": (1, 1)},
    {"kernels": 70, "depth": 5, "taps": (2, 3), "padding": (0, 2), "stride": (2, 1)},
    {"kernels": 32, "depth": 4, "taps": (3, 1), "padding": (2, 0), "dilation": (2, 1), "stride": (1, 3), "groups": 2},
    {"kernels": 16, "depth": 8, "taps": (1, 1)},
]


@needs_lanes
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("largest", "bits"), [(3, 6), (120, 9), (120, 12), (1300, 13), (1300, 14), (5000, 15), (40000, 18)]
)
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_vector_permutes(shape: dict[str, Any], largest: int, bits: int, overflow: str) -> None:
    rng = np.random.default_rng(bits)
    node = convolution(rng, table_multiplier(rng, (4, 4), largest), Accumulator(bits, overflow), **shape)
    plan = lane_plan(node)
    assert plan is not None
    check(node, LaneLayer(node, plan), rng.integers(0, 16, (2, shape["depth"], 7, 6)))


@pytest.mark.parametrize("shape", [*SHAPES, {"kernels": 6, "depth": 6, "taps": (3, 3), "groups": 6, "padding": (1, 1)}])
@pytest.mark.parametrize("largest", [3, 120, 40000])
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_rows_of_products(shape: dict[str, Any], largest: int, overflow: str) -> None:
    rng = np.random.default_rng(largest)
    accumulator = Accumulator(largest.bit_length() + 3, overflow)
    node = convolution(rng, table_multiplier(rng, (4, 4), largest), accumulator, **shape)
    check(node, row_layer(node), rng.integers(0, 16, (2, shape["depth"], 7, 6)))


@pytest.mark.parametrize(("bits", "overflow"), list(product([(1, 1), (2, 5), (5, 2), (8, 8), (3, 8)], OVERFLOWS)))
def test_every_width_of_table(bits: tuple[int, int], overflow: str) -> None:
    rng = np.random.default_rng(sum(bits))
    multiplier = table_multiplier(rng, bits, 1 << sum(bits) - 1)
    node = convolution(rng, multiplier, Accumulator(sum(bits) + 2, overflow), kernels=20, depth=3, taps=(3, 3))
    layer = compiled_layer(node)
    assert isinstance(layer, LaneLayer if lanes.available() and bits[0] <= 4 else RowLayer)
    check(node, layer, rng.integers(0, 1 << bits[1], (2, 3, 6, 5)))


def test_a_linear_layer() -> None:
    rng = np.random.default_rng(0)
    for kernels, overflow in product((5, 40), OVERFLOWS):
        weight = rng.integers(0, 16, (kernels, 30))
        multiplier, accumulator = table_multiplier(rng, (4, 4), 100), Accumulator(9, overflow)
        node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=accumulator)
        layer = compiled_layer(node)
        assert isinstance(layer, LaneLayer | RowLayer)
        check(node, layer, rng.integers(0, 16, (9, 30)))


@pytest.mark.parametrize("bits", range(2, 17))
def test_saturation_is_remembered_at_both_ends(bits: int) -> None:
    """Every sequence of four extreme and small products: entering saturation, leaving it, entering the other end."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    levels = [0, 1, -1, high, low]
    table = np.zeros((16, 2), dtype=np.int64)
    table[: len(levels), 1] = levels
    multiplier = TableMultiplier.from_table(table, Uniform(4), Uniform(1, signed=False))
    weight = np.array(list(product(range(len(levels)), repeat=4)))
    accumulator = Accumulator(bits, "saturate")
    node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=accumulator)
    layers: list[LaneLayer | RowLayer] = [row_layer(node)]
    plan = lane_plan(node)
    layers += [LaneLayer(node, plan)] if plan else []
    for layer in layers:
        check(node, layer, np.ones((1, 4), dtype=np.int64))


def two_products(low: int, high: int) -> TableMultiplier:
    """Return products 0, low and high of 2-bit weight codes 0, 1 and 3 and the activation code 1."""
    products = [[0, 0], [0, low], [0, 0], [0, high]]
    return TableMultiplier.from_table(products, Uniform(2), Uniform(1, signed=False))


@needs_lanes
@pytest.mark.parametrize("share", [0, 1 / 3, 1])
@pytest.mark.parametrize(("spread", "entry_bits"), [(255, 8), (256, 16), ((1 << 16) - 1, 16), (1 << 16, 32)])
def test_entries_are_as_wide_as_the_products_are_far_apart(share: float, spread: int, entry_bits: int) -> None:
    """More taps of the largest products than would fit the entries; each count of taps in the last step."""
    low = -round(share * spread)
    for terms in (1, 2, 3, 4, 301):
        weight = np.repeat(np.array([[1], [3]] * 8), terms, axis=1)
        multiplier, accumulator = two_products(low, low + spread), Accumulator(32, "wrap")
        node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=accumulator)
        plan = lane_plan(node)
        assert plan is not None
        assert 8 * np.dtype(plan.entry).itemsize == max(entry_bits, 8 if lanes.bytes_available() else 16)
        check(node, LaneLayer(node, plan), np.ones((3, terms), dtype=np.int64))


SATURATING_PLANS = [
    (12, 2047, (16, 4, False, False)),
    (12, 2048, (16, 2, False, True)),
    (13, 4096, (16, 2, False, True)),
    (13, 1 << 20, (16, 2, False, True)),
    (14, 8191, (16, 2, False, False)),
    (14, 8192, (32, 2, False, True)),
    (15, 16383, (16, 1, True, False)),
    (15, 16384, (32, 2, False, True)),
    (16, 32767, (16, 0, True, False)),
    (16, 32768, (32, 2, False, True)),
    (17, 70000, (32, 2, False, True)),
]


@needs_lanes
@pytest.mark.parametrize(("bits", "largest", "expected"), SATURATING_PLANS)
def test_lanes_for_a_saturating_register(bits: int, largest: int, expected: tuple[int, int, bool, bool]) -> None:
    """expected: bits of a lane, shift, whether clipping is remembered apart, whether sums are clipped to ends."""
    rng = np.random.default_rng(bits)
    multiplier = table_multiplier(rng, (4, 4), largest)
    weight = rng.integers(0, 16, (40, 60))
    node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=Accumulator(bits, "saturate"))
    plan = lane_plan(node)
    assert plan is not None
    assert (8 * np.dtype(plan.sums).itemsize, plan.shift, plan.marks, plan.ends is not None) == expected
    check(node, LaneLayer(node, plan), rng.integers(0, 16, (50, 60)))


def test_what_32_bits_cannot_hold_goes_elsewhere() -> None:
    products = [[0, 0], [0, 1 << 29]]
    multiplier = TableMultiplier.from_table(products, Uniform(1), Uniform(1, signed=False))
    for count, fits in [(3, True), (4, False)]:
        weight = np.ones((16, count), dtype=np.int64)
        node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=Accumulator(32, "wrap"))
        assert (row_plan(node) is not None) is fits
        assert (lane_plan(node) is not None) is (fits and lanes.available())


def test_the_path_says_how_many_channels_can_saturate() -> None:
    multiplier = TableMultiplier.from_table([[0, 0], [0, 3]], Uniform(1, signed=False), Uniform(1, signed=False))
    weight = np.array([[1, 1, 0], [1, 1, 1]])
    node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=Accumulator(4, "saturate"))
    assert table_layer.TableLayer(node).saturable == 1
    assert compiled_layer(node).path.endswith("1 of 2 channels can saturate")

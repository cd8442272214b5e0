"""The compiled kernels where they could go wrong: every small shape, every processor, the ends of every register."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines_compiled import check, convolution, row_layer, table_multiplier

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import IntArray
from hwsim.engines import lanes, vector_code
from hwsim.engines.compiled import compiled_layer
from hwsim.engines.lane_layer import LaneLayer, lane_plan
from hwsim.engines.row_layer import RowLayer, row_plan
from hwsim.formats import Uniform
from hwsim.multipliers import TableMultiplier
from hwsim.nodes import Linear, Matmul

FEATURES = vector_code.processor_features()
BYTES = {"avx512vbmi", "avx512vnni"}
WITHOUT: dict[str, Callable[[set[str]], set[str]]] = {
    "all": lambda features: features,
    "no 8-bit permutes": lambda features: features - BYTES,
    "none": lambda features: set(),
}
needs_lanes = pytest.mark.skipif(not lanes.available(), reason="needs AVX-512")


@pytest.fixture(params=WITHOUT)
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Let kernels be chosen for a processor with some of this one's features."""
    features = WITHOUT[request.param](FEATURES)
    monkeypatch.setattr(vector_code, "processor_features", lambda: features)
    return features


def lane_layer(node: Matmul) -> LaneLayer:
    """Return the layer by permutes."""
    plan = lane_plan(node)
    assert plan is not None
    return LaneLayer(node, plan)


def axes() -> list[tuple[int, int, int, int, int]]:
    """Return every (size, taps, stride, padding, dilation) of up to 3, padding of up to 2, that has an output."""
    sizes = product(range(1, 4), range(1, 4), range(1, 4), range(3), range(1, 4))
    return [(n, f, s, p, d) for n, f, s, p, d in sizes if n + 2 * p >= d * (f - 1) + 1]


@pytest.mark.parametrize(
    ("build", "overflow"),
    [
        pytest.param(build, overflow, marks=needs_lanes if build is lane_layer else [])
        for build, overflow in product((lane_layer, row_layer), ("wrap", "saturate"))
    ],
)
def test_every_small_shape(build: Callable[[Matmul], LaneLayer | RowLayer], overflow: str) -> None:
    """Every way to slide along an axis, twice: rows and columns, with another axis beside it."""
    rng = np.random.default_rng(0)
    multiplier = table_multiplier(rng, (4, 4), 100)
    for i, (y, x) in enumerate(zip(axes(), rng.permutation(axes()).tolist(), strict=True)):
        groups, images = 1 + i % 3, 1 + i % 2
        height, width = y[0], x[0]
        taps, stride, padding, dilation = ((int(y[j]), int(x[j])) for j in range(1, 5))
        node = convolution(
            rng, multiplier, Accumulator(9, overflow), kernels=16 * groups, depth=2 * groups, groups=groups,
            taps=taps, stride=stride, padding=padding, dilation=dilation,
        )  # fmt: skip
        check(node, build(node), rng.integers(0, 16, (images, 2 * groups, height, width)))


@pytest.mark.parametrize(("bits", "largest"), [((4, 4), 100), ((4, 8), 20000), ((8, 8), 32767), ((5, 3), 9)])
@pytest.mark.parametrize("accumulator", [Accumulator(31, "wrap"), Accumulator(12, "wrap"), Accumulator(16, "saturate")])
def test_every_processor(processor: set[str], bits: tuple[int, int], largest: int, accumulator: Accumulator) -> None:
    rng = np.random.default_rng(largest)
    node = convolution(
        rng, table_multiplier(rng, bits, largest), accumulator, kernels=20, depth=5, taps=(3, 3), padding=(1, 1)
    )
    layer = compiled_layer(node)
    assert isinstance(layer, LaneLayer if bits[0] == 4 and "avx512bw" in processor else RowLayer)
    by_bytes = layer.table.dtype == np.uint8
    if accumulator.overflow == "wrap" and by_bytes:
        assert processor >= BYTES
    check(node, layer, rng.integers(0, 1 << bits[1], (2, 5, 9, 8)))


ROW_PLANS = [
    (1, 3640, "wrap", 32, (16, 16)),
    (1, 3641, "wrap", 32, (16, 32)),
    (0, 65535, "wrap", 32, (16, 32)),
    (0, 65536, "wrap", 32, (32, 32)),
    (1, 2047, "saturate", 12, (16, 16)),
    (1, 40000, "saturate", 13, (16, 16)),
    (1, 8192, "saturate", 14, (32, 32)),
    (1, 32767, "saturate", 16, (16, 16)),
]


@pytest.mark.parametrize(("share", "largest", "overflow", "bits", "expected"), ROW_PLANS)
def test_types_of_rows_and_sums(share: int, largest: int, overflow: str, bits: int, expected: tuple[int, int]) -> None:
    """Products from -share * largest to largest, 9 taps; expected: bits of a product and of a sum."""
    table = np.array([[0, 0], [-share * largest, largest]])
    multiplier = TableMultiplier.from_table(table, Uniform(1), Uniform(1, signed=False))
    rng = np.random.default_rng(0)
    node = convolution(rng, multiplier, Accumulator(bits, overflow), kernels=5, depth=4, taps=(3, 3))
    plan = row_plan(node)
    assert plan is not None
    assert (8 * plan.entry_bytes, 8 * plan.sum_bytes) == expected
    for extreme in (np.zeros, np.ones):
        node.weight[:] = 1
        check(node, row_layer(node), extreme((1, 4, 6, 6), dtype=np.int64))


def adding_up_to(total: int, terms: int) -> tuple[TableMultiplier, IntArray]:
    """Return products and weights (16, terms) whose sums by ones are the total, and its opposite in every other row."""
    share = total // terms
    last = total - (terms - 1) * share
    products = [[0, 0], [0, share], [0, last], [0, -share], [0, -last]]
    multiplier = TableMultiplier.from_table(products + [[0, 0]] * 3, Uniform(3), Uniform(1, signed=False))
    rows = [[1] * (terms - 1) + [2], [3] * (terms - 1) + [4]]
    return multiplier, np.array(rows * 8)


TOTALS = [(1 << bits) + more for bits in (15, 16, 24) for more in (-1, 0, 1)] + [(1 << 31) - 1]


@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("terms", [3, 300])
def test_sums_at_the_ends_of_registers_are_exact(total: int, terms: int) -> None:
    multiplier, weight = adding_up_to(total, terms)
    for accumulator in (Accumulator(32, "wrap"), Accumulator(total.bit_length(), "wrap"), Accumulator(16, "wrap")):
        node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=accumulator)
        check(node, row_layer(node), np.ones((2, terms), dtype=np.int64))
        if lanes.available():
            check(node, lane_layer(node), np.ones((2, terms), dtype=np.int64))


@pytest.mark.parametrize("bits", [12, 13, 14, 15, 16, 17, 25])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize("terms", [1, 2, 70])
def test_saturation_in_the_last_tap(bits: int, beyond: int, terms: int) -> None:
    """A sum that the last product takes one short of the end, to it, or one past it."""
    multiplier, weight = adding_up_to((1 << bits - 1) + beyond, terms)
    noise = np.zeros((16, 1), dtype=np.int64)
    noise[8:] = 1
    weight = np.hstack([weight, noise])  # one row can always saturate, so the bound excludes nothing
    accumulator = Accumulator(bits, "saturate")
    node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=accumulator)
    codes = np.ones((2, terms + 1), dtype=np.int64)
    codes[0, -1] = 0
    check(node, row_layer(node), codes)
    if lanes.available():
        check(node, lane_layer(node), codes)


@pytest.mark.parametrize("largest", [100, 5000, 40000])
def test_saturation_in_the_padding(largest: int) -> None:
    """Only the code 0 has products: what saturates is at the border, and counts there."""
    rng = np.random.default_rng(0)
    table = np.zeros((16, 4), dtype=np.int64)
    table[:, 0] = rng.integers(-largest, largest + 1, 16)
    multiplier = TableMultiplier.from_table(table, Uniform(4), Uniform(2, signed=False))
    accumulator = Accumulator(largest.bit_length() + 1, "saturate")
    node = convolution(rng, multiplier, accumulator, kernels=32, depth=6, taps=(3, 3), padding=(2, 1))
    codes = rng.integers(1, 4, (2, 6, 5, 6))
    layers: list[LaneLayer | RowLayer] = [row_layer(node), *([lane_layer(node)] if lanes.available() else [])]
    for layer in layers:
        check(node, layer, codes)
        sums, clipped = layer(codes.transpose(0, 2, 3, 1).astype(np.uint8))
        assert clipped > 0
        assert not sums[:, 2:-2, 1:-1].any()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    bits=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    product_bits=st.integers(1, 20),
    register=st.integers(2, 28),
    overflow=st.sampled_from(["wrap", "saturate"]),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 9)),
)
def test_any_table_and_register(
    seed: int, bits: tuple[int, int], product_bits: int, register: int, overflow: str, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    multiplier = table_multiplier(rng, bits, (1 << product_bits) - 1)
    node = convolution(
        rng, multiplier, Accumulator(register, overflow), kernels=shape[0], depth=shape[1], taps=(2, 3), padding=(1, 0)
    )
    layer = compiled_layer(node)
    assert isinstance(layer, LaneLayer | RowLayer)
    check(node, layer, rng.integers(0, 1 << bits[1], (1, shape[1], 5, 4)))


@pytest.mark.parametrize(("positions", "images"), [((9, 7), 3), ((1, 64), 1), ((1, 65), 1), ((30, 30), 2)])
@pytest.mark.parametrize("largest", [20, 3000, 40000])
def test_strips_and_channels_are_taken_one_after_the_other(
    positions: tuple[int, int], images: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions of several strips and channels of several fillings of the rows, shared out to several threads."""
    monkeypatch.setattr("hwsim.engines.row_layer.STRIP_BYTES", 1 << 12)
    monkeypatch.setattr("hwsim.engines.threads.LEAST_PRODUCTS", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    rng = np.random.default_rng(0)
    accumulator = Accumulator(31, "wrap") if largest < 1 << 12 else Accumulator(18, "saturate")
    shape = {"kernels": 5, "depth": 20, "taps": (3, 3), "padding": (1, 1)}
    node = convolution(rng, table_multiplier(rng, (4, 4), largest), accumulator, **shape)
    check(node, row_layer(node), rng.integers(0, 16, (images, 20, *positions)))


@pytest.mark.parametrize(
    ("bits", "overflow", "wrap_bits"), [(4, "wrap", 4), (5, "wrap", None), (4, "saturate", None), (32, "wrap", None)]
)
def test_sums_are_wrapped_only_where_the_proof_cannot_exclude_it(
    bits: int, overflow: str, wrap_bits: int | None
) -> None:
    multiplier, weight = adding_up_to(8, 2)
    accumulator = Accumulator(bits, overflow)
    node = Linear("layer", ("codes",), weight=weight, multiplier=multiplier, accumulator=accumulator)
    assert compiled_layer(node).wrap_bits == wrap_bits

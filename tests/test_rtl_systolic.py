"""Systolic arrays in simulation: sums of the reference engine's accumulators, cycles of the accelerator model."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.accumulator import Accumulator, required_bits
from hwsim.cost.systolic import DATAFLOWS, Gemms
from hwsim.engines.reference import Sums
from hwsim.formats import Apot, Codebook, Offset, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.multipliers.examples import example

pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")

from hwsim.rtl.multipliers import CIRCUITS
from hwsim.rtl.simulators import SIMULATORS, cxxrtl, simulate
from hwsim.rtl.systolic import ARRAYS, systolic_array
from hwsim.rtl.systolic.stream import memory_of, packed, stream

pytestmark = pytest.mark.rtl

Integers = NDArray[np.int64]

UNSIGNED = Uniform(3, signed=False)
UNIFORM = multiplier_for(Uniform(3), UNSIGNED)
KINDS: list[Multiplier] = [
    UNIFORM,
    multiplier_for(Uniform(4), Offset(3, 2)),
    multiplier_for(PowerOfTwo(4), UNSIGNED),
    multiplier_for(PowerOfSqrtTwo(4), UNSIGNED, 2, "shared"),
    multiplier_for(PowerOfSqrtTwo(4), UNSIGNED, 2, "full"),
    multiplier_for(Apot(4), UNSIGNED),
    multiplier_for(Codebook(2, (-7, -1, 2, 5)), UNSIGNED),  # no code of 0
    example("mitchell", Uniform(3), UNSIGNED),
]


def operands(multiplier: Multiplier, m: int, k: int, n: int) -> tuple[Integers, Integers]:
    """Return random codes: activations (M, K) and weights (N, K)."""
    rng = np.random.default_rng(m + 10 * k + 100 * n)
    weights, activations = multiplier.table().shape
    return rng.integers(0, activations, (m, k)), rng.integers(0, weights, (n, k))


def expected_sums(multiplier: Multiplier, accumulator: Accumulator, a: Integers, w: Integers) -> Sums:
    """Return the reference engine's accumulators, shape (M, N), after the terms in order."""
    sums, table = Sums(accumulator, (len(a), len(w))), multiplier.table()
    for k in range(a.shape[1]):
        sums.add(table[w[:, k], a[:, k, None]])
    return sums


def expected_cycles(dataflow: str, size: tuple[int, int, int], rows: int, columns: int) -> int:
    m, k, n = size
    gemm = Gemms(*(np.array([value]) for value in (m, n, k, 1, 0, 0, 0)))
    return int(DATAFLOWS[dataflow](gemm, np.array([rows]), np.array([columns]), lambda length: length)[0][0])


def check(
    multiplier: Multiplier,
    accumulator: Accumulator,
    array: tuple[int, int, str],
    codes: tuple[Integers, Integers],
    simulator: str = "amaranth",
    style: str | None = None,
) -> Sums:
    """Stream and compare; return the expected accumulators."""
    a, w = codes
    expected = expected_sums(multiplier, accumulator, a, w)
    got = stream(systolic_array(multiplier, accumulator, *array, style), a, w, simulator)
    np.testing.assert_array_equal(got.sums, expected.register)
    assert got.cycles - 1 == expected_cycles(array[2], (*a.shape, len(w)), *array[:2])  # the model counts from 0
    return expected


def test_the_kinds_are_all_there_are() -> None:
    assert {multiplier.name for multiplier in KINDS} == set(CIRCUITS)


@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize("multiplier", KINDS, ids=lambda multiplier: multiplier.name)
def test_every_kind_of_multiplier_in_tiles_that_are_not_filled(multiplier: Multiplier, dataflow: str) -> None:
    codes = operands(multiplier, 3, 7, 4)
    check(multiplier, Accumulator(required_bits(multiplier, codes[1])), (2, 3, dataflow), codes)


@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_accumulators_overflow_as_the_engines_do(overflow: str, dataflow: str) -> None:
    """Saturation depends on order: it stays the order of the terms, across tiles of rows too."""
    sums = check(UNIFORM, Accumulator(5, overflow), (2, 3, dataflow), operands(UNIFORM, 5, 11, 4))
    assert sums.overflowed > 5


@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize("weight", [4, 3])
def test_sums_stay_at_either_end(weight: int, dataflow: str) -> None:
    codes = np.full((2, 5), 7), np.full((2, 5), weight)  # weight codes of -4 and of 3
    sums = check(UNIFORM, Accumulator(6, "saturate"), (2, 2, dataflow), codes)
    assert set(sums.register.ravel().tolist()) == {-32 if weight == 4 else 31}


@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ((1, 1, 1), (2, 2)),
        ((1, 1, 1), (1, 2)),
        ((1, 6, 1), (2, 1)),
        ((6, 1, 6), (2, 3)),
        ((3, 3, 3), (3, 3)),
        ((4, 3, 1), (4, 1)),
        ((2, 5, 6), (1, 4)),
    ],
)
def test_sizes_and_sides(size: tuple[int, int, int], sides: tuple[int, int], dataflow: str) -> None:
    m, k, n = size
    check(UNIFORM, Accumulator(9, "saturate"), (*sides, dataflow), operands(UNIFORM, m, k, n))


@pytest.mark.parametrize("dataflow", ARRAYS)
def test_one_element(dataflow: str) -> None:
    check(UNIFORM, Accumulator(5, "saturate"), (1, 1, dataflow), operands(UNIFORM, 3, 4, 2))


def test_the_style_of_the_multipliers_is_chosen() -> None:
    check(UNIFORM, Accumulator(9, "wrap"), (1, 2, "os"), operands(UNIFORM, 2, 3, 2), style="booth")
    with pytest.raises(ValueError, match="unknown style of the array multiplier 'boot'"):
        check(UNIFORM, Accumulator(9, "wrap"), (1, 2, "ws"), operands(UNIFORM, 2, 3, 2), style="boot")


@pytest.mark.parametrize("dataflow", ARRAYS)
def test_products_follow_each_other_without_a_reset(dataflow: str) -> None:
    accumulator = Accumulator(9, "saturate")
    array = systolic_array(UNIFORM, accumulator, 2, 2, dataflow)
    sizes = [(3, 4, 3), (2, 1, 5), (1, 6, 2)]
    memories = [memory_of(array, *operands(UNIFORM, *size)) for size in sizes]
    waiting = iter(memories)
    current = next(waiting)

    def respond(outputs: Mapping[str, int]) -> Mapping[str, int] | None:
        nonlocal current
        answer = current.respond(outputs)
        if answer is None and (following := next(waiting, None)):
            current = following
            answer = current.respond({**outputs, "valid": 0})  # these were the sums of the product before
        return answer

    simulate(array, respond)
    for memory, size in zip(memories, sizes, strict=True):
        expected = expected_sums(UNIFORM, accumulator, *operands(UNIFORM, *size))
        np.testing.assert_array_equal(memory.sums, expected.register)
        assert memory.cycles - 1 == expected_cycles(dataflow, size, 2, 2)


def test_progress_is_told_cycle_by_cycle() -> None:
    told: list[int] = []
    array = systolic_array(UNIFORM, Accumulator(9), 1, 2)
    result = stream(array, *operands(UNIFORM, 2, 3, 2), progress=told.append)
    assert told == list(range(1, result.cycles + 1))


def test_codes_are_packed_row_by_row() -> None:
    assert packed(np.array([[1, 2], [3, 4], [5, 6]]), 2, 4).tolist() == [[0x31, 0x42], [0x5, 0x6]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ((0, 2, "os"), r"rows of a systolic array must be an integer in 1\.\.64, got 0"),
        ((2, 65, "ws"), r"columns of a systolic array must be an integer in 1\.\.64, got 65"),
        ((2, 2, "is"), r"unknown dataflow of a systolic array 'is'.*known: os, ws"),
    ],
)
def test_arrays_that_cannot_be(array: tuple[int, int, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        systolic_array(UNIFORM, Accumulator(8), *array)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3), (2, 4)), r"shapes \(M, K\) and \(N, K\), got \(2, 3\) and \(2, 4\)"),
        (((2,), (2, 2)), r"got \(2,\)"),
        (((0, 3), (2, 3)), r"M of a matrix product must be an integer in 1\.\.1048575, got 0"),
        (((2, 3), (0, 3)), "N of a matrix product must be"),
    ],
)
def test_operands_that_do_not_fit(shapes: tuple[tuple[int, ...], tuple[int, ...]], message: str) -> None:
    array = systolic_array(UNIFORM, Accumulator(8), 1, 2)
    with pytest.raises(ValueError, match=message):
        stream(array, np.zeros(shapes[0], np.int64), np.zeros(shapes[1], np.int64))


def test_an_unknown_simulator_is_refused() -> None:
    array = systolic_array(UNIFORM, Accumulator(8), 1, 2)
    with pytest.raises(ValueError, match=r"unknown simulator 'cxrtl'; did you mean 'cxxrtl'"):
        stream(array, *operands(UNIFORM, 1, 1, 1), simulator="cxrtl")


@pytest.mark.parametrize("compiler", [None, "false"])
def test_without_a_working_compiler_cxxrtl_says_so(compiler: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    if compiler is None:
        monkeypatch.delenv("CXX", raising=False)
    else:
        monkeypatch.setenv("CXX", compiler)
        monkeypatch.setattr(cxxrtl, "_headers", lambda: ".")
        monkeypatch.setattr(cxxrtl, "_design", lambda unit: "")
    array = systolic_array(UNIFORM, Accumulator(8), 1, 2)
    message = "needs a C.. compiler" if compiler is None else r"false failed \(1\)"
    with pytest.raises(cxxrtl.CompilerError, match=message):
        stream(array, *operands(UNIFORM, 1, 1, 1), simulator="cxxrtl")


@pytest.mark.slow
@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize("multiplier", KINDS[:4], ids=lambda multiplier: multiplier.name)
def test_compiled_simulation_is_the_same(multiplier: Multiplier, dataflow: str) -> None:
    check(multiplier, Accumulator(40, "saturate"), (3, 4, dataflow), operands(multiplier, 17, 23, 9), "cxxrtl")


def test_every_simulator_has_a_name() -> None:
    assert list(SIMULATORS) == ["amaranth", "cxxrtl"]

"""Processing elements, requantizers, quantizers and ASQ's circuits, cycle by cycle, against the software."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.accumulator import Accumulator, exact_bits, required_bits
from hwsim.adapter import AdapterLayer, divided, multiplied
from hwsim.arithmetic import OVERFLOWS, ROUNDINGS, Requantizer, fit
from hwsim.engines.reference import Sums, adapt_sums, compare, quantize
from hwsim.formats import Apot, Codebook, Offset, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.nodes import Adapter, Quantize, Threshold

pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")

from amaranth.sim import Simulator

from hwsim.rtl.adapter import AdapterCircuit
from hwsim.rtl.beta_product import BetaProductCircuit
from hwsim.rtl.dot_product import DotProduct
from hwsim.rtl.processing_element import ProcessingElement
from hwsim.rtl.quantizer import QuantizerCircuit
from hwsim.rtl.reciprocal import ReciprocalCircuit
from hwsim.rtl.requantizer import RequantizerCircuit
from hwsim.rtl.rounding import ROUNDING_BITS
from hwsim.rtl.thresholds import ThresholdCircuit

if TYPE_CHECKING:
    from amaranth.sim import SimulatorContext

    from hwsim.rtl.unit import Unit

pytestmark = pytest.mark.rtl

Integers = NDArray[np.int64]
LARGEST = (1 << 31) - 1  #: Largest multiplier of a requantizer.


def outputs(unit: "Unit", inputs: Mapping[str, Sequence[int] | Integers], output: str, clocked: bool) -> Integers:
    """Return an output for each set of inputs: at once, or after the clock edge that follows them."""
    seen: list[int] = []

    async def bench(ctx: "SimulatorContext") -> None:
        for values in zip(*inputs.values(), strict=True):
            for name, value in zip(inputs, values, strict=True):
                ctx.set(getattr(unit, name), int(value))
            if clocked:
                await ctx.tick()
            seen.append(ctx.get(getattr(unit, output)))

    simulator = Simulator(unit)
    if clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(seen, dtype=np.int64)


ACTIVATION = Uniform(3, signed=False)
MULTIPLIERS: list[Multiplier] = [
    multiplier_for(Uniform(3), ACTIVATION),
    multiplier_for(Uniform(2, signed=False), ACTIVATION),
    multiplier_for(PowerOfTwo(3), Uniform(3)),
    multiplier_for(PowerOfSqrtTwo(3), ACTIVATION, 2, "shared"),
    multiplier_for(PowerOfSqrtTwo(4), ACTIVATION, 1, "full"),
    multiplier_for(Apot(4), ACTIVATION),
    multiplier_for(Codebook(2, (-7, -1, 2, 5)), Offset(3, 3)),
]


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS, ids=str)
def test_a_processing_element_in_every_cycle(multiplier: Multiplier, overflow: str) -> None:
    rng = np.random.default_rng(1)
    count = 300
    w = rng.integers(0, 1 << multiplier.weight.code_bits, count)
    a = rng.integers(0, 1 << multiplier.activation.code_bits, count)
    enable, clear = ((rng.random(count) < share).astype(np.int64) for share in (0.9, 0.02))
    bits = exact_bits(multiplier, count) if overflow == "error" else exact_bits(multiplier, 2)
    unit = ProcessingElement(multiplier, Accumulator(bits, overflow))
    got = outputs(unit, {"w": w, "a": a, "enable": enable, "clear": clear}, "sum", clocked=True)
    expected, register = [], 0
    for product, enabled, cleared in zip(multiplier.table()[w, a].tolist(), enable, clear, strict=True):
        register = int(fit((0 if cleared else register) + product * int(enabled), bits, overflow))
        expected.append(register)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_a_processing_element_sums_as_the_reference_engine_does(overflow: str) -> None:
    multiplier, rng = MULTIPLIERS[0], np.random.default_rng(2)
    w, a = rng.integers(0, 8, 200), rng.integers(0, 8, 200)
    accumulator = Accumulator(6, overflow)
    sums, expected = Sums(accumulator, ()), []
    for product in multiplier.table()[w, a]:
        sums.add(product)
        expected.append(int(sums.register))
    assert sums.overflowed
    always = np.ones(200, dtype=np.int64)
    unit = ProcessingElement(multiplier, accumulator, "booth")
    got = outputs(unit, {"w": w, "a": a, "enable": always, "clear": 0 * always}, "sum", clocked=True)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_processing_element_saturates_at_both_ends(sign: int) -> None:
    w, a = (4 if sign < 0 else 3), 7  # -4 or 3, and 7
    unit = ProcessingElement(MULTIPLIERS[0], Accumulator(7, "saturate"))
    stream = {"w": [w] * 6, "a": [a] * 6, "enable": [1] * 6, "clear": [0, 0, 0, 0, 0, 1]}
    expected = [-28, -56, -64, -64, -64, -28] if sign < 0 else [21, 42, 63, 63, 63, 21]
    assert outputs(unit, stream, "sum", clocked=True).tolist() == expected


@pytest.mark.parametrize("multiplier", MULTIPLIERS, ids=str)
def test_the_exact_accumulator_is_the_one_that_the_worst_weights_require(multiplier: Multiplier) -> None:
    low, high = multiplier.product_range
    worst = [required_bits(multiplier, np.full((1, 9), code)) for code in (int(low.argmin()), int(high.argmax()))]
    assert exact_bits(multiplier, 9) == max(worst)


@pytest.mark.parametrize("terms", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("multiplier", MULTIPLIERS[:4], ids=str)
def test_a_dot_product_is_exact(multiplier: Multiplier, terms: int) -> None:
    low, high = multiplier.product_range
    table = multiplier.table()
    rng = np.random.default_rng(3)
    w, a = (rng.integers(0, size, (40, terms)) for size in table.shape)
    for row, extreme in enumerate((np.argwhere(table == low.min())[0], np.argwhere(table == high.max())[0])):
        w[row], a[row] = extreme
    codes = {"w": packed(w, multiplier.weight.code_bits), "a": packed(a, multiplier.activation.code_bits)}
    got = outputs(DotProduct(multiplier, terms), codes, "sum", clocked=False)
    np.testing.assert_array_equal(got, table[w, a].sum(axis=1))


def packed(codes: Integers, bits: int) -> list[int]:
    """Return each row of codes as one integer, the first code lowest."""
    return [sum(code << (bits * place) for place, code in enumerate(row)) for row in codes.tolist()]


@pytest.mark.parametrize("terms", [0, 1025, True])
def test_a_dot_product_has_terms(terms: int) -> None:
    with pytest.raises(ValueError, match=rf"terms of a dot product must be an integer in 1..1024, got {terms}"):
        DotProduct(MULTIPLIERS[0], terms)


def scales(count: int) -> tuple[Integers, Integers]:
    """Return multipliers and shifts: all corners, then random ones."""
    rng = np.random.default_rng(4)
    corners = [(m, s) for m in (-LARGEST, -1, 0, 1, LARGEST) for s in (0, 1, 2, 31, 61, 62)]
    rest = rng.integers(-LARGEST, LARGEST, count) >> rng.integers(0, 31, count), rng.integers(0, 63, count)
    pairs = np.array(corners).T
    return np.concatenate([pairs[0], rest[0]]), np.concatenate([pairs[1], rest[1]])


def values(bits: int, count: int) -> Integers:
    """Return the ends of a register, what lies around 0, and random values of all magnitudes."""
    rng = np.random.default_rng(5)
    ends = [-(1 << (bits - 1)), (1 << (bits - 1)) - 1, 0, 1, -1, 2, -2, 3, -3]
    rest = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), count - len(ends)) >> rng.integers(0, bits, count - 9)
    return rng.permutation(np.concatenate([ends, rest]))


def test_every_rounding_has_a_circuit() -> None:
    assert set(ROUNDING_BITS) == set(ROUNDINGS)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("y_bits", [8, 16, 32])
def test_a_requantizer_scales_adds_and_saturates(rounding: str, y_bits: int) -> None:
    multiplier, shift = scales(400)
    count = len(multiplier)
    x, bias = values(24, count), values(y_bits, count)
    expected = fit(Requantizer(multiplier, shift, rounding).apply(x[None])[0] + bias, y_bits, "saturate")
    inputs = {"x": x, "multiplier": multiplier, "shift": shift, "bias": bias}
    got = outputs(RequantizerCircuit(24, y_bits, rounding=rounding), inputs, "y", clocked=False)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounding_of_every_small_number(rounding: str) -> None:
    x, shift = (grid.ravel() for grid in np.meshgrid(np.arange(-32, 32), np.arange(5)))
    ones = np.ones(len(x), dtype=np.int64)
    expected = Requantizer(ones, shift, rounding).apply(x[None])[0]
    inputs = {"x": x, "multiplier": ones, "shift": shift, "bias": 0 * ones}
    got = outputs(RequantizerCircuit(6, 6, 2, rounding), inputs, "y", clocked=False)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((1, 8, 8), "input must be an integer in 2..63, got 1"),
        ((8, 64, 8), "output must be"),
        ((8, 8, 33), "multiplier must"),
    ],
)
def test_a_requantizer_refuses_widths(widths: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RequantizerCircuit(*widths)


def test_an_unknown_rounding_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"unknown rounding 'half_dwon'.*known: half_up, half_even, floor, toward_zero"
    ):
        RequantizerCircuit(8, 8, rounding="half_dwon")


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("offset", [0, -37, 1000])
@pytest.mark.parametrize("format", [Uniform(4, signed=False), Uniform(3), Offset(8, 100)], ids=str)
def test_a_quantizer_makes_the_codes_of_its_node(format: Uniform | Offset, offset: int, rounding: str) -> None:
    rng = np.random.default_rng(6)
    multiplier, shift = scales(300)
    count = len(multiplier)
    multiplier[100:] = rng.integers(-300, 300, count - 100)  # scales that reach the middle of the levels
    shift[100:] = rng.integers(10, 22, count - 100)
    x = values(20, count)
    node = Quantize("q", ("x",), format=format, requantizer=Requantizer(multiplier, shift, rounding), offset=offset)
    expected = quantize(node, None, x[None])[0]  # type: ignore[arg-type]
    unit = QuantizerCircuit(format, 20, offset, rounding)
    got = outputs(unit, {"x": x, "multiplier": multiplier, "shift": shift}, "code", clocked=False)
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(expected)) >= 7


@pytest.mark.parametrize("format", [Apot(4, signed=False), Codebook(2, (0, 1, 7)), Codebook(1, (0,)), Apot(3)], ids=str)
def test_comparators_make_the_codes_of_their_node(format: Apot | Codebook) -> None:
    rng = np.random.default_rng(7)
    thresholds = np.sort(rng.integers(-100, 100, format.count - 1))
    thresholds[1:2] = thresholds[:1]  # a level that is never taken
    x = np.arange(-128, 128)
    node = Threshold("t", ("x",), format=format, thresholds=thresholds)
    got = outputs(ThresholdCircuit(format, thresholds, 8), {"x": x}, "code", clocked=False)
    np.testing.assert_array_equal(got, compare(node, None, x))  # type: ignore[arg-type]


@pytest.mark.parametrize("thresholds", [[1, 2], [3, 2, 4]])
def test_comparators_need_thresholds_that_fit(thresholds: list[int]) -> None:
    with pytest.raises(ValueError, match=r"3 thresholds that do not descend are needed, got"):
        ThresholdCircuit(Codebook(2, (0, 1, 2, 3)), np.array(thresholds), 8)


def divisions() -> tuple[list[int], list[int]]:
    """Return multipliers and betas: corners, ties, random ones."""
    rng = np.random.default_rng(8)
    corners = [(m, b) for m in (-LARGEST, -7, -6, -1, 0, 1, 6, 7, LARGEST) for b in (1, 2, 4, 65535)]
    random = zip(
        rng.integers(-LARGEST, LARGEST, 60), rng.integers(1, 65536, 60) >> rng.integers(0, 15, 60), strict=True
    )
    pairs = [*corners, *((int(m), max(int(b), 1)) for m, b in random)]
    return [m for m, _ in pairs], [b for _, b in pairs]


def test_the_divider_divides_and_says_when_it_is_done() -> None:
    multiplier, beta = divisions()
    unit = ReciprocalCircuit()
    rows: dict[str, list[int]] = {"start": [], "multiplier": [], "beta": []}
    for m, b in zip(multiplier, beta, strict=True):
        rows["start"] += [1] + [0] * unit.cycles
        rows["multiplier"] += [m] + [12345] * unit.cycles  # operands count at the start only
        rows["beta"] += [b] + [3] * unit.cycles
    done = outputs(unit, rows, "done", clocked=True).reshape(len(beta), -1)
    np.testing.assert_array_equal(done, [[0] * unit.cycles + [1]] * len(beta))
    got = outputs(unit, rows, "quotient", clocked=True).reshape(len(beta), -1)[:, -1]
    expected = [int(divided(scale(m), np.array([[b]]))[0, 0]) for m, b in zip(multiplier, beta, strict=True)]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("beta_bits", "multiplier_bits"), [(4, 3), (3, 6)])
def test_a_small_divider_divides_everything(beta_bits: int, multiplier_bits: int) -> None:
    unit = ReciprocalCircuit(beta_bits, multiplier_bits)
    low = 1 - (1 << (multiplier_bits - 1))
    pairs = [(m, b) for m in range(low, -low + 1) for b in range(1, 1 << beta_bits)]
    rows: dict[str, list[int]] = {"start": [], "multiplier": [], "beta": []}
    for m, b in pairs:
        rows["start"] += [1] + [0] * unit.cycles
        rows["multiplier"] += [m] * (unit.cycles + 1)
        rows["beta"] += [b] * (unit.cycles + 1)
    got = outputs(unit, rows, "quotient", clocked=True).reshape(len(pairs), -1)[:, -1]
    np.testing.assert_array_equal(got, [int(divided(scale(m), np.array([[b]]))[0, 0]) for m, b in pairs])


def test_a_start_interrupts_a_division() -> None:
    unit = ReciprocalCircuit(4, 4)
    rows = {"start": [1, 0, 1, 0, 0, 0, 0], "multiplier": [7] * 2 + [6] * 5, "beta": [1] * 2 + [4] * 5}
    assert outputs(unit, rows, "done", clocked=True).tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert outputs(unit, rows, "quotient", clocked=True)[-1] == 2  # 6 / 4 + 1/2


def scale(multiplier: int) -> Requantizer:
    return Requantizer(np.array(multiplier), np.array(0))


@pytest.mark.parametrize(("beta_bits", "multiplier_bits"), [(1, 8), (17, 8), (8, 1), (8, 33)])
def test_a_divider_refuses_widths(beta_bits: int, multiplier_bits: int) -> None:
    with pytest.raises(ValueError, match="must be an integer in 2"):
        ReciprocalCircuit(beta_bits, multiplier_bits)


def test_the_product_with_beta_is_the_softwares() -> None:
    multiplier, beta = divisions()
    expected = [int(multiplied(scale(m), np.array([[b]]), 16)[0, 0]) for m, b in zip(multiplier, beta, strict=True)]
    got = outputs(BetaProductCircuit(16), {"multiplier": multiplier, "beta": beta}, "product", clocked=False)
    np.testing.assert_array_equal(got, expected)


def adapter(sizes: Sequence[int], per_channel: bool, rounding: str) -> Adapter:
    """Return a random adapter with layers of these sizes, whose betas vary."""
    rng = np.random.default_rng(9)

    def requantizer(count: int, shift: int) -> Requantizer:
        shape = (count,) if per_channel else ()
        return Requantizer(rng.integers(40, 70, shape), np.full(shape, shift), rounding)

    layers = tuple(
        AdapterLayer(
            rng.integers(-30, 100, (after, before)),
            rng.integers(-900, 900, after),
            requantizer(after, 10 + before.bit_length()),
        )
        for before, after in zip(sizes, (*sizes[1:], 1), strict=True)
    )
    first = requantizer(sizes[0], 15)
    return Adapter("adapter", ("x",), format=Uniform(8, signed=False), requantizer=first, layers=layers)


@pytest.mark.parametrize("rounding", ["half_up", "toward_zero"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("sizes", [(5,), (1,), (1, 3), (8, 3), (3, 5, 4), (17, 2)])
def test_the_adapter_makes_the_softwares_beta(sizes: tuple[int, ...], per_channel: bool, rounding: str) -> None:
    node = adapter(sizes, per_channel, rounding)
    samples = np.random.default_rng(10).integers(-20_000, 200_000, (12, sizes[0]))
    expected = adapt_sums(node, samples)[:, 0]
    assert len(np.unique(expected)) > 1
    unit, got = AdapterCircuit(node, 20), []

    async def bench(ctx: "SimulatorContext") -> None:
        for sample in samples.tolist():
            for channel in sample:
                ctx.set(unit.valid, 1)
                ctx.set(unit.sum, channel)
                while not ctx.get(unit.ready):
                    await ctx.tick()
                await ctx.tick()
            ctx.set(unit.sum, 7)  # offered while nothing is taken, and then withdrawn
            ctx.set(unit.valid, 0)
            while not ctx.get(unit.done):
                await ctx.tick()
            got.append(ctx.get(unit.beta))

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    np.testing.assert_array_equal(got, expected)

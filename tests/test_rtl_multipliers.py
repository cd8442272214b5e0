"""Every multiplier circuit, simulated on every pair of codes, equals the software's product table."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from circuits import SMALL
from exact_values import CODEBOOKS

from hwsim.extras import install_command
from hwsim.formats import Apot, Codebook, IntegerFormat, Offset, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import MULTIPLIERS, Multiplier, TableMultiplier, multiplier_for
from hwsim.multipliers.examples import example

pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")

from hwsim.rtl.lookup import MAX_CASE_BITS
from hwsim.rtl.multipliers import CIRCUITS, circuit_for
from hwsim.rtl.multipliers.booth import BoothCircuit
from hwsim.rtl.verify import Mismatch, mismatches, simulated_table

pytestmark = pytest.mark.rtl

ROOT = Path(__file__).resolve().parents[1]


def multipliers(bits: int, activation: IntegerFormat, exponents: int | None = None) -> Iterator[Multiplier]:
    """Yield a multiplier of every kind."""
    yield from (multiplier_for(w, activation) for w in (Uniform(bits), Uniform(bits, signed=False), Apot(bits)))
    yield multiplier_for(PowerOfTwo(bits, exponents), activation)
    for layout in ("shared", "full"):
        yield multiplier_for(PowerOfSqrtTwo(bits, exponents), activation, 2, layout)
    yield multiplier_for(Codebook(bits, tuple(range(1 - 2**bits, 2**bits, 2))), activation)
    if isinstance(activation, Uniform):
        yield example("drum", Uniform(bits), activation)


def styles(made: Iterator[Multiplier] | list[Multiplier]) -> list[tuple[Multiplier, str]]:
    """Return each multiplier with each style of its kind."""
    return [(multiplier, style) for multiplier in made for style in CIRCUITS[multiplier.name]]


UP_TO_4 = [pair for bits in (2, 3, 4) for pair in styles(multipliers(bits, Uniform(bits, signed=False)))]
CORNERS: list[Multiplier] = [
    *(m for activation in (Uniform(3), Offset(3, 2), Apot(3), CODEBOOKS[4]) for m in multipliers(3, activation)),
    multiplier_for(Uniform(1), Uniform(1)),
    multiplier_for(Uniform(3, narrow=True), Uniform(3, narrow=True)),
    multiplier_for(Apot(1, signed=False), Apot(4, signed=False)),
    multiplier_for(PowerOfTwo(3, 1), Uniform(2)),
    multiplier_for(PowerOfTwo(4, 5), Uniform(2, signed=False)),
    multiplier_for(PowerOfTwo(1, extended=True), Uniform(2)),
    multiplier_for(PowerOfTwo(8, 50), Uniform(2)),
    multiplier_for(PowerOfSqrtTwo(3, 1), Uniform(2), 0),
    multiplier_for(PowerOfSqrtTwo(4, 5), Uniform(2), 0, "full"),
    multiplier_for(PowerOfSqrtTwo(5, 6), Uniform(3, signed=False), 1, "shared"),
    multiplier_for(PowerOfSqrtTwo(4, 4, True), Uniform(2), 12, "full"),
    multiplier_for(CODEBOOKS[0], Uniform(2)),
]


def check(multiplier: Multiplier, style: str) -> None:
    assert next(mismatches(multiplier.rtl(style)), None) is None


def test_every_kind_has_circuits() -> None:
    assert set(CIRCUITS) == {*MULTIPLIERS, TableMultiplier.name}


@pytest.mark.parametrize(("multiplier", "style"), UP_TO_4, ids=str)
def test_every_pair_of_codes_up_to_4_bits(multiplier: Multiplier, style: str) -> None:
    check(multiplier, style)


@pytest.mark.parametrize(("multiplier", "style"), styles(CORNERS), ids=str)
def test_corners(multiplier: Multiplier, style: str) -> None:
    check(multiplier, style)


@pytest.mark.slow
@pytest.mark.parametrize("multiplier", SMALL, ids=str)
def test_every_small_multiplier(multiplier: Multiplier) -> None:
    check(multiplier, next(iter(CIRCUITS[multiplier.name])))


#: Tables of 7 bits and more would take the simulator minutes each: one of them stands for all.
WIDE = [
    (multiplier, style)
    for bits in range(5, 9)
    for multiplier, style in styles(multipliers(bits, Uniform(bits, signed=False), exponents=15))
    if bits <= 6 or style != "rom"
]


@pytest.mark.slow
@pytest.mark.parametrize(("multiplier", "style"), WIDE, ids=str)
def test_every_pair_of_codes_up_to_8_bits(multiplier: Multiplier, style: str) -> None:
    check(multiplier, style)


@pytest.mark.slow
def test_a_table_of_8_bits() -> None:
    check(example("drum", Uniform(8), Uniform(8, signed=False)), "rom")


def test_a_long_table_is_a_diagram_of_shared_nodes() -> None:
    table = np.random.default_rng(0).integers(-(1 << 20), 1 << 20, (32, 16))
    table[16:] = table[:16]  # the highest bit says nothing
    multiplier = TableMultiplier.from_table(table, Uniform(5), Uniform(4))
    assert multiplier.weight.code_bits + multiplier.activation.code_bits > MAX_CASE_BITS
    check(multiplier, "rom")


def test_a_wrong_circuit_is_found_out() -> None:
    multiplier = multiplier_for(Uniform(2), Uniform(2, signed=False))
    other = multiplier_for(Uniform(2), Uniform(2))

    class Wrong(BoothCircuit):
        """Reads the activation as signed."""

        def multiply(self, m: object) -> object:
            self.multiplier = other
            try:
                return super().multiply(m)
            finally:
                self.multiplier = multiplier

    wrong = list(mismatches(Wrong(multiplier)))
    assert wrong[0] == Mismatch(w=1, a=2, expected=2, got=-2)
    assert len(wrong) == 6  # three weights are not 0, two activations are negative


def test_the_product_has_the_width_that_its_range_needs() -> None:
    circuit = circuit_for(multiplier_for(Uniform(4), Uniform(4, signed=False)))
    assert circuit.product_range == (-120, 105)
    assert circuit.product_bits == 8
    assert simulated_table(circuit).min() == -120


def test_progress_is_told_column_by_column() -> None:
    told: list[int] = []
    simulated_table(circuit_for(multiplier_for(Uniform(2), Uniform(1))), told.append)
    assert told == [1, 2]


@pytest.mark.parametrize(
    ("multiplier", "style", "message"),
    [
        (multiplier_for(Uniform(4), Uniform(4)), "boot", "unknown style of the array multiplier 'boot'; did you mean"),
        (multiplier_for(PowerOfTwo(4), Uniform(4)), "booth", "unknown style of the shift multiplier 'booth'"),
        (multiplier_for(Uniform(8), Uniform(9)), "rom", "takes codes of 16 bits together, got 17"),
    ],
)
def test_what_cannot_be_built_is_refused(multiplier: Multiplier, style: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        multiplier.rtl(style)


def test_without_amaranth_the_extra_is_named() -> None:
    code = (
        "import importlib.util; found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'amaranth' else found(name, *rest)\n"
        "from hwsim.formats import Uniform; from hwsim.multipliers import multiplier_for\n"
        "multiplier_for(Uniform(2), Uniform(2)).rtl()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.stderr.endswith(f"hardware descriptions need the package amaranth: {install_command('amaranth')}\n")

"""The papers' claim about cheap multipliers beside what synthesis measured, relative to the uniform multiplier."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hwsim.cost.gates import GateRow, load_gates
from hwsim.errors import unknown_name
from hwsim.output import Row
from hwsim.synthesis.circuits import UNITS_OF_HARDWARE, Circuit

#: Kinds whose products the ASQ paper (arXiv:2504.17263, section 3.3) calls about B times faster than B-bit uniform
#: ones, without a measurement.
CLAIMED_KINDS = ("pot", "post")
BASELINE = "uniform"
#: Measured quantity -> column of its ratio to the uniform circuit's.
RATIOS = {
    "area": "area",
    "delay": "delay",
    "transistors": "transistors",
    "energy": "energy",
    "lut6": "lut6",
    "xc7_lut": "xc7_lut",
    "ice40_lut4": "ice40_lut4",
    "cell_depth": "depth",
}


def compare_gates(
    bits: Iterable[int],
    units: Sequence[str] = UNITS_OF_HARDWARE,
    accuracies: Mapping[Circuit, float] | None = None,
) -> list[Row]:
    """Return one row per circuit of these widths: claim, area in NAND2 gates, and ratios to the uniform circuit.

    `claimed` is the share of the uniform multiplier's cost that the paper's "about B-fold" leaves, 1 / b. Of a
    processing element the accumulator is as wide as its exact sum of 4608 products needs. accuracies: of networks, in
    0..1, by the processing element that they run on; they get a column.

    Raises:
        ValueError: an unknown unit, or a width that the table does not hold.
    """
    for unit in units:
        if unit not in UNITS_OF_HARDWARE:
            raise unknown_name("unit", unit, UNITS_OF_HARDWARE)
    found = [row for width in bits for unit in units for row in _group(load_gates(), width, unit)]
    if accuracies is None:
        return [_row(*pair) for pair in found]
    return [{**_row(*pair), "accuracy": accuracies.get(replace(pair[0].circuit, unit="pe"))} for pair in found]


def _group(rows: Sequence[GateRow], bits: int, unit: str) -> Iterator[tuple[GateRow, GateRow]]:
    """Yield the rows of these widths, each with the uniform circuit's."""
    group = [row for row in rows if (row.circuit.bits, row.circuit.act_bits, row.circuit.unit) == (bits, bits, unit)]
    baseline = next((row for row in group if row.circuit.kind == BASELINE), None)
    if baseline is None:
        widths = sorted({row.circuit.bits for row in rows})
        raise ValueError(f"the table of gates has no {bits}-bit {unit} (it has {', '.join(map(str, widths))} bits)")
    for row in group:
        yield row, baseline


def _row(row: GateRow, baseline: GateRow) -> Row:
    circuit = row.circuit
    return {
        "bits": circuit.bits,
        "unit": circuit.unit,
        "circuit": circuit.kind,
        "layout": circuit.layout,
        "fraction_bits": circuit.fraction_bits,
        "exponents": circuit.used_exponents,
        "accumulator": row.accumulator_bits,
        "claimed": 1 / circuit.bits if circuit.kind in CLAIMED_KINDS else None,
        "nand2": round(row.gate_equivalents, 1),
        **{column: _ratio(row, baseline, quantity) for quantity, column in RATIOS.items()},
    }


def _ratio(row: GateRow, baseline: GateRow, quantity: str) -> float | None:
    above, below = row.measures.get(quantity), baseline.measures.get(quantity)
    return round(above / below, 3) if above is not None and below else None

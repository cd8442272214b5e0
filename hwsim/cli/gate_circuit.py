"""What `hwsim rtl synth` maps: a circuit of the shipped table, or one of the user's choice."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.cli.rtl_choices import multiplier_of

if TYPE_CHECKING:
    from hwsim.multipliers import Multiplier
    from hwsim.synthesis.circuits import Circuit
    from hwsim.synthesis.hardware import CustomCircuit


@dataclass(frozen=True)
class Operands:
    """How wide a circuit's operands are, None for as the default says; and whether activations have a sign."""

    bits: int | None
    act_bits: int | None
    signed: bool

    @property
    def widths(self) -> tuple[int, int]:
        """Bits of weights and activations."""
        bits = 4 if self.bits is None else self.bits
        return bits, bits if self.act_bits is None else self.act_bits


@dataclass(frozen=True)
class Sum:
    """The accumulator of an element: width, None for that of 4608 products; overflow, None for no choice."""

    bits: int | None
    overflow: str | None

    @property
    def is_chosen(self) -> bool:
        """Whether the user chose anything."""
        return self.bits is not None or self.overflow is not None


def chosen_circuit(
    kind: str, unit: str, operands: Operands, table: tuple[int | None, str | None], exponents: int | None, total: Sum
) -> "Circuit | CustomCircuit":
    """Return the circuit that the options describe: one of `Circuit` where that can be.

    table: fraction bits and layout of POST's.

    Raises:
        ValueError, FileNotFoundError: an unknown kind or unit, options that do not belong together, or a table that is
            not in order.
    """
    from hwsim.errors import unknown_name
    from hwsim.synthesis.circuits import KINDS, UNITS_OF_HARDWARE, Circuit

    if unit not in UNITS_OF_HARDWARE:
        raise unknown_name("unit", unit, UNITS_OF_HARDWARE)
    if total.is_chosen and unit != "pe":
        raise ValueError("--accumulator-bits and --overflow are for --unit pe: leave them out")
    if kind not in KINDS:
        return _custom(_table_multiplier(kind, operands, table, exponents), kind, unit, operands.signed, total)
    circuit = Circuit(kind, *operands.widths, unit, *table, exponents)
    if not operands.signed and not total.is_chosen:
        return circuit
    return replace(
        _custom(_signed(circuit) if operands.signed else circuit.multiplier, kind, unit, operands.signed, total),
        name=", ".join((circuit.name, *_words(operands.signed, total))),
        style=circuit.style,
    )


def _table_multiplier(
    kind: str, operands: Operands, table: tuple[int | None, str | None], exponents: int | None
) -> "Multiplier":
    """Return the multiplier of a table, whose file decides its widths."""
    from hwsim.cli.rtl_choices import has_own_widths

    if (*table, exponents) != (None, None, None):
        raise ValueError(f"a table has no exponents, fraction bits or layout: leave them out for {kind}")
    if has_own_widths(kind) and (operands.bits, operands.act_bits) != (None, None):
        raise ValueError(f"the file {kind} decides --bits and --act-bits: leave them out")
    return multiplier_of(kind, operands.widths, None, (6, "shared"), operands.signed)


def _signed(circuit: "Circuit") -> "Multiplier":
    """Return a circuit's multiplier for activations in two's complement."""
    from hwsim.formats import Uniform

    if circuit.kind == "mitchell":
        return multiplier_of("mitchell", (circuit.bits, circuit.act_bits), None, (6, "shared"), True)
    return replace(circuit.multiplier, activation=Uniform(circuit.act_bits))


def _custom(multiplier: "Multiplier", kind: str, unit: str, signed: bool, total: Sum) -> "CustomCircuit":
    from hwsim.accumulator import Accumulator, exact_bits
    from hwsim.synthesis.circuits import TERMS
    from hwsim.synthesis.hardware import CustomCircuit

    accumulator = None
    if unit == "pe":
        bits = exact_bits(multiplier, TERMS) if total.bits is None else total.bits
        accumulator = Accumulator(bits, total.overflow or "error")
    first = f"{Path(kind).stem}{multiplier.weight.bits}a{multiplier.activation.bits} {unit}"
    return CustomCircuit(", ".join((first, *_words(signed, total))), multiplier, accumulator)


def _words(signed: bool, total: Sum) -> list[str]:
    """Return what sets a circuit apart from that of the table."""
    words = ["signed activations"] if signed else []
    words += [f"{total.bits}-bit sum"] if total.bits is not None else []
    return words + ([total.overflow] if total.overflow is not None else [])

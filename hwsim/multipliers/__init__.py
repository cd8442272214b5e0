"""Multiplier circuits: code x code -> integer product. One circuit per file."""

from typing import Any

from hwsim.errors import unknown_name
from hwsim.formats import Format, IntegerFormat, PowerOfSqrtTwo, format_from_dict
from hwsim.multipliers.array import ArrayMultiplier
from hwsim.multipliers.codebook import CodebookMultiplier
from hwsim.multipliers.custom import TableMultiplier
from hwsim.multipliers.multiplier import Multiplier, Terms
from hwsim.multipliers.parts import Part
from hwsim.multipliers.shift import ShiftMultiplier
from hwsim.multipliers.shift_add import ShiftAddMultiplier
from hwsim.multipliers.table import LAYOUTS, LookupTableMultiplier

__all__ = [
    "LAYOUTS",
    "MULTIPLIERS",
    "ArrayMultiplier",
    "CodebookMultiplier",
    "LookupTableMultiplier",
    "Multiplier",
    "Part",
    "ShiftAddMultiplier",
    "ShiftMultiplier",
    "TableMultiplier",
    "Terms",
    "multiplier_for",
    "multiplier_from_dict",
]

MULTIPLIERS: dict[str, type[Multiplier]] = {
    "array": ArrayMultiplier,
    "shift": ShiftMultiplier,
    "table": LookupTableMultiplier,
    "shift_add": ShiftAddMultiplier,
    "codebook": CodebookMultiplier,
}


def multiplier_for(
    weight: Format, activation: IntegerFormat, fraction_bits: int = 6, layout: str = "shared"
) -> Multiplier:
    """Return the circuit for two formats: the first of `MULTIPLIERS` that takes both.

    That is array for uniform, shift for POT, table for POST and shift_add for APoT weights, with any activations of
    integer levels, except that array takes uniform and offset ones only; codebook takes the rest.

    fraction_bits and layout describe the table and mean nothing to the other circuits.

    Raises:
        ValueError: no circuit takes these formats, or the circuit refuses a parameter.
    """
    if isinstance(weight, PowerOfSqrtTwo):
        return LookupTableMultiplier(weight, activation, fraction_bits, layout)
    for circuit in MULTIPLIERS.values():
        if circuit.takes(weight, activation):
            return circuit(weight, activation)
    raise ValueError(f"no multiplier takes {weight} weights with {activation} activations")


def multiplier_from_dict(values: dict[str, Any]) -> Multiplier:
    """Return the multiplier that `Multiplier.to_dict` described.

    Raises:
        ValueError: a name, a field or a value is unknown or missing.
    """
    options = dict(values)
    name, known = options.pop("name", None), MULTIPLIERS | {TableMultiplier.name: TableMultiplier}
    if name not in known:
        raise unknown_name("multiplier", str(name), known)
    try:
        formats: dict[str, Any] = {role: format_from_dict(options.pop(role)) for role in ("weight", "activation")}
        return known[name](**formats, **options)
    except (KeyError, TypeError) as error:
        raise ValueError(f"a {name} multiplier cannot have {values}: {error}") from error

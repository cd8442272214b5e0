"""Multiplier circuits: code x code -> integer product. One circuit per file."""

from typing import Any

from hwsim.errors import unknown_name
from hwsim.formats import Format, PowerOfSqrtTwo, Uniform, format_from_dict
from hwsim.multipliers.array import ArrayMultiplier
from hwsim.multipliers.custom import TableMultiplier
from hwsim.multipliers.multiplier import Multiplier, Part, Terms
from hwsim.multipliers.shift import ShiftMultiplier
from hwsim.multipliers.table import LAYOUTS, LookupTableMultiplier

__all__ = [
    "LAYOUTS",
    "MULTIPLIERS",
    "ArrayMultiplier",
    "LookupTableMultiplier",
    "Multiplier",
    "Part",
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
}


def multiplier_for(weight: Format, activation: Uniform, fraction_bits: int = 6, layout: str = "shared") -> Multiplier:
    """Return the circuit for a weight format: array for uniform, shift for POT, table for POST.

    fraction_bits and layout describe the table and mean nothing to the other circuits.

    Raises:
        ValueError: no circuit takes this weight format, or the circuit refuses a parameter.
    """
    if isinstance(weight, PowerOfSqrtTwo):
        return LookupTableMultiplier(weight, activation, fraction_bits, layout)
    for circuit in MULTIPLIERS.values():
        if isinstance(weight, circuit.weight_format):
            return circuit(weight, activation)
    raise ValueError(f"no multiplier takes {weight}")


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

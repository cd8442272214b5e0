"""Multipliers as hardware, one circuit per file, made from the software multipliers that they must equal."""

from hwsim.errors import unknown_name
from hwsim.multipliers import Multiplier
from hwsim.rtl.multipliers.array import ArrayCircuit
from hwsim.rtl.multipliers.booth import BoothCircuit
from hwsim.rtl.multipliers.circuit import MultiplierCircuit
from hwsim.rtl.multipliers.inferred import InferredCircuit
from hwsim.rtl.multipliers.product_rom import ProductRomCircuit
from hwsim.rtl.multipliers.shift import ShiftCircuit
from hwsim.rtl.multipliers.shift_add import ShiftAddCircuit
from hwsim.rtl.multipliers.table import TableCircuit

__all__ = ["CIRCUITS", "MAX_ROM_BITS", "MultiplierCircuit", "circuit_for"]

MAX_ROM_BITS = 16  #: Widest address of a product table: 8 x 8 bits.

_INTEGERS: dict[str, type[MultiplierCircuit]] = {
    "plain": ArrayCircuit,
    "booth": BoothCircuit,
    "inferred": InferredCircuit,
    "rom": ProductRomCircuit,
}
#: The styles in which each kind of multiplier can be built; the first is the default.
CIRCUITS: dict[str, dict[str, type[MultiplierCircuit]]] = {
    "array": _INTEGERS,
    "shift": {"plain": ShiftCircuit, "rom": ProductRomCircuit},
    "table": {"plain": TableCircuit, "rom": ProductRomCircuit},
    "shift_add": {"plain": ShiftAddCircuit, "rom": ProductRomCircuit},
    "codebook": _INTEGERS,
    "custom": {"rom": ProductRomCircuit},
}


def circuit_for(multiplier: Multiplier, style: str | None = None) -> MultiplierCircuit:
    """Return the circuit of a multiplier, in one of the styles of its kind (default: the first).

    Raises:
        ValueError: an unknown style, or a product table of more than 16 address bits.
    """
    styles = CIRCUITS[multiplier.name]
    chosen = style or next(iter(styles))
    if chosen not in styles:
        raise unknown_name(f"style of the {multiplier.name} multiplier", chosen, styles)
    address_bits = multiplier.weight.code_bits + multiplier.activation.code_bits
    if styles[chosen] is ProductRomCircuit and address_bits > MAX_ROM_BITS:
        raise ValueError(f"a product table as logic takes codes of {MAX_ROM_BITS} bits together, got {address_bits}")
    return styles[chosen](multiplier)

"""Whether the codes of one format mean the same levels in another: what a circuit can be fed with."""

import numpy as np
from numpy.typing import NDArray

from hwsim.formats import Format
from hwsim.multipliers import Multiplier
from hwsim.synthesis.hardware import Mappable


def check_codes(circuit: Mappable, layer: str, multiplier: Multiplier) -> None:
    """Refuse a circuit to which the codes of a layer's operands would mean other levels.

    Levels may differ by a scale. The products may differ, too: that is what two multipliers of one format do.

    Raises:
        ValueError: they would; the message names both formats.
    """
    sides = (
        ("weights", multiplier.weight, circuit.multiplier.weight),
        ("activations", multiplier.activation, circuit.multiplier.activation),
    )
    for what, ours, theirs in sides:
        if not are_codes_of(ours, theirs):
            raise ValueError(f"layer {layer!r} has {what} {ours}, whose codes mean other levels to the circuit "
                             f"{circuit.name}, which takes {theirs}")  # fmt: skip


def are_codes_of(ours: Format, theirs: Format) -> bool:
    """Say whether each used code of one format has the same level in the other, but for one scale."""
    if ours.code_bits > theirs.code_bits:
        return False
    return np.allclose(_relative(ours)[ours.codes], _relative(theirs)[ours.codes], rtol=1e-12, atol=0)


def _relative(fmt: Format) -> NDArray[np.float64]:
    """Return the levels in units of the smallest magnitude."""
    levels = fmt.levels
    return np.asarray(levels / np.nanmin(np.abs(levels), where=levels != 0, initial=np.inf))

"""How a tensor's shape is read as the letters of a layer."""

import math
from collections.abc import Sequence
from typing import Any

Fields = dict[str, Any]


def extents(side: str, shape: Sequence[int]) -> Fields:
    """Return N with K, OY, OX (side "O") or C, IY, IX (side "I") of a tensor (N, C, Y, X), (N, tokens, C) or (N, C).

    Any other shape counts as that many channels of one pixel.
    """
    if len(shape) == 4:
        n, c, y, x = shape
    elif len(shape) == 3:
        n, x, c = shape
        y = 1
    elif len(shape) == 2:
        (n, c), y, x = shape, 1, 1
    else:
        n, c, y, x = 1, math.prod(shape), 1, 1
    return {"N": n, "K" if side == "O" else "C": c, f"{side}Y": y, f"{side}X": x}


def elementwise(shape: Sequence[int]) -> Fields:
    """Return the sizes of an operator with one output element per input element."""
    return {**extents("I", shape), **extents("O", shape)}


def channels_first(shape: Sequence[int]) -> Fields:
    """Return the sizes of an elementwise operator on (N, C), (N, C, X) or (N, C, Y, X)."""
    n, c, *image = shape
    y, x = (1, 1, *image)[-2:]
    return elementwise((n, c, y, x))

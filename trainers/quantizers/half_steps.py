"""The nearest of integer levels by a table: a search among thresholds costs a training step several passes.

The thresholds between integer levels are multiples of 1/2, or the next float above one where a tie goes down. So the
level nearest to r depends only on k = floor(2 r) + ceil(2 r): an even k says that r is k / 4, an odd one that it lies
between the multiples of 1/2 around k / 4. The table's places are k = -2 .. 4 top, and one before them for NaN; what
lies beyond has the level of the end, as long as levels are in 0 .. top.
"""

import torch
from torch import Tensor

FIRST = -2


def representatives(top: int, levels: Tensor) -> Tensor:
    """Return a ratio for each place of the table, in the levels' precision; the first stands for NaN."""
    return torch.arange(FIRST - 1, 4 * top + 1, dtype=levels.dtype, device=levels.device) / 4


def half_steps(twice: Tensor, top: int) -> Tensor:
    """Return the place in the table for each doubled ratio, int32; `twice` is overwritten."""
    twice.clamp_(-1, 2 * top).nan_to_num_(nan=(FIRST - 1) / 2)
    return (twice.floor() + twice.ceil_()).to(torch.int32).sub_(FIRST - 1)

"""Searches for the step or the range that represents calibration data with the least squared error."""

import torch
from torch import Tensor

FRACTIONS = 32  #: How many fractions of the largest value are tried.
SAMPLE = 1 << 15  #: At most this many values, evenly spaced in memory, are looked at for a range.


def best_step(rows: Tensor, low: float, high: float) -> Tensor:
    """Return the step of least squared error for each of the rows `[K, n]`, shape `[K]`.

    The levels are the integers `low..high` times the step. Fractions of max|x| / high are tried, the largest of
    equals is taken. A row of zeros gets 0.
    """
    full = rows.abs().amax(1) / high
    best, least = full, torch.full_like(full, torch.inf)
    for fraction in fractions(rows):
        step = fraction * full
        error = (round_rows(rows, step, low, high) - rows).square().sum(1)
        best, least = torch.where(error < least, step, best), torch.minimum(error, least)
    return best


def round_rows(rows: Tensor, step: Tensor, low: float, high: float) -> Tensor:
    """Return each row `[K, n]` on the integers `low..high` times its step `[K]`."""
    step = step.clamp(min=torch.finfo(step.dtype).tiny)[:, None]
    return (rows / step).round().clamp(low, high) * step


def best_range(x: Tensor, high: int) -> tuple[Tensor, Tensor]:
    """Return the range [lower, upper] around 0 of least squared error, when it is cut into `high` equal steps.

    Zero is made a level, by moving the grid less than a step. Fractions of one end are tried while the other stays,
    twice in turn. All-zero data give [0, 0].
    """
    x = x.flatten()
    x = x[:: -(-x.numel() // SAMPLE)]
    ends = torch.stack([x.amin().clamp(max=0), x.amax().clamp(min=0)])
    chosen = torch.ones_like(ends)
    for end in (1, 0, 1, 0):
        candidates = chosen.repeat(FRACTIONS, 1)
        candidates[:, end] = fractions(x)
        errors = [range_error(x, tried[0], tried[1], high) for tried in candidates * ends]
        chosen = candidates[torch.stack(errors).argmin()]
    lower, upper = chosen * ends
    return lower, upper


def fractions(like: Tensor) -> Tensor:
    """Return the fractions that are tried, from 1 down, in the type of a tensor."""
    return torch.arange(FRACTIONS, 0, -1, dtype=like.dtype, device=like.device) / FRACTIONS


def range_error(x: Tensor, lower: Tensor, upper: Tensor, high: int) -> Tensor:
    """Return the squared error of `x` on the grid of a range whose zero is moved to a level."""
    step = ((upper - lower) / high).clamp(min=torch.finfo(x.dtype).tiny)
    zero = (-lower / step).round()
    return (((x / step + zero).round().clamp(0, high) - zero) * step - x).square().sum()

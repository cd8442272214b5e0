"""Learning rate schedules: functions of the share of all steps that is done."""

import math
from collections.abc import Callable


def cosine(done: float) -> float:
    """Return half a cosine from 1 to 0 (Loshchilov and Hutter, arXiv:1608.03983, without restarts)."""
    return (1 + math.cos(math.pi * done)) / 2


def constant(done: float) -> float:
    """Return 1 throughout."""
    return 1.0


#: What the configured learning rate is multiplied by, by name.
SCHEDULES: dict[str, Callable[[float], float]] = {"cosine": cosine, "constant": constant}

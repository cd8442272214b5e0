"""Learning rate schedules: what the configured rate is multiplied by, step by step.

Steps count from 0 over the whole run. A linear warm-up comes first (Goyal et al., arXiv:1706.02677, section 2.2): it
rises to 1 with its last step, and the schedule begins after it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Plan:
    """How long a run is, and what its schedule needs to know.

    Raises:
        ValueError: the warm-up is as long as the run, or milestones do not rise or lie outside the run.
    """

    epochs: int
    warmup_epochs: int = 0  #: Length of the warm-up.
    milestones: Sequence[int] = ()  #: Epochs after which `step` falls, counted from the run's start.
    gamma: float = 0.1  #: What `step` multiplies by at each milestone.

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs must be in 0..{self.epochs - 1} for {self.epochs} epochs, "
                             f"got {self.warmup_epochs}")  # fmt: skip
        if any(before >= after for before, after in pairwise((0, *self.milestones, self.epochs))):
            given = ", ".join(map(str, self.milestones))
            raise ValueError(f"milestones must rise and lie in 1..{self.epochs - 1} for {self.epochs} epochs, "
                             f"got {given}")  # fmt: skip
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma must be over 0 and at most 1, got {self.gamma}")


def cosine(plan: Plan, step: int, per_epoch: int) -> float:
    """Return half a cosine from 1 to 0 over what follows the warm-up (Loshchilov and Hutter, arXiv:1608.03983)."""
    warmup = plan.warmup_epochs * per_epoch
    done = (step - warmup) / (plan.epochs * per_epoch - warmup)
    return (1 + math.cos(math.pi * done)) / 2


def staircase(plan: Plan, step: int, per_epoch: int) -> float:
    """Return gamma to the number of milestones that are behind, as in He et al., arXiv:1512.03385, section 4.2."""
    passed = sum(step >= milestone * per_epoch for milestone in plan.milestones)
    return float(plan.gamma**passed)


def constant(plan: Plan, step: int, per_epoch: int) -> float:
    """Return 1 throughout."""
    return 1.0


#: Schedules after the warm-up, by name.
SCHEDULES: dict[str, Callable[[Plan, int, int], float]] = {"cosine": cosine, "step": staircase, "constant": constant}


def factor(schedule: str, plan: Plan, step: int, per_epoch: int) -> float:
    """Return what the configured rate is multiplied by in a step of a run with `per_epoch` steps an epoch."""
    warmup = plan.warmup_epochs * per_epoch
    return (step + 1) / warmup if step < warmup else SCHEDULES[schedule](plan, step, per_epoch)

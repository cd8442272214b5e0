"""What `--dry-run` prints of trainings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwsim.cli.options import Output

if TYPE_CHECKING:
    from hwsim.output import Row
    from trainers.plan import RunPlan

DOES = {"new": "train", "unfinished": "continue", "finished": "reuse"}  #: By what is in the run's folder.


def print_runs(plans: "Sequence[RunPlan]", output: Output) -> None:
    """Print a row for each run: whether it would be trained, continued or reused, and how much is left."""
    from hwsim.output import write

    write([run_row(plan) for plan in plans], output.value, title=title_of(plans), units={"estimate": "s"})


def run_row(plan: "RunPlan") -> "Row":
    """Return one run's row."""
    return {
        "run": plan.run,
        "would": DOES[plan.state],
        "folder": str(plan.folder),
        "epochs": plan.epochs,
        "steps": plan.steps,
        "steps_left": plan.steps_left,
        "estimate": None if plan.seconds is None else round(plan.seconds, 1),
    }


def title_of(plans: "Sequence[RunPlan]") -> str:
    """Return how many runs would do what, and about how long they train one after the other, where that is known."""
    states = [plan.state for plan in plans]
    counts = [f"{DOES[state]} {states.count(state)}" for state in DOES if state in states]
    known = [plan.seconds for plan in plans if plan.seconds is not None]
    left = "of unknown length" if len(known) < len(plans) else f"about {sum(known):.0f} s, one after the other"
    return f"{len(plans)} runs: would {', '.join(counts)}; training {left}"

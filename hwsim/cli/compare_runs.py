"""`hwsim compare-runs`: whether trained designs differ in accuracy, as far as their seeds show."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.options import FormatOption, Output

if TYPE_CHECKING:
    from reports.run_groups import RunGroup


def compare_runs(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS...", help="Records of runs, or folders below which they lie.")
    ],
    baseline: Annotated[
        str | None, typer.Option(help="Design that the others are compared with (default: the first).", metavar="NAME")
    ] = None,
    output: FormatOption = Output.table,
) -> None:
    """Whether designs differ in integer accuracy, paired over the seeds that they share.

    Runs are grouped into designs by their configuration. Each design is compared with the baseline: mean difference,
    Student's 95 % interval and p-value, and the exact p-value over all sign flips; with several designs, Holm's
    correction. The sentence says what the runs show, and which effects they could not have shown.

    Example: hwsim compare-runs runs/demo --baseline uniform-w4a4
    """
    from hwsim.output import write
    from reports.run_groups import run_groups
    from reports.significance import compare
    from reports.tables.differences import UNITS, rows

    groups = comparable(run_groups(runs))
    found = rows(compare({group.name: group.final_accuracy for group in groups}, baseline or groups[0].name))
    title = "Differences of integer accuracy, paired over seeds"
    if output is not Output.table:
        write(found, output.value, title=title, units=UNITS)
        return
    short = [{name: value for name, value in row.items() if name != "statement"} for row in found]
    write(short, output.value, title=title, units=UNITS)
    print()
    for row in found:
        print(f"{row['design']} against {row['against']}: {row['statement']}.")


def comparable(groups: "Sequence[RunGroup]") -> "Sequence[RunGroup]":
    """Return the designs after checking that their accuracies can be compared.

    Raises:
        ValueError: there are fewer than two, one was not measured, or they were tested on different images.
    """
    if len(groups) < 2:
        raise ValueError(f"a comparison needs two designs, got {groups[0].name} alone")
    for group in groups:
        if not group.final_accuracy:
            raise ValueError(f"no run of {group.name} has a measured integer accuracy")
    first = groups[0]
    for group in groups:
        ours, theirs = group.test_data, first.test_data
        if ours != theirs:
            raise ValueError(f"{group.name} and {first.name} were tested on different data: {ours} and {theirs}")
    return groups

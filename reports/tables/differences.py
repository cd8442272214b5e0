"""Differences between the designs of a study, each with what the runs show of it."""

from collections.abc import Iterable, Sequence

from hwsim.output import Row
from reports.records import FLOAT_DESIGN, Study
from reports.run_groups import RunGroup, study_groups
from reports.significance import Comparison, compare_pair, corrected
from reports.statement import statement
from reports.tables.table import Table

UNIFORM = ("uniform", "lsq")  #: Designs that others of the same widths are compared with, without their widths.
UNITS = dict.fromkeys(("difference", "low", "high"), "points")

Widths = tuple[int, int]


def tables(study: Study) -> list[Table]:
    """Return the table: designs against float, and against uniform weights of the same widths.

    The comparisons of one kind and one network are corrected for their number.
    """
    networks = study_groups(study)
    found = [comparison for groups in networks for comparison in (*against_float(groups), *against_uniform(groups))]
    shown = [{"design": one.design, "against": one.baseline, "what the runs show": statement(one)} for one in found]
    return [Table("differences", "Differences of integer accuracy, paired over seeds", rows(found), shown, UNITS)]


def rows(comparisons: Iterable[Comparison]) -> list[Row]:
    """Return one row per comparison, differences in percentage points, with the sentence that it comes to."""
    return [_row(comparison) for comparison in comparisons]


def _row(comparison: Comparison) -> Row:
    found = comparison.difference
    ends = (None, None, None) if found is None else (found.mean, found.low, found.high)
    difference, low, high = (None if end is None else 100 * end for end in ends)
    return {
        "design": comparison.design,
        "against": comparison.baseline,
        "seeds": len(comparison.seeds),
        "unpaired_seeds": len(comparison.unpaired),
        "difference": difference,
        "low": low,
        "high": high,
        "student_p": comparison.student_p,
        "sign_flip_p": comparison.sign_flip_p,
        "holm_p": comparison.holm_p,
        "comparisons": comparison.comparisons,
        "statement": statement(comparison),
    }


def against_float(groups: Sequence[RunGroup]) -> list[Comparison]:
    """Return each design of one network against the float network that each of its runs started from.

    A run that does not tell that accuracy is paired with the float design's of its seed.
    """
    baseline = next((group.accuracy("float") for group in groups if group.name == FLOAT_DESIGN), {})
    quantized = (group for group in groups if group.name != FLOAT_DESIGN)
    return corrected(
        compare_pair((group.name, group.final_accuracy), (FLOAT_DESIGN, {**baseline, **group.accuracy("float")}))
        for group in quantized
    )


def against_uniform(groups: Sequence[RunGroup]) -> list[Comparison]:
    """Return each design of one network against the uniform one of the same widths, where there is one."""
    baselines = {widths(group): group for group in groups if _family(group) in UNIFORM}
    pairs = ((group, baselines.get(widths(group))) for group in groups if group.name != FLOAT_DESIGN)
    return corrected(
        compare_pair((group.name, group.final_accuracy), (baseline.name, baseline.final_accuracy))
        for group, baseline in pairs
        if baseline is not None and baseline is not group
    )


def widths(group: RunGroup) -> Widths:
    """Return the weight and activation bits of a design; 0 and 0 for a float one."""
    config = group.config
    return (0, 0) if group.name == FLOAT_DESIGN else (config["bits"], config["act_bits"])


def _family(group: RunGroup) -> str:
    """Return the design's name without its widths."""
    weight_bits, act_bits = widths(group)
    return group.name.removesuffix(f"-w{weight_bits}a{act_bits}")

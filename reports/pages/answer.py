"""The question of a study and its answer in sentences, generated from the runs and honest about their spread."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.pages.design import PageDesign, losses
from reports.pareto import pareto_front
from reports.statement import points
from reports.tables.designs import compact, with_deviation

MARGIN = 0.01  #: A loss below one point of accuracy counts as small.


@dataclass(frozen=True)
class Answer:
    """What a group of designs says.

    Attributes:
        question: what is asked.
        lead: the answer in one sentence.
        more: further sentences.
        front: names of the designs on the Pareto front of integer accuracy against BOPs, cheapest first.
    """

    question: str
    lead: str
    more: tuple[str, ...]
    front: tuple[str, ...]


def answer(designs: Sequence[PageDesign]) -> Answer:
    """Return question and answer of the designs of one group."""
    _, data, model = designs[0].group
    question = f"What does {model} on {data} cost in hardware at each precision, and what accuracy does that buy?"
    measured = [design for design in designs if design.accuracy("integer") and "bops" in design.costs]
    if not measured:
        return Answer(question, "No quantized design has been measured yet.", (), ())
    front = _front(measured)
    baseline = next((design for design in designs if design.is_float), None)
    more = (_best(measured), _front_sentence(front), _spread(measured))
    return Answer(question, _lead(measured, baseline), more, tuple(design.name for design in front))


def _lead(measured: Sequence[PageDesign], baseline: PageDesign | None) -> str:
    compared = losses(measured if baseline is None else [*measured, baseline])
    pairs = [(design, found) for design in measured if (found := compared[design.slug].difference)]
    if not pairs:
        return f"{_best(measured)} No float network was measured to compare with."
    sure = [(design, found) for design, found in pairs if found.low is not None and found.low > -MARGIN]
    if sure:
        design, found = min(sure, key=lambda pair: (pair[0].costs["bops"], -pair[1].mean))
        cost = f"{_bops(design)} per image{_saving(design, baseline)}"
        others = [other.name for other, _ in sure if other.costs["bops"] == design.costs["bops"] and other != design]
        also = f" The same holds, at as many BOPs, of {', '.join(others)}." if others else ""
        return (
            f"{design.name} is the cheapest design in BOPs whose loss against the float network stays, at 95 % "
            f"confidence, below one point of accuracy: {points(found)}, at {cost}.{also}"
        )
    design, found = max(pairs, key=lambda pair: pair[1].mean)
    return (
        f"These runs do not show, at 95 % confidence, that any design loses less than one point of accuracy against "
        f"the float network; the nearest on average is {design.name}: {points(found)}, at {_bops(design)} per image."
    )


def _saving(design: PageDesign, baseline: PageDesign | None) -> str:
    """Say what share of the float network's bit operations that is, where both were counted."""
    if baseline is None or not baseline.costs.get("bops") or not design.costs["bops"]:
        return ""
    return f", {baseline.costs['bops'] / design.costs['bops']:.3g} times fewer than in 32-bit arithmetic"


def _best(measured: Sequence[PageDesign]) -> str:
    best = max(measured, key=lambda design: design.row["accuracy_integer_mean"])
    accuracy = with_deviation(*(100 * best.row[f"accuracy_integer_{kind}"] for kind in ("mean", "sd")))
    return f"The highest mean accuracy of an integer network is {accuracy} %, of {best.name}, at {_bops(best)}."


def _front(measured: Sequence[PageDesign]) -> list[PageDesign]:
    bops, gains = (
        [design.costs["bops"] for design in measured],
        [design.row["accuracy_integer_mean"] for design in measured],
    )
    chosen = pareto_front(bops, gains)
    front = [design for design, on in zip(measured, chosen, strict=True) if on]
    return sorted(front, key=lambda design: design.costs["bops"])


def _front_sentence(front: Sequence[PageDesign]) -> str:
    names = ", ".join(design.name for design in front)
    return f"On the Pareto front of mean integer accuracy against BOPs, from the cheapest: {names}."


def _spread(measured: Sequence[PageDesign]) -> str:
    counts = [len(design.accuracy("integer")) for design in measured]
    low, high = min(counts), max(counts)
    if high == 1:
        return "Every design was trained once, so nothing is known of its spread, and no difference here is sure."
    runs = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"Each design was trained with {runs} seeds; ± is the sample standard deviation. Differences smaller than that "
        f"may be chance, and the intervals do not account for {len(measured)} designs having been looked at."
    )


def _bops(design: PageDesign) -> str:
    return f"{compact(design.costs['bops'])} BOPs"

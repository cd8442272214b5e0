"""The numbers of the papers: all there, each with a source, uncertain ones marked, and none from nowhere."""

import re
from collections import Counter
from pathlib import Path

import pytest

from reports.published import PAPER_TABLES, Published, read_published
from reports.published.table import CERTAINTIES, COLUMNS, VALUELESS, column_heading, parse_published

FOLDER = Path(__file__).parents[1] / "reports" / "published"
HEADER = ",".join(COLUMNS) + "\n"
ROW = 'ImageNet,ResNet-18,ASQ,4,4,top1,70.8,printed,"ASQ, arXiv:2504.17263",\n'
every_table = pytest.mark.parametrize("name", PAPER_TABLES)


def value(name: str, model: str, method: str, bits: int, quantity: str = "top1") -> Published:
    wanted = model, method, quantity, bits, bits
    (found,) = (number for number in read_published(name) if (number.model, number.method, *number.column) == wanted)
    return found


def percent(name: str, model: str, method: str, bits: int) -> float:
    return float(str(value(name, model, method, bits).value))


def test_every_table_has_a_file_and_every_file_a_table() -> None:
    assert {path.stem for path in FOLDER.glob("*.csv")} == set(PAPER_TABLES)


@every_table
def test_every_number_has_a_source_that_can_be_found(name: str) -> None:
    numbers = read_published(name)
    assert numbers
    for number in numbers:
        assert number.certainty == "own" or re.search(r"arXiv:\d{4}\.\d{5}", number.source), number
        assert (number.value is None) == (number.certainty in VALUELESS)
    assert PAPER_TABLES[name].title
    assert PAPER_TABLES[name].budget


@every_table
def test_numbers_that_are_not_certain_say_why_where_it_is_not_plain(name: str) -> None:
    for number in read_published(name):
        assert number.note or number.certainty not in ("inferred", "disputed", "unavailable"), number


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("asq-overhead", 8),
        ("asq-imagenet", 95),
        ("asq-mobilenetv2", 15),
        ("asq-cifar10", 18),
        ("asq-ablation", 6),
        ("imagenet", 110),
        ("cifar10", 30),
        ("qil-weights", 20),
        ("bwrf", 0),
    ],
)
def test_no_number_is_lost(name: str, printed: int) -> None:
    assert sum(number.value is not None for number in read_published(name)) == printed


def test_numbers_that_several_tables_print_agree() -> None:
    """The float network, LSQ, ASQ and ASQ+POST stand in two tables of the paper."""
    for method, other, printed in (("LSQ", "LSQ*", "92.4"), ("ASQ", "ASQ", "92.8"), ("ASQ+POST", "ASQ+POST", "93.0")):
        pair = value("asq-ablation", "ResNet-20", method, 4), value("asq-cifar10", "ResNet-20", other, 4)
        assert [number.value for number in pair] == [printed, printed]
    assert value("asq-ablation", "ResNet-20", "float", 32).value == value("asq-cifar10", "ResNet-20", "ASQ", 32).value


def test_what_the_notes_argue_with_is_in_the_tables() -> None:
    gains = [
        percent("asq-imagenet", model, "ASQ+POST", 4) - percent("asq-imagenet", model, "ASQ", 32)
        for model in ("ResNet-18", "ResNet-34")
    ]
    assert gains == pytest.approx([1.2, 0.8])
    assert any("+1.2 is that of ResNet-18" in note for note in PAPER_TABLES["asq-imagenet"].notes)
    three = [percent("asq-cifar10", "ResNet-20", method, 3) for method in ("ASQ", "LSQ*", "APoT*")]
    assert three == sorted(three)
    assert three == [91.7, 92.0, 92.2]


def test_what_is_inferred_or_contradicted_is_marked() -> None:
    marks = Counter(number.certainty for name in PAPER_TABLES for number in read_published(name))
    assert set(marks) == set(CERTAINTIES)
    assert value("asq-imagenet", "ResNet-18", "LSQ*", 8).certainty == "inferred"
    assert value("asq-imagenet", "ResNet-18", "LQ-Nets", 2, "top5").certainty == "disputed"
    assert value("asq-imagenet", "ResNet-18", "LQ-Nets", 4, "top5").certainty == "printed"
    assert value("cifar10", "ResNet-20", "PACT", 3).certainty == "disputed"
    assert {number.certainty for number in read_published("bwrf")} == {"unavailable", "own"}


def test_columns_are_called_by_their_widths() -> None:
    assert column_heading(("top1", 4, 4)) == "top-1 4/4"
    assert column_heading(("top1", 32, 32)) == "top-1 float"
    assert column_heading(("top5", 2, 32)) == "top-5 2/float"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("method,", "row,", "the table t must have the columns data, model, method, "),
        ("ASQ,4", ",4", "line 2 of the table t: method is missing"),
        ('"ASQ, arXiv:2504.17263"', "", "line 2 of the table t: source is missing"),
        (",4,4,", ",four,4,", "weight_bits must be one of 1, 2, 3, 4, 5, 8, 32, got 'four'"),
        (",4,4,", ",4,16,", "act_bits must be one of 1, 2, 3, 4, 5, 8, 32, got '16'"),
        ("top1", "top2", "quantity must be one of top1, top5, parameters_overhead, compute_overhead, got 'top2'"),
        ("printed", "sure", "certainty must be one of printed, inferred, .*, got 'sure'"),
        ("70.8", "", "value must be a percentage in 0..100, got ''"),
        ("70.8", "708", "value must be a percentage in 0..100, got '708'"),
        ("printed", "unavailable", "a number that is unavailable has no value, got '70.8'"),
        (ROW, ROW + ROW, "line 3 of the table t: ImageNet, ResNet-18, ASQ has this number twice"),
    ],
)
def test_a_damaged_table_is_refused_by_line(old: str, new: str, message: str) -> None:
    assert len(parse_published(HEADER + ROW, "t")) == 1
    with pytest.raises(ValueError, match=message):
        parse_published((HEADER + ROW).replace(old, new, 1), "t")


def test_the_row_taken_for_lsq_starts_from_the_float_network_of_asq() -> None:
    """Both at top-1 and at top-5: what it is identified by."""
    for quantity in ("top1", "top5"):
        ours, theirs = (value("asq-imagenet", "ResNet-18", method, 32, quantity) for method in ("LSQ*", "ASQ"))
        assert (ours.value, ours.certainty) == (theirs.value, "inferred")

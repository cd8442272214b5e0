"""Cost tables: sums, selections and comparisons."""

import pytest

from hwsim.cost import evaluate
from hwsim.cost.table import CostTable, Entry, columns, concatenate
from hwsim.workloads import literature

TABLE = CostTable(
    (
        Entry("a", "products", "macs", 10, "MAC", "", "x"),
        Entry("b", "products", "macs", 5, "MAC", "", "y"),
        Entry("a", "products", "bops", 160, "bit operation", "macs_bits", "x"),
        Entry("a", "products", "bops", 200, "bit operation", "uniq", "x"),
        Entry("a", "array", "utilization", 0.5, "1", "os", "x"),
        Entry("b", "array", "utilization", 0.7, "1", "os", "x"),
        Entry("network", "array", "utilization", 0.6, "1", "os", "x"),
    )
)


def test_totals_add_over_layers_and_keep_conventions_apart() -> None:
    total = TABLE.total()
    assert [(e.layer, e.quantity, e.value, e.convention) for e in total] == [
        ("total", "macs", 15, ""),
        ("total", "bops", 160, "macs_bits"),
        ("total", "bops", 200, "uniq"),
        ("total", "utilization", 0.6, "os"),
    ]


def test_totals_keep_every_part_of_a_ratio() -> None:
    table = evaluate(literature("resnet18"), ["overhead"])
    assert (
        len(table.total()) == len(table) == 4 * 7
    )  # 8, 4, 3, 2 bits; two numbers by each count of Table 1, three as run
    assert [(e.part, e.value) for e in table.total()] == [(e.part, e.value) for e in table]


def test_sources_of_a_sum_are_all_named() -> None:
    assert TABLE.total().entries[0].source == "x; y"


def test_by_layer_keeps_every_layer() -> None:
    assert [(e.layer, e.quantity, e.value) for e in TABLE.by("layer")][:2] == [("a", "macs", 10), ("b", "macs", 5)]


def test_ratios_of_several_layers_are_not_added() -> None:
    assert "utilization" not in {e.quantity for e in TABLE.by("part")}


def test_value_adds_what_can_be_added() -> None:
    assert TABLE.value("macs") == 15
    assert TABLE.value("macs", layer="b") == 5
    assert TABLE.value("bops", convention="uniq") == 200
    assert TABLE.value("utilization", layer=("a",)) == 0.5


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        ("bops", r"bops needs entries of one unit and convention, got macs_bits \[bit operation\]; uniq"),
        ("area", "got none"),
        ("utilization", r"utilization is a ratio \[1\]; 3 of them cannot be added"),
    ],
)
def test_value_refuses_what_cannot_be_added(quantity: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TABLE.value(quantity)


def test_a_field_that_entries_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'colour'"):
        TABLE.filter(colour="red")
    with pytest.raises(ValueError, match="got 'colour'"):
        TABLE.by("colour")


def test_two_tables_stand_side_by_side() -> None:
    other = CostTable((TABLE.entries[0]._replace(value=30), TABLE.entries[1]._replace(layer="c", value=0)))
    rows = TABLE.filter(quantity="macs").compare(other)
    assert [(row["layer"], row["this"], row["other"], row["ratio"]) for row in rows] == [
        ("a", 10, 30, 3.0),
        ("b", 5, None, None),
        ("c", None, 0, None),
    ]


def test_columns_hold_any_number_of_tables() -> None:
    rows = columns({"w4": TABLE, "w3": TABLE, "w2": CostTable()})
    assert rows[0]["w4"] == rows[0]["w3"] == 10
    assert rows[0]["w2"] is None


def test_tables_are_values() -> None:
    assert TABLE + CostTable() == TABLE == concatenate([CostTable(), TABLE])
    assert TABLE.rows()[0] == TABLE.entries[0]._asdict()
    assert len(TABLE) == len(TABLE.rows()) == 7

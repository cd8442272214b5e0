"""The rows that the commands print."""

import pytest

from hwsim.cost import bops, evaluate, overhead
from hwsim.cost.views import at_precisions, by_layer, precisions, side_by_side, totals
from hwsim.output import OUTPUTS, render
from hwsim.workloads import literature


def test_precisions_are_named_like_the_designs_of_a_study() -> None:
    assert list(precisions(["uniform", "post"], [4, 3])) == ["uniform-w4a4", "uniform-w3a3", "post-w4a4", "post-w3a3"]
    assert list(precisions(["pot"], [4, 3], [8])) == ["pot-w4a8", "pot-w3a8"]
    assert list(precisions(["pot"], [4, 3], [8, 4])) == ["pot-w4a8", "pot-w3a4"]


def test_options_go_to_the_formats_that_have_them() -> None:
    found = precisions(["uniform", "pot", "post"], [4], exponents=3, fraction_bits=2)
    assert [p.exponents for p in found.values()] == [None, 3, 3]
    assert [p.fraction_bits for p in found.values()] == [6, 6, 2]


def test_widths_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="one act-bits for all or one per bits, got 2 for 3"):
        precisions(["pot"], [4, 3, 2], [8, 4])


def test_totals_have_one_row_per_quantity() -> None:
    rows = totals(bops(literature("resnet18"), "macs_bits"))
    assert [(row["quantity"], row["value"]) for row in rows] == [("bops", 1_814_073_344 * 1024)]


def test_a_ratio_of_several_parts_has_a_row_for_each() -> None:
    rows = totals(overhead(literature("resnet18"), [4, 3]))
    names = [row["quantity"] for row in rows if row["convention"] == "asq_table1"]
    assert names == [f"{what}_overhead, {bits} bits" for bits in (4, 3) for what in ("parameters", "compute")]
    assert [row["quantity"] for row in totals(evaluate(literature("resnet18"), ["accelerator"]))][-2:] == [
        *("utilization", "intensity")
    ]


def test_layers_have_a_column_per_quantity() -> None:
    rows = by_layer(evaluate(literature("resnet18"), ["counts", "bops"]))
    first = rows[0]
    assert first["layer"] == "conv1"
    assert first["macs [MAC]"] == 118_013_952
    assert first["bops [bit operation, macs_bits]"] == 118_013_952 * 1024


def test_designs_stand_side_by_side() -> None:
    workloads = at_precisions(literature("resnet18"), precisions(["uniform"], [8, 4]))
    tables = {name: bops(workload, "macs_bits") for name, workload in workloads.items()}
    assert side_by_side(tables) == [
        {
            "quantity": "bops",
            "unit": "bit operation",
            "convention": "macs_bits",
            "uniform-w8a8": 116_100_694_016,
            "uniform-w4a4": 34_714_419_200,
        }
    ]
    layers = side_by_side(tables, per_layer=True)
    assert (len(layers), layers[0]["layer"]) == (21, "conv1")


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_row_can_be_written(output: str) -> None:
    table = evaluate(literature("resnet20_a"))
    for rows in (totals(table), by_layer(table), side_by_side({"a": table, "b": overhead(literature("resnet18"))})):
        assert render(rows, output)

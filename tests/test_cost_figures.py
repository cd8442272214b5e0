"""The figures of costs: their data are hwsim.cost's numbers, and what is drawn are their data."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_checks import ARRAY, cut_or_overlapping, designs
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from random_networks import random_network

from hwsim.cost import CostTable, Design, accelerator, arithmetic_energy, bops, parameter_storage
from hwsim.cost import overhead as count_overhead
from hwsim.cost.bops import all_bops
from hwsim.cost.counts import operation_counts
from hwsim.cost.storage import storage as count_storage
from hwsim.workload import Layer, Workload
from hwsim.workloads import literature
from reports.figures import COST_FIGURES, bars, conventions, layer_costs, overhead, storage, style

NETWORKS = ("resnet18", "resnet50", "mobilenetv2")


WORKLOADS: dict[str, Callable[[str], dict[str, Workload]]] = {
    "layer-costs": lambda network: designs(network, "post"),
    "overhead": lambda network: {network: literature(network)},
    "roofline": lambda network: designs(network, bits=(8, 4)),
    "storage": lambda network: designs(network, bits=(8, 3)) | designs(network, "post"),
    "conventions": lambda network: designs(network, bits=(8, 4, 3, 2)),
}


def test_a_cut_text_and_overlapping_labels_are_found() -> None:
    drawing = Figure(figsize=(1, 1))
    axes = drawing.subplots()
    axes.set_xticks([0, 0.1], ["first", "second"])
    axes.set_title("far too long for a figure of this size")
    assert {"far too long for a figure of this size", "first over second"} <= set(cut_or_overlapping(drawing))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_figure_is_drawn_whole_and_without_overlaps(name: str, network: str) -> None:
    kind = COST_FIGURES[name]
    drawing = kind.draw(kind.data(WORKLOADS[name](network)))
    assert set(WORKLOADS) == set(COST_FIGURES)
    assert cut_or_overlapping(drawing) == []
    assert drawing.get_size_inches()[0] == style.COLUMN_WIDTH_IN


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("operations", operation_counts),
        ("energy", lambda workload: accelerator(workload, ARRAY).filter(quantity="energy")),
        ("arithmetic", arithmetic_energy),
        ("bops", lambda workload: bops(workload, "macs_bits")),
        ("storage", parameter_storage),
    ],
)
def test_costs_per_layer_are_those_counted(quantity: str, expected: Any) -> None:
    (name, workload), *_ = designs("mobilenetv2", "post", (3,)).items()
    rows = layer_costs.data({name: workload}, quantity, [ARRAY] if quantity == "energy" else None)
    table: CostTable = expected(workload)
    owners = layer_costs.owning_layers(workload)
    sums: dict[str, float] = {}
    for entry in table:
        sums[owners[entry.layer]] = sums.get(owners[entry.layer], 0) + entry.value
    assert rows.groupby("layer")["value"].sum().to_dict() == pytest.approx(sums, rel=1e-12)
    assert set(rows["unit"]) == {entry.unit for entry in table}
    assert set(rows["part"]) <= set(layer_costs.QUANTITIES[quantity].colors)


def test_operations_per_layer_and_kind_by_hand() -> None:
    """conv1 of ResNet-18: 64 x 112 x 112 outputs of 147 products, with batch norm, ReLU and pooling (56 x 56 of 9)."""
    rows = layer_costs.data({"float": literature("resnet18")})
    conv1 = rows[rows["layer"] == "conv1"].set_index("part")["value"]
    outputs = 64 * 112 * 112
    assert conv1.to_dict() == {
        "multiply": outputs * 147 + outputs,
        "add": outputs * 146 + outputs,
        "compare": outputs + 64 * 56 * 56 * 8,
    }


def test_what_stands_before_the_first_product_belongs_to_it() -> None:
    first = Layer("relu", "relu", K=4, C=4)
    workload = Workload("w", (first, Layer("fc", "linear", K=2, C=4, has_weight=True), Layer("last", "relu", K=2, C=2)))
    assert layer_costs.owning_layers(workload) == {"network": "network", "relu": "fc", "fc": "fc", "last": "fc"}


def test_costs_per_layer_are_drawn_as_they_are() -> None:
    rows = layer_costs.data(designs(weights="post", bits=(4, 3)))
    drawing = layer_costs.draw(rows)
    assert [axes.get_title() for axes in drawing.axes] == ["post-w4a4", "post-w3a3"]
    for axes in drawing.axes:
        drawn = {str(bar.get_label()): [patch.get_width() for patch in bar] for bar in _bars(axes.containers)}
        chosen = rows[rows["design"] == axes.get_title()]
        table = bars.stacked(chosen, "layer", layer_costs.OPERATION_COLORS)
        assert list(table.index) == [label.get_text() for label in drawing.axes[0].get_yticklabels()]
        assert {(row["layer"], row["part"]): row["value"] for row in chosen.to_dict("records")} == {
            cell: value for cell, value in table.stack().items() if value
        }
        assert set(drawn) == set(table.columns)
        for part, widths in drawn.items():
            np.testing.assert_allclose(widths, table[part], rtol=0, atol=1e-6)  # differences of ends below 2^29


def _bars(containers: Any) -> list[BarContainer]:
    return [container for container in containers if isinstance(container, BarContainer)]


def test_operations_without_a_price_are_told_not_drawn() -> None:
    fc = Layer("fc", "linear", K=2, C=4, has_weight=True)
    workload = Workload("w", (fc, Layer("gelu", "nonlinear", K=500, C=500)))
    rows = layer_costs.data({"w": workload}, "arithmetic")
    assert rows[rows["part"] == "unpriced_operations"]["value"].tolist() == [500]
    label = next(text.get_text() for text in layer_costs.draw(rows).texts if "[J]" in text.get_text())
    assert label == "energy of the arithmetic alone [J]\n(horowitz2014)\nnot priced: 500 operations"


def test_several_arrays_are_panels() -> None:
    arrays = [Design(), Design(dataflow="ws")]
    drawing = layer_costs.draw(layer_costs.data(designs(), "energy", arrays))
    assert [axes.get_title() for axes in drawing.axes] == [
        "uniform-w4a4\n32x32-os-native",
        "uniform-w4a4\n32x32-ws-native",
    ]
    assert cut_or_overlapping(drawing) == []


def test_overheads_are_table_1_of_the_paper_and_as_it_runs() -> None:
    rows = overhead.data({"resnet18": literature("resnet18")})
    paper = rows[rows["convention"] == "asq_table1"]
    shown = {name: [round(x, 2) for x in chosen["value"]] for name, chosen in paper.groupby("quantity")}
    assert shown == {
        "parameters_overhead": [2.67, 5.34, 7.11, 10.67],
        "compute_overhead": [0.04, 0.07, 0.10, 0.14],
    }
    table = count_overhead(literature("resnet18"), [3]).filter(convention="as_it_runs")
    as_it_runs = rows[(rows["convention"] == "as_it_runs") & (rows["bits"] == 3)]
    assert as_it_runs["value"].tolist() == [entry.value for entry in table]


def test_overheads_are_drawn_as_they_are() -> None:
    rows = overhead.data({name: literature(name) for name in NETWORKS}, (8, 2))
    drawing = overhead.draw(rows)
    for axes, quantity in zip(drawing.axes, overhead.PANELS, strict=True):
        lines = {str(line.get_label()): line for line in axes.get_lines() if "," in str(line.get_label())}
        chosen = rows[rows["quantity"] == quantity]
        assert len(lines) == len(chosen) / 2
        for (network, convention), group in chosen.groupby(["network", "convention"]):
            line = lines[f"{network}, {convention}"]
            np.testing.assert_array_equal(line.get_xydata(), group[["bits", "value"]].sort_values("bits"))
            assert line.get_linestyle() == ("--" if convention == "asq_table1" else "-")


def test_more_networks_than_looks_are_refused() -> None:
    rows = pd.DataFrame({"network": [f"n{i}" for i in range(9)]})
    with pytest.raises(ValueError, match="a figure tells at most 8 networks apart, got 9"):
        overhead.draw(rows)


def test_storage_is_as_counted_and_drawn() -> None:
    chosen = designs("mobilenetv2", "post", (3, 4))
    rows = storage.data(chosen)
    drawing = storage.draw(rows)
    for name, workload in chosen.items():
        table = count_storage(workload)
        expected: dict[str, int] = {}
        for entry in table.filter(quantity="storage_bits"):
            part = entry.part.split(".")[-1]
            expected[part] = expected.get(part, 0) + int(entry.value)
        expected["peak"] = int(table.value("activation_peak_bits"))
        expected["all inputs of products"] = int(table.value("activation_bits"))
        assert rows[rows["design"] == name].set_index("part")["value"].to_dict() == expected
    whole, beside, activations = (_widths(axes.containers) for axes in drawing.axes)
    values = rows.pivot_table(index="part", columns="design", values="value", sort=False, fill_value=0).T.to_dict(
        "list"
    )
    assert whole | activations == values
    assert beside == {part: widths for part, widths in whole.items() if part != "codes"}
    assert "values that\nare no codes count 32 bits in it, at every width" in drawing.axes[2].get_xlabel()
    assert cut_or_overlapping(drawing) == []


def _widths(containers: Any) -> dict[str, list[float]]:
    return {str(bar.get_label()): [patch.get_width() for patch in bar] for bar in _bars(containers)}


def test_what_is_too_small_to_be_seen_is_written() -> None:
    drawing = storage.draw(storage.data(designs("resnet18", "post", (4,)) | designs("resnet18", "uniform", (4,))))
    assert [text.get_text() for text in drawing.axes[1].texts] == ["table 176", ""]


def test_conventions_are_as_counted() -> None:
    """ResNet-18, first and last layer at 8 bits: 116.10 / 34.71 / 22.85 / 14.37 G by macs_bits."""
    chosen = designs(bits=(8, 4, 3, 2))
    rows = conventions.data(chosen)
    macs_bits = rows[rows["convention"] == "macs_bits"]
    assert [round(value / 1e9, 2) for value in macs_bits["bops"]] == [116.10, 34.71, 22.85, 14.37]
    assert (macs_bits["relative_to_macs_bits"] == 1).all()
    for row in rows.to_dict("records"):
        total = all_bops(chosen[row["design"]]).value("bops", convention=row["convention"])
        widest = all_bops(chosen["uniform-w8a8"]).value("bops", convention=row["convention"])
        assert (row["bops"], row["relative_to_widest"]) == (total, total / widest), row
    assert rows[rows["convention"] == "asq_linear"]["relative_to_macs_bits"].isna().all()


def test_conventions_are_drawn_as_they_are_and_the_missing_ones_named() -> None:
    rows = conventions.data(designs(bits=(2, 8, 4)))
    drawing = conventions.draw(rows)
    for axes, column in zip(drawing.axes, ("relative_to_widest", "relative_to_macs_bits"), strict=True):
        shown = rows.dropna(subset=[column])
        lines = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}
        assert set(lines) == set(shown["convention"])
        for convention, group in shown.groupby("convention"):
            expected = group[["bits", column]].sort_values("bits").to_numpy()
            np.testing.assert_array_equal(lines[str(convention)], expected)
    assert [text.get_text() for text in drawing.axes[1].texts] == ["not here: asq_linear, in 32-bit operations"]


def test_conventions_that_need_weights_are_shown_where_they_are_known() -> None:
    trained = Workload.from_network(random_network(0))
    rows = conventions.data({"trained": trained, "resnet18": literature("resnet18")})
    known = set(rows[rows["design"] == "trained"]["convention"])
    assert known == set(conventions.LOOKS)
    assert set(rows[rows["design"] == "resnet18"]["convention"]) == known - {"ebops", "qonnx_sparse"}
    conventions.draw(rows)


def nothing() -> dict[str, Workload]:
    return {"w": Workload("w", (Layer("relu", "relu"),))}


@pytest.mark.parametrize(
    ("name", "workloads", "options", "message"),
    [
        ("layer-costs", designs(), {"quantity": "bop"}, "unknown quantity 'bop'; did you mean 'bops'"),
        ("layer-costs", designs(), {"hardware": [Design()]}, "operations does not depend on the array; energy does"),
        ("layer-costs", nothing(), {}, "workload w has no layer with products to draw"),
        (
            "layer-costs",
            {n: literature(n) for n in ("resnet18", "resnet34")},
            {},
            "of one network; resnet34 has other layers than resnet18",
        ),
        ("overhead", nothing(), {}, "no convolution between its first and its last layer"),
        ("roofline", nothing(), {}, "workload w has no layer with products to put on an array"),
        ("conventions", designs(), {}, "at least two bit widths, got 1"),
        ("conventions", designs() | designs(weights="pot"), {}, "uniform-w4a4 and pot-w4a4 both have 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    name: str, workloads: Mapping[str, Workload], options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        COST_FIGURES[name].data(workloads, **options)


def test_more_designs_than_panels_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 4 designs, got 5"):
        layer_costs.draw(layer_costs.data(designs(bits=(8, 7, 6, 5, 4)), "bops"))


def test_a_part_without_a_colour_is_refused() -> None:
    rows = pd.DataFrame({"layer": ["a"], "part": ["rom"], "value": [1]})
    with pytest.raises(ValueError, match="no colour for the part 'rom'"):
        bars.stacked(rows, "layer", layer_costs.STORAGE_COLORS)

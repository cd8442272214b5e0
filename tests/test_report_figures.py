"""What the figures draw equals what they are given; the files are equal for equal data."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_checks import cut_or_overlapping
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

from hwsim.cost import accelerator
from hwsim.cost.gates import find_gates
from hwsim.formats import Uniform, make_format
from hwsim.multipliers import multiplier_for
from hwsim.network_file import load_network
from hwsim.workload import Workload
from reports.figures import HARDWARE_FIGURES, accuracy_cost, levels, style, table_error
from reports.pareto import pareto_front
from reports.records import load_study
from reports.report import draw_figure

NAN = float("nan")
COLUMNS = ["design", "weights", "bits", "mean", "sd", "n", "bops", "weight_storage_bits"]
POINTS = [
    ("float", "float", None, NAN, NAN, 0, NAN, NAN),
    ("uniform-w2a2", "uniform", 2, 0.914, 0.020, 3, 4.0e5, 7200),
    ("uniform-w4a4", "uniform", 4, 0.975, 0.003, 3, 16.0e5, 14400),
    ("pot-w4a4", "pot", 4, 0.960, NAN, 1, 16.0e5, 14400),
    ("post-w4a4", "post", 4, 0.961, 0.007, 3, 16.0e5, 14800),
    ("codebook-w4a4", "codebook", 4, 0.950, 0.004, 3, 16.0e5, 14400),
    ("post-w3a3", "post", 3, NAN, NAN, 0, 9.0e5, 10800),
]


def design_points(model: str = "resnet") -> pd.DataFrame:
    rows = pd.DataFrame(POINTS, columns=COLUMNS).astype({"bits": "Int64"})
    integer = {f"accuracy_integer_{name}": rows[name] for name in ("mean", "sd", "n")}
    floats = {"accuracy_float_mean": 0.978, "accuracy_float_sd": 0.004}
    networks: dict[str, Any] = {"energy_pj": rows["bops"] / 4, "area_um2": 100 + 10 * rows["bits"], "cycles": 900.0}
    return rows.assign(data="digits", model=model, act_bits=rows["bits"], **integer, **floats, **networks)


def drawn_points(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each family, sorted."""
    points: dict[str, list[tuple[float, float]]] = {}
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        xy = np.asarray(container.lines[0].get_xydata())
        points.setdefault(str(container.get_label()), []).extend((float(x), float(y)) for x, y in xy)
    return {label: sorted(pairs) for label, pairs in points.items()}


def line(axes: Axes, label: str) -> np.ndarray:
    return next(np.asarray(drawn.get_xydata()) for drawn in axes.get_lines() if drawn.get_label() == label)


@pytest.mark.parametrize(
    ("cost", "gain", "front"),
    [
        ([1, 2, 3], [1, 2, 3], [True, True, True]),
        ([1, 2, 3], [3, 2, 1], [True, False, False]),
        ([1, 1, 2], [5, 4, 5], [True, False, False]),
        ([1, 1, 2], [5, 5, 6], [True, True, True]),
        ([2, 1, 3, 4], [4, 1, 4, 5], [True, True, False, True]),
        ([1, NAN, 0.5], [1, 9, NAN], [True, False, False]),
        ([], [], []),
    ],
    ids=["rising", "falling", "equal cost", "equal points", "equal gain", "missing", "none"],
)
def test_pareto_front(cost: list[float], gain: list[float], front: list[bool]) -> None:
    assert pareto_front(cost, gain).tolist() == front


def test_pareto_front_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match=r"equal length, got shapes \(2,\) and \(1,\)"):
        pareto_front([1, 2], [1])


@pytest.mark.parametrize(("axis", "column"), accuracy_cost.COLUMNS.items())
def test_accuracy_cost_draws_every_measured_design_where_it_is(axis: str, column: str) -> None:
    points = design_points()
    drawn = drawn_points(accuracy_cost.draw(points, axis).axes[0])
    labels = {"uniform": "uniform", "pot": "POT", "post": "POST", "codebook": "codebook"}
    assert set(drawn) == set(labels.values())
    for family, label in labels.items():
        rows = points[(points["weights"] == family) & points["mean"].notna()]
        assert drawn[label] == sorted(zip(rows[column], 100 * rows["mean"], strict=True))


@pytest.mark.parametrize(
    ("axis", "label"),
    [
        ("bops", "bit operations per image\n(MACs x weight bits x activation bits"),
        ("storage", "weight storage [bit]\n(weight codes, without scales and biases"),
        ("energy", "energy per image [J]\n(arithmetic, buffers and DRAM; "),
        ("area", "area of the processing element [µm²]\n(multiplier of most products, accumulator for 4608"),
        ("cycles", "cycles per image\n(longer of computation and transfers; "),
    ],
)
def test_every_axis_is_labelled_with_its_unit_and_nothing_overlaps(axis: str, label: str) -> None:
    drawing = accuracy_cost.draw(design_points(), axis)
    assert drawing.axes[0].get_xlabel().startswith(label)
    assert cut_or_overlapping(drawing) == []


def test_picojoules_are_shown_in_joules() -> None:
    drawing = accuracy_cost.draw(design_points(), "energy")
    drawing.draw_without_rendering()
    labels = {tick.get_loc(): tick.label1.get_text() for tick in drawing.axes[0].xaxis.get_major_ticks()}
    assert labels[2.0e5] == "200n"


def test_designs_of_one_cost_are_in_the_middle_of_the_axis() -> None:
    axes = accuracy_cost.draw(design_points(), "cycles").axes[0]
    low, high = axes.get_xlim()
    assert low * high == pytest.approx(900**2)
    assert low < 900 / 1.4


def test_hardware_costs_are_those_of_the_networks_beside_the_records(tiny_study: Path) -> None:
    path = next(tiny_study.glob("*post*/network.safetensors"))
    machine = accelerator(Workload.from_network(load_network(path)))
    rows = accuracy_cost.data_with_networks(load_study(tiny_study)).set_index("design")
    element = find_gates(multiplier_for(make_format("post", 3), Uniform(3, signed=False)), "pe")
    expected = {
        "energy_pj": machine.value("energy"),
        "area_um2": element.measures["area"],
        "cycles": machine.value("total_cycles"),
    }
    for column, value in expected.items():
        assert rows[column]["post-w3a3"] == value
        assert np.isnan(rows[column]["float"])


@pytest.mark.parametrize("name", HARDWARE_FIGURES)
def test_figures_of_hardware_are_drawn_of_a_study(tiny_study: Path, name: str) -> None:
    drawing, numbers = draw_figure(HARDWARE_FIGURES[name], load_study(tiny_study))
    column = accuracy_cost.COLUMNS[name.removeprefix("accuracy-")]
    [point] = drawn_points(drawing.axes[0])["POST"]
    row = numbers.set_index("design").loc["post-w3a3"]
    assert point == (row[column], 100 * row["accuracy_integer_mean"])


def steps_aside(points: pd.DataFrame) -> dict[str, float]:
    """Return how far each family's last point is drawn from its cost, in points of print."""
    drawing = accuracy_cost.draw(points)
    drawing.draw_without_rendering()
    axes = drawing.axes[0]
    places: dict[str, float] = {}
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        (x, y), *_ = reversed(np.asarray(container.lines[0].get_xydata()))
        at = container.lines[0].get_transform().transform((x, y)) - axes.transData.transform((x, y))
        places[str(container.get_label())] = round(at[0] / drawing.dpi * 72, 6)
    return places


def test_designs_of_one_cost_stand_side_by_side_and_the_best_in_its_place() -> None:
    assert steps_aside(design_points()) == {"uniform": 0, "POT": -4.5, "POST": 4.5, "codebook": -9}


def test_of_nearly_equal_costs_the_dearer_stands_further_right_and_the_front_in_its_place() -> None:
    points = design_points()
    largest = points["bops"].max()
    factor = points["weights"].map({"uniform": 1.0, "pot": 1.02, "post": 0.99, "codebook": 1.01})
    points["bops"] = points["bops"].where(points["bops"] < largest, largest * factor)
    assert steps_aside(points) == {"uniform": 0, "POT": 9, "POST": 0, "codebook": 4.5}


def test_the_axis_says_that_designs_were_moved_if_any_was() -> None:
    moved, alone = design_points(), design_points().iloc[[1, 2]]
    labels = [" ".join(accuracy_cost.draw(points).axes[0].get_xlabel().split()) for points in (moved, alone)]
    counted = "bit operations per image (MACs x weight bits x activation bits"
    assert labels == [f"{counted}; designs of nearly equal cost stand side by side)", f"{counted})"]


def test_error_bars_are_one_standard_deviation() -> None:
    axes = accuracy_cost.draw(design_points()).axes[0]
    uniform = next(c for c in axes.containers if c.get_label() == "uniform")
    assert isinstance(uniform, ErrorbarContainer)
    bars = uniform.lines[2][0].get_segments()
    assert [(bar[0][1], bar[1][1]) for bar in bars] == [
        (100 * 0.914 - 100 * 0.020, 100 * 0.914 + 100 * 0.020),
        (100 * 0.975 - 100 * 0.003, 100 * 0.975 + 100 * 0.003),
    ]


def test_the_front_is_drawn_through_the_undominated_designs() -> None:
    axes = accuracy_cost.draw(design_points()).axes[0]
    np.testing.assert_array_equal(line(axes, "Pareto front"), [[4.0e5, 91.4], [16.0e5, 97.5]])


def test_the_float_baseline_is_a_line_at_its_mean() -> None:
    axes = accuracy_cost.draw(design_points()).axes[0]
    assert line(axes, "float")[:, 1].tolist() == [97.8, 97.8]


def test_bit_widths_are_named_above_their_cost_and_the_number_of_seeds_is_told() -> None:
    axes = accuracy_cost.draw(design_points()).axes[0]
    top = axes.child_axes[0]
    assert dict(zip(top.get_xticks(), (t.get_text() for t in top.get_xticklabels()), strict=True)) == {
        4.0e5: "2/2",
        16.0e5: "4/4",
    }
    assert axes.get_ylabel() == "integer accuracy [%]\n(mean and s.d., 1 to 3 seeds)"


def test_widths_of_nearly_equal_cost_share_a_label() -> None:
    points = design_points().iloc[[1, 2, 4]].assign(act_bits=pd.array([2, 4, 8], "Int64"))
    top = accuracy_cost.draw(points, "storage").axes[0].child_axes[0]
    assert [t.get_text() for t in top.get_xticklabels()] == ["2/2", "4/4\n4/8"]


def test_every_model_gets_its_own_panel() -> None:
    points = pd.concat([design_points("a"), design_points("b")], ignore_index=True)
    assert [axes.get_title() for axes in accuracy_cost.draw(points).axes] == ["digits, a", "digits, b"]


def test_nothing_measured_is_said() -> None:
    with pytest.raises(ValueError, match=r"no design has both an integer accuracy and bops$"):
        accuracy_cost.draw(design_points().iloc[:1])
    with pytest.raises(ValueError, match="and energy_pj; it is computed of the network beside a record"):
        accuracy_cost.draw(design_points().assign(energy_pj=NAN), "energy")


def test_an_unknown_cost_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown cost axis 'bop'; did you mean 'bops'"):
        accuracy_cost.draw(design_points(), "bop")


@pytest.mark.parametrize("bits", [3, 4])
def test_levels_are_those_of_the_formats(bits: int) -> None:
    rows = levels.data(bits)
    for family, scale in {"uniform": 2 ** (bits - 1), "pot": 1, "post": 1}.items():
        chosen = make_format(family, bits)
        drawn = rows[rows["format"] == family]
        np.testing.assert_array_equal(drawn["level"] * scale, chosen.levels[chosen.codes])
        np.testing.assert_array_equal(drawn["code"], chosen.codes)


def test_levels_are_drawn_whole_and_near_zero() -> None:
    rows = levels.data()
    whole, near = levels.draw(rows).axes
    for axes, limit in ((whole, 1.0), (near, levels.NEAR_ZERO)):
        strokes = [drawn for drawn in axes.get_lines() if drawn.get_marker() == "|"]
        for drawn, family in zip(strokes, ("uniform", "pot", "post"), strict=True):
            expected = rows[(rows["format"] == family) & (rows["level"].abs() <= limit)]
            np.testing.assert_array_equal(drawn.get_xdata(), expected["level"])
    assert [label.get_text() for label in whole.get_yticklabels()] == ["uniform", "POT", "POST"]


def test_table_error_at_one_point_by_hand() -> None:
    """At k = 0, a = 1 the table holds round(sqrt2) = 1: the largest error is 1 - 1/sqrt2."""
    row = table_error.data((3,), (0,)).set_index("layout").loc["full"]
    assert row["max_error"] == pytest.approx(1 - 2**-0.5, rel=1e-12)
    odd = [abs(round(a * 2**0.5) / (a * 2**0.5) - 1) for a in range(1, 8)]
    assert row["mean_error"] == pytest.approx(sum(odd) / 7 / 3, rel=1e-12)  # one of three magnitudes is odd


@pytest.mark.parametrize("layout", ["full", "shared"])
@pytest.mark.parametrize("fraction_bits", [0, 6, 12])
def test_table_error_is_within_the_circuits_own_bound(layout: str, fraction_bits: int) -> None:
    weight = make_format("post", 4)
    circuit = multiplier_for(weight, Uniform(4, signed=False), fraction_bits, layout)
    smallest_read = weight.levels[weight.levels > 0].min() * 2**0.5  # of all exact products that a table rounds
    worst = table_error.data((4,), (fraction_bits,)).set_index("layout")["max_error"][layout]
    assert 0 < worst <= circuit.max_error * circuit.unit / smallest_read * (1 + 1e-9)


def test_table_error_draws_its_data() -> None:
    rows = table_error.data()
    drawing = table_error.draw(rows)
    assert [axes.get_title() for axes in drawing.axes] == ["3-bit codes", "4-bit codes"]
    chosen = rows[(rows["bits"] == 4) & (rows["layout"] == "shared")]
    expected = np.column_stack([chosen["fraction_bits"], 100 * chosen["mean_error"]])
    np.testing.assert_array_equal(line(drawing.axes[1], "shared table, mean"), expected)


DRAWINGS = {"levels": lambda: levels.draw(levels.data()), "cost": lambda: accuracy_cost.draw(design_points())}


@pytest.mark.parametrize("ending", [".png", ".pdf"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_equal_figures_give_equal_files_without_dates(tmp_path: Path, name: str, ending: str) -> None:
    first, again = (style.save(DRAWINGS[name](), tmp_path / f"{i}{ending}").read_bytes() for i in range(2))
    assert first == again
    assert b"CreationDate" not in first
    assert b"atplotlib" not in first


def test_another_ending_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a figure is saved as \.png, \.pdf, \.svg, got 'a\.gif'"):
        style.save(style.figure(), tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_families_have_looks_that_differ_in_colour_and_shape() -> None:
    families = [*style.LOOKS, "apot", "codebook"]
    looks = [style.look(family, families) for family in families]
    assert len({to_hex(look.color) for look in looks}) == len({look.marker for look in looks}) == len(families)

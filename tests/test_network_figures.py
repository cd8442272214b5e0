"""The figures of trained networks: statistics of known numbers, and what is drawn and refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import error, run
from figure_checks import cut_or_overlapping
from finished_runs import write_run

from reports.figures import NETWORK_FIGURES, block_errors, distributions, layer_errors
from reports.measured import run_labels, spread
from trainers.data import Data, load_dataset
from trainers.measurements import MEASUREMENTS

NAN = float("nan")
ERRORS = np.array([[0.0, 4.0, 1.0, 3.0, 2.0], [8.0, NAN, 2.0, NAN, 2.0]])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of two runs, one with ASQ."""
    parent = tmp_path_factory.mktemp("runs")
    return [write_run(parent, weights="uniform"), write_run(parent, weights="post", activations="asq", bits=3)]


def test_spreads_are_over_the_images_that_have_an_error() -> None:
    rows = spread(ERRORS, ["a", "b"], "layer")
    assert list(rows.columns) == ["layer", "images", "mean", "p5", "p25", "median", "p75", "p95"]
    assert rows["layer"].tolist() == ["a", "b"]
    numbers = rows.drop(columns="layer").to_numpy()
    assert numbers[0].tolist() == pytest.approx([5, 2, 0.2, 1, 2, 3, 3.8])
    assert numbers[1].tolist() == pytest.approx([3, 4, 2, 2, 2, 5, 7.4])


def test_block_errors_are_drawn_as_median_and_quartiles() -> None:
    blocks = np.array(["a", "b"])
    rows = block_errors.data({"x": {"blocks": blocks, "own": ERRORS, "accumulated": 2 * ERRORS}})
    assert rows[["error", "block", "median"]].to_numpy().tolist() == [
        ["own", "a", 2], ["own", "b", 2], ["accumulated", "a", 4], ["accumulated", "b", 4],
    ]  # fmt: skip
    own, accumulated = block_errors.draw(rows).axes
    assert np.asarray(own.get_lines()[0].get_xydata()).tolist() == [[0, 200], [1, 200]]
    assert np.asarray(accumulated.get_lines()[0].get_xydata()).tolist() == [[0, 400], [1, 400]]
    band = np.asarray(accumulated.collections[0].get_paths()[0].vertices)
    ends = [band[band[:, 0] == place, 1] for place in (0, 1)]
    assert [(end.min(), end.max()) for end in ends] == [(200, 600), (400, 1000)]
    assert [label.get_text() for label in accumulated.get_xticklabels()] == ["a", "b"]


def test_layer_errors_are_drawn_at_their_layers_side_by_side() -> None:
    layers = np.array(["a", "b"])
    rows = layer_errors.data({name: {"layers": layers, "errors": k * ERRORS} for k, name in ((1, "x"), (10, "y"))})
    drawing = layer_errors.draw(rows)
    axes = drawing.axes[0]
    points = [np.asarray(line.get_xydata()) for line in axes.get_lines()]
    assert [p[:, 1].tolist() for p in points] == [[200, 200], [2000, 2000]]
    assert [p[:, 0].tolist() for p in points] == [pytest.approx([-0.175, 0.825]), pytest.approx([0.175, 1.175])]
    thin, thick = (np.asarray(axes.collections[i].get_segments())[:, :, 1].tolist() for i in (0, 1))  # type: ignore[attr-defined]
    assert thin[0] == pytest.approx([20, 380])
    assert thick == [[100, 300], [200, 500]]
    assert "5 to 95 % of 3 to 5 images" in drawing.legends[0].get_title().get_text()


def known_values() -> dict[str, np.ndarray]:
    values = {"weights": [-0.5, 0.1, 0.2, 0.9], "weights_quantized": [-0.5, 0.0, 0.0, 1.0]}
    values |= {"activations": [0.0, 1.0, 2.0, 8.1], "activations_quantized": [0.0, 0.0, 2.8, 8.4]}
    return {"layer": np.array("conv"), **{name: np.array(x, np.float32) for name, x in values.items()}}


def test_histograms_count_shares_of_values_in_common_bins() -> None:
    rows = distributions.data({"x": {**known_values(), "factors": np.array([0.5, 1.0, 1.0, 2.0], np.float32)}})
    assert set(rows["layer"]) == {"conv"}
    assert rows.groupby(["tensor", "series"])["share"].sum().to_dict() == pytest.approx(
        dict.fromkeys(
            [("activations", "float"), ("activations", "quantized"), ("factors", "float"), ("weights", "float"),
             ("weights", "quantized")], 1)
    )  # fmt: skip
    after = rows[(rows["tensor"] == "weights") & (rows["series"] == "quantized")]
    assert (len(after), after["low"].min(), after["high"].max()) == (distributions.BINS, -1, 1)
    assert after[after["share"] > 0]["share"].tolist() == [0.25, 0.5, 0.25]
    zero = after[after["share"] == 0.5].iloc[0]
    assert zero["low"] == pytest.approx(-zero["high"])
    before = rows[(rows["tensor"] == "activations") & (rows["series"] == "float")]
    filled = before[before["share"] > 0]
    assert filled["share"].tolist() == [0.25] * 4
    assert ((filled["low"] <= known_values()["activations"]) & (filled["high"] >= known_values()["activations"])).all()
    assert before["high"].max() == pytest.approx(8.4)


def test_values_that_are_all_equal_have_a_histogram() -> None:
    dead = {**known_values(), "activations": np.zeros(3), "activations_quantized": np.zeros(3)}
    rows = distributions.data({"x": dead})
    assert rows[rows["tensor"] == "activations"].groupby("series")["share"].max().tolist() == [1, 1]
    assert cut_or_overlapping(distributions.draw(rows)) == []


def test_distributions_are_drawn_in_percent_in_a_row_per_run() -> None:
    factors = np.array([0.5, 1.0, 1.0, 2.0], np.float32)
    drawing = distributions.draw(distributions.data({"x": known_values(), "y": {**known_values(), "factors": factors}}))
    assert len(drawing.axes) == 6
    assert drawing.axes[2].texts[0].get_text() == "one step for all images"
    before, after = (patch.get_data() for patch in drawing.axes[3].patches)  # type: ignore[attr-defined]
    assert (max(before.values), max(after.values)) == (25, 50)
    assert max(drawing.axes[5].patches[0].get_data().values) == 50  # type: ignore[attr-defined]
    assert drawing.axes[0].get_title() == "weights of conv"


@pytest.mark.parametrize("name", NETWORK_FIGURES)
def test_figures_are_drawn_whole_from_the_command_line(runs: list[Path], tmp_path: Path, name: str) -> None:
    out, data = tmp_path / "a.png", tmp_path / "a.csv"
    result = run("figure", name, *runs, "--images", 20, "--out", out, "--data", data)
    assert result.exit_code == 0, result.stderr
    numbers = pd.read_csv(data)
    assert list(numbers["run"].unique()) == ["uniform-w4a4", "post-asq-w3a3"]
    assert cut_or_overlapping(NETWORK_FIGURES[name].draw(numbers)) == []


def test_options_reach_the_measurement(runs: list[Path], tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    out = ("--out", tmp_path / "a.pdf", "--data", data, "--images", 3)
    assert run("figure", "distributions", runs[0], "--layer", "layer1.0.conv1", *out).exit_code == 0
    assert set(pd.read_csv(data)["layer"]) == {"layer1.0.conv1"}
    assert run("figure", "block-errors", runs[0], "--blocks", "layer1,layer3", *out).exit_code == 0
    numbers = pd.read_csv(data)
    assert list(numbers["block"].unique()) == ["conv1", "layer1", "layer3"]
    assert set(numbers["images"]) == {3}


def test_every_figure_has_its_measurement() -> None:
    assert list(NETWORK_FIGURES) == list(MEASUREMENTS)


def test_data_may_lie_elsewhere_than_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = write_run(tmp_path, weights="pot", data_dir="then"), []

    def opened(name: str, data_dir: str | None, skip_broken: bool) -> Data:
        asked.append((name, data_dir, skip_broken))
        return load_dataset(name)

    monkeypatch.setattr("trainers.finished_run.open_data", opened)
    for options in ((), ("--data-dir", "now")):
        assert (
            run("figure", "layer-errors", folder, *options, "--images", 2, "--out", tmp_path / "a.pdf").exit_code == 0
        )
    assert asked == [("digits", "then", False), ("digits", "now", False)]


@pytest.mark.parametrize("name", ["distributions", "block-errors", "layer-errors"])
def test_runs_of_different_networks_are_refused(name: str) -> None:
    names = {"distributions": "layer", "block-errors": "blocks", "layer-errors": "layers"}[name]
    arrays = {**known_values(), "own": ERRORS, "accumulated": ERRORS, "errors": ERRORS}
    measured = {run: {**arrays, names: np.array([run, "b"])} for run in ("x", "y")}
    with pytest.raises(ValueError, match=f"^{names} must be the same for all runs, x has x, b and y has y, b$"):
        NETWORK_FIGURES[name].data(measured)


def test_seeds_of_one_design_are_told_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, weights="pot", bits=bits, seed=seed) for bits, seed in ((4, 0), (4, 1), (3, 0))]
    assert list(run_labels(folders)) == ["pot-w4a4, seed 0", "pot-w4a4, seed 1", "pot-w3a3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["distributions", "RUN", "--layer", "conv9"], "RUN: unknown layer 'conv9'; did you mean 'conv1'?"),
        (["layer-errors", "RUN", "--layer", "conv1"], "the figure layer-errors does not take --layer"),
        (["layer-errors", "RUN", "--bits", "4"], "the figure layer-errors does not take --bits"),
        (["storage", "resnet18", "--images", "4"], "the figure storage does not take --images"),
        (["accuracy-bops", "RUN", "--data-dir", "a"], "the figure accuracy-bops does not take --data-dir"),
        (["block-errors", "RUN", "--blocks", "layer1"], "RUN: a network is cut into at least two stages, got layer1"),
        (["block-errors", "RUN", "--images", "452"], "images must be an integer in 1..451"),
        (["block-errors", "RUN", "RUN"], "two runs of the figure are called uniform-w4a4, seed 0: RUN and RUN"),
        (["block-errors", "PARENT"], "no finished run in PARENT: it has no record.json"),
        (["block-error", "RUN"], "unknown figure 'block-error'; did you mean 'block-errors'?"),
    ],
)
def test_bad_input_is_refused(runs: list[Path], tmp_path: Path, arguments: list[str], message: str) -> None:
    places = {"RUN": str(runs[0]), "PARENT": str(runs[0].parent)}
    given = [places.get(argument, argument) for argument in arguments]
    for word, place in places.items():
        message = message.replace(word, place)
    assert error("figure", *given, "--out", tmp_path / "a.png").startswith(message)
    assert list(tmp_path.iterdir()) == []

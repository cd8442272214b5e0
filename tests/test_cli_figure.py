"""`hwsim figure`: files of every kind, the numbers beside them, and what it refuses."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from hwsim.cli import app
from hwsim.cli.figure import figure
from hwsim.workloads import Precision, literature, quantized
from reports.figures import (
    COST_FIGURES,
    FIGURES,
    NETWORK_FIGURES,
    SIMULATION_FIGURES,
    TRAINING_FIGURES,
    conventions,
    overhead,
    roofline,
)

LABELS = ("layer", "part", "quantity", "unit", "convention", "source")


def refusal(*arguments: str) -> str:
    """Return the message of a command that is refused."""
    result = CliRunner().invoke(app, ["figure", *arguments])
    assert result.exit_code == 2, result.output
    return result.output.removeprefix("hwsim: error: ").rstrip("\n")


def draw(*arguments: str) -> None:
    result = CliRunner().invoke(app, ["figure", *arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Return the folder of a study with one run."""
    config = {"data": "digits", "model": "net", "weights": "pot", "bits": 4, "act_bits": 4}
    cost = dict.fromkeys(LABELS, "x") | {"quantity": "bops", "value": 1000.0}
    accuracy = {"float": 0.98, "qat": 0.97, "integer": 0.96}
    record = {"schema": 1, "run_id": "digits-net-pot-w4a4-s0", "study": "one", "config": config, "seed": 0}
    folder = tmp_path / "runs" / "digits-net-pot-w4a4-s0"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps({**record, "accuracy": accuracy, "cost": [cost]}))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")], ids=["png", "pdf", "svg"]
)
def test_equal_commands_give_equal_files(tmp_path: Path, ending: str, start: bytes) -> None:
    files = [tmp_path / f"{i}.{ending}" for i in range(2)]
    for file in files:
        draw("overhead", "resnet18", "--out", str(file))
    first, again = (file.read_bytes() for file in files)
    assert first.startswith(start)
    assert first == again


def test_the_numbers_are_written_exactly(tmp_path: Path) -> None:
    out, data = tmp_path / "new" / "a.svg", tmp_path / "a.csv"
    draw("overhead", "resnet18", "mobilenetv2", "--bits", "4,2", "--out", str(out), "--data", str(data))
    expected = overhead.data({name: literature(name) for name in ("resnet18", "mobilenetv2")}, (4, 2))
    pd.testing.assert_frame_equal(pd.read_csv(data), expected, check_exact=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv", "a.svg", "new"]


def test_precision_and_hardware_reach_the_figure(tmp_path: Path) -> None:
    from hwsim.cost import Design

    data = tmp_path / "a.csv"
    precision = ["--weights", "post", "--bits", "4,3", "--act-bits", "8", "--first-last", "same"]
    hardware = ["--array", "8x16,16x8", "--style", "bitfusion"]
    draw("roofline", "resnet18", *precision, *hardware, "--out", str(tmp_path / "a.svg"), "--data", str(data))
    workloads = {f"post-w{b}a8": quantized(literature("resnet18"), Precision("post", b, 8), None) for b in (4, 3)}
    arrays = [Design(8, 16, "os", "bitfusion"), Design(16, 8, "os", "bitfusion")]
    pd.testing.assert_frame_equal(
        pd.read_csv(data), roofline.data(workloads, arrays), check_dtype=False, check_exact=True
    )


def test_conventions_take_the_usual_widths_where_none_are_given(tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    draw("conventions", "resnet18", "--out", str(tmp_path / "a.svg"), "--data", str(data))
    expected = conventions.data(
        {f"uniform-w{b}a{b}": quantized(literature("resnet18"), Precision("uniform", b)) for b in (8, 4, 3, 2)}
    )
    pd.testing.assert_frame_equal(pd.read_csv(data), expected, check_exact=True)


def test_designs_of_several_networks_are_named_after_both(tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    draw("storage", "resnet20_a", "resnet20_b", "--bits", "4", "--out", str(tmp_path / "a.svg"), "--data", str(data))
    assert list(pd.read_csv(data)["design"].unique()) == ["resnet20_a uniform-w4a4", "resnet20_b uniform-w4a4"]


def test_figures_of_a_study_are_drawn_from_its_folder(tmp_path: Path, run_folder: Path) -> None:
    data = tmp_path / "a.csv"
    draw("accuracy-bops", str(run_folder), "--out", str(tmp_path / "a.svg"), "--data", str(data))
    assert pd.read_csv(data)["bops"].tolist() == [1000.0]


@pytest.mark.parametrize("name", [name for name, kind in FIGURES.items() if kind.alone])
def test_figures_of_no_study_are_drawn_without_one(tmp_path: Path, run_folder: Path, name: str) -> None:
    files = [tmp_path / f"{i}.csv" for i in range(2)]
    for file, sources in zip(files, ([], [str(run_folder)]), strict=True):
        draw(name, *sources, "--out", str(tmp_path / "a.svg"), "--data", str(file))
    alone, beside_a_study = (file.read_text() for file in files)
    assert alone == beside_a_study


def test_the_help_names_every_figure() -> None:
    assert figure.__doc__ is not None
    for name in (*COST_FIGURES, *FIGURES, *TRAINING_FIGURES, *NETWORK_FIGURES, *SIMULATION_FIGURES):
        assert name in figure.__doc__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rooflines", "resnet18"], "unknown figure 'rooflines'; did you mean 'roofline'?"),
        (["storage", "resnet81"], "unknown network 'resnet81'; did you mean 'resnet18'?"),
        (["storage", "resnet18", "--bits", "3,x"], "--bits takes integers, got 'x'"),
        (["storage", "resnet18", "--bits", "17"], "bits must be in 1..16, got 17"),
        (["storage", "resnet18", "--array", "8x8"], "the figure storage does not take --array"),
        (["overhead", "resnet18", "--act-bits", "8"], "the figure overhead does not take --act-bits"),
        (["overhead", "resnet18", "--first-last", "same"], "the figure overhead does not take --first-last"),
        (["roofline", "resnet18", "--array", "0x8"], "rows of an array must be an integer of at least 1, got 0"),
        (["roofline", "resnet18", "--dataflow", "oss"], "unknown dataflow 'oss'; did you mean 'os'?"),
        (["layer-costs", "resnet18", "--quantity", "energi"], "unknown quantity 'energi'; did you mean 'energy'?"),
        (["storage", "resnet18", "resnet18"], "two designs of the figure are called resnet18"),
        (["accuracy-bops", "a", "b"], "the figure accuracy-bops takes one folder of runs, got 2"),
        (["accuracy-bops"], "the figure accuracy-bops takes one folder of runs, got 0"),
        (["storage"], "the figure storage takes networks or folders of runs, got none"),
        (["layer-errors"], "the figure layer-errors takes networks or folders of runs, got none"),
        (["level"], "unknown figure 'level'; did you mean 'levels'?"),
        (["accuracy-bops", "a", "--bits", "4"], "the figure accuracy-bops does not take --bits"),
        (["accuracy-bops", "no-such-folder"], "no folder no-such-folder"),
        (["storage", "resnet18", "--data", "a.txt"], "the numbers of a figure are saved as .csv, got 'a.txt'"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_left(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refusal(*arguments, "--out", str(tmp_path / "new" / "a.png"))
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_refused(tmp_path: Path) -> None:
    message = refusal("storage", "resnet18", "--out", str(tmp_path / "a.gif"))
    assert message == "a figure is saved as .png, .pdf, .svg, got 'a.gif'"
    assert list(tmp_path.iterdir()) == []

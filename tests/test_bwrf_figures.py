"""The figures of trainings with BWRF: their data are the records' curves, and what is drawn are their data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import error, run
from figure_checks import cut_or_overlapping

from reports.figures import TRAINING_FIGURES, bwrf_accuracy, feature_similarity
from reports.records import load_study

EPOCHS = 3


def epoch_row(epoch: int, seed: int, wrapped: bool) -> dict[str, float]:
    row = {"epoch": epoch, "loss": 1.0, "test_accuracy": 0.5 + 0.1 * epoch + 0.02 * seed}
    mixed = {"mixed_accuracy/layer1": 0.7 + 0.1 * epoch, "mixed_accuracy/layer2": 0.6 + 0.1 * epoch}
    alike = {f"similarity/layer{i}": 1 - 0.1 * i / epoch for i in (1, 2, 3)}
    return {**row, **mixed, **alike} if wrapped else row


def write_run(folder: Path, design: str, seed: int) -> None:
    run_id = f"digits-net-{design}-s{seed}"
    wrapped = design.endswith("bwrf")
    record = {
        "schema": 1,
        "run_id": run_id,
        "study": "one",
        "config": {"data": "digits", "model": "net", "weights": "pot", "bits": 4, "act_bits": 4},
        "seed": seed,
        "accuracy": {"float": 0.98 + 0.01 * seed, "qat": 0.8},
        "curves": [epoch_row(epoch, seed, wrapped) for epoch in range(1, EPOCHS + 1)],
    }
    (folder / run_id).mkdir(parents=True)
    (folder / run_id / "record.json").write_text(json.dumps(record))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two seeds of a design with BWRF, and of one run without."""
    for design, seed in (("pot-w4a4-bwrf", 0), ("pot-w4a4-bwrf", 1), ("pot-w4a4", 0)):
        write_run(tmp_path / "runs", design, seed)
    return tmp_path / "runs"


def test_accuracies_are_those_of_the_curves(folder: Path) -> None:
    rows = bwrf_accuracy.data(load_study(folder)).set_index(["network", "seed", "epoch"])["accuracy"]
    assert len(rows) == 4 * 2 * EPOCHS
    assert rows["all low precision", 1, 3] == 0.5 + 0.1 * 3 + 0.02
    assert rows["low precision up to layer1", 0, 2] == 0.7 + 0.1 * 2
    assert rows["low precision up to layer2", 1, 1] == 0.6 + 0.1
    assert [rows["all float", seed, 1] for seed in (0, 1)] == [0.98, 0.99]


def test_similarities_are_those_of_the_curves(folder: Path) -> None:
    rows = feature_similarity.data(load_study(folder)).set_index(["stage", "seed", "epoch"])["similarity"]
    assert len(rows) == 3 * 2 * EPOCHS
    assert rows["layer3", 1, 2] == 1 - 0.3 / 2


def test_lines_are_means_over_seeds_with_their_spread(folder: Path) -> None:
    axes = bwrf_accuracy.draw(bwrf_accuracy.data(load_study(folder))).axes[0]
    low = next(line for line in axes.get_lines() if line.get_label() == "all low precision")
    np.testing.assert_allclose(np.asarray(low.get_xydata()), [[1, 61], [2, 71], [3, 81]])
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)
    deviation = 2 / np.sqrt(2)
    assert band[:, 1].min() == pytest.approx(61 - deviation)
    assert band[:, 1].max() == pytest.approx(81 + deviation)
    assert "mean and s.d. of 2 seeds" in axes.get_ylabel()


@pytest.mark.parametrize("name", ["bwrf-accuracy", "feature-similarity"])
@pytest.mark.parametrize("runs", ["", "digits-net-pot-w4a4-bwrf-s0"], ids=["seeds", "run"])
def test_figures_are_drawn_whole_from_the_command_line(folder: Path, tmp_path: Path, name: str, runs: str) -> None:
    out, data = tmp_path / "a.png", tmp_path / "a.csv"
    result = run("figure", name, folder / runs, "--out", out, "--data", data)
    assert result.exit_code == 0, result.stderr
    kind = TRAINING_FIGURES[name]
    numbers = kind.data(load_study(folder / runs))
    pd.testing.assert_frame_equal(pd.read_csv(data), numbers, check_exact=True, check_dtype=False)
    assert cut_or_overlapping(kind.draw(numbers)) == []


def test_runs_without_bwrf_and_several_designs_are_refused(folder: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "a.png")
    plain = error("figure", "bwrf-accuracy", folder / "digits-net-pot-w4a4-s0", *out)
    assert plain.endswith("was trained with BWRF: none has curves of mixed_accuracy/")
    write_run(folder, "pot-w3a4-bwrf", 0)
    both = error("figure", "feature-similarity", folder, *out)
    assert both == f"the figure shows the runs of one design, {folder} has pot-w3a4-bwrf, pot-w4a4-bwrf"
    assert not (tmp_path / "a.png").exists()

"""QIL's intervals over a training: recorded as they were learned, and drawn relative to their start."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import error, run
from figure_checks import cut_or_overlapping

from reports.figures import qil_intervals
from reports.records import load_study
from trainers.config import TrainConfig
from trainers.layers import quant_layers
from trainers.loop import train
from trainers.quantizers.qil import QilQuantizer
from trainers.record import finish

LAYERS = {"conv2": 1.0, "conv10": 4.0}  #: and where their weights' intervals start


def epoch_row(epoch: int, seed: int) -> dict[str, float]:
    """Centres fall by a tenth of the start per epoch, half-widths grow by a twentieth; the second seed's move more."""
    row = {"epoch": epoch, "loss": 1.0}
    for layer, start in LAYERS.items():
        for role, unit in (("weights", start), ("activations", 10 * start)):
            share = epoch * (1 + seed)
            values = {"center": unit * (1 - 0.1 * share), "radius": unit * (1 + 0.05 * share), "start": unit}
            row |= {f"learned/{layer}/{role}/{name}": value for name, value in values.items()}
    return row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(2):
        run_id = f"digits-net-qil-qil-w4a4-s{seed}"
        record = {
            "schema": 1,
            "run_id": run_id,
            "study": "one",
            "seed": seed,
            "accuracy": {"qat": 0.8},
            "config": {"data": "digits", "model": "net", "weights": "qil", "bits": 4, "act_bits": 4},
            "curves": [epoch_row(epoch, seed) for epoch in (1, 2, 3)],
        }
        (tmp_path / "runs" / run_id).mkdir(parents=True)
        (tmp_path / "runs" / run_id / "record.json").write_text(json.dumps(record, sort_keys=True))
    return tmp_path / "runs"


def test_intervals_are_those_of_the_curves_layers_in_order(folder: Path) -> None:
    rows = qil_intervals.data(load_study(folder))
    assert len(rows) == 2 * 3 * 2 * 2
    assert list(rows["layer"].unique()) == ["conv2", "conv10"]
    found = rows.set_index(["layer", "role", "seed", "epoch"])
    values = [found[name]["conv10", "activations", 1, 2] for name in ("center", "radius", "start")]
    assert values == [40 * (1 - 0.1 * 4), 40 * (1 + 0.05 * 4), 40]
    assert found["center"]["conv2", "weights", 0, 3] == 1 - 0.1 * 3


def test_lines_are_changes_since_the_start_with_their_spread(folder: Path) -> None:
    drawing = qil_intervals.draw(qil_intervals.data(load_study(folder)))
    centers, _, radii, _ = drawing.axes
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in centers.get_lines()}
    for layer in LAYERS:
        np.testing.assert_allclose(lines[layer], [[1, -15], [2, -30], [3, -45]], atol=1e-9)
    np.testing.assert_allclose(np.asarray(radii.get_lines()[0].get_xydata())[:, 1], [7.5, 15, 22.5])
    band = np.asarray(centers.collections[0].get_paths()[0].vertices)
    assert band[:, 1].min() == pytest.approx(-45 - 30 / np.sqrt(2))
    assert cut_or_overlapping(drawing) == []


def test_the_command_draws_it_and_refuses_other_runs(folder: Path, tmp_path: Path, tiny_study: Path) -> None:
    out, data = tmp_path / "a.pdf", tmp_path / "a.csv"
    assert run("figure", "qil-intervals", folder, "--out", out, "--data", data).exit_code == 0
    numbers = qil_intervals.data(load_study(folder))
    pd.testing.assert_frame_equal(pd.read_csv(data), numbers, check_exact=True)
    message = error("figure", "qil-intervals", tiny_study, "--out", tmp_path / "b.pdf")
    assert message.endswith("was trained with QIL: none has curves of learned/")


@pytest.mark.parametrize("curves", [[], [{"epoch": 1, "loss": 1.0}]])
@pytest.mark.parametrize("methods", [("qil", "lsq"), ("uniform", "qil")])
def test_runs_with_qil_that_recorded_no_intervals_are_told_from_runs_without(
    folder: Path, tmp_path: Path, curves: list[dict[str, float]], methods: tuple[str, str]
) -> None:
    for path in folder.rglob("record.json"):
        record = json.loads(path.read_text())
        record["config"] |= dict(zip(("weights", "activations"), methods, strict=True))
        path.write_text(json.dumps({**record, "curves": curves}))
    message = error("figure", "qil-intervals", folder, "--out", tmp_path / "a.pdf")
    assert message == f"the runs with QIL below {folder} recorded no QIL intervals; train again"


def test_a_training_records_the_intervals_of_every_epoch(tmp_path: Path) -> None:
    config = TrainConfig(study="test", epochs=2, batch_size=512, weights="qil", activations="qil", bits=3, init=None)
    trained = train(config, tmp_path / "run")
    curves = finish(trained)["curves"]
    for name, layer in quant_layers(trained.model).items():
        for quantizer in (layer.weight_quantizer, layer.activation_quantizer):
            if isinstance(quantizer, QilQuantizer):
                prefix = f"learned/{name}/{quantizer.role}"
                last = {value: curves[-1][f"{prefix}/{value}"] for value in ("center", "radius", "start")}
                assert last == {
                    "center": float(quantizer.center.detach()),
                    "radius": float(quantizer.radius.detach().abs()),
                    "start": float(quantizer.unit) / 2,
                }
                assert curves[0][f"{prefix}/center"] != last["center"] != last["start"]
    assert sum(name.startswith("learned/") for name in curves[0]) == 6 * 2 * 3
    plain = finish(train(replace(config, weights="uniform", activations="lsq", epochs=1), tmp_path / "plain"))
    assert not [name for name in plain["curves"][0] if name.startswith("learned/")]

"""Figures of integer networks on other hardware: what is simulated is what is drawn, of the runs that are named."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import error, run
from figure_checks import cut_or_overlapping
from matplotlib.container import ErrorbarContainer
from test_exchange import linear

from hwsim.accumulator import Accumulator
from hwsim.accumulators import accuracy_rows as accumulator_rows
from hwsim.cli.images import load_images
from hwsim.formats import Uniform
from hwsim.network import Network
from hwsim.network_file import load_network
from hwsim.table_precision import accuracy_rows as table_rows
from reports.figures import SIMULATION_FIGURES, accuracy_accumulator, accuracy_table
from reports.tested import TrainedNetwork, training_of

#: Sums of 56 and 4, then of 21 and 3: seven bits hold them; in six, 56 wraps to -8 and saturates at 31.
IMAGES, LABELS = np.array([[4.0, 4.0], [0.0, 3.0]]), np.array([0, 0])


def runs(design: str = "uniform-w4a4", seeds: int = 2) -> list[TrainedNetwork]:
    """Return networks of one layer; the second seed's labels are such that only its first image can be right."""
    network = linear([[7, 7], [0, 1]], Uniform(4), Accumulator(9))
    labels = [LABELS, np.array([0, 1])]
    return [TrainedNetwork(design, seed, network, IMAGES, labels[seed], f"{design} {seed}") for seed in range(seeds)]


def network_of(study: Path) -> Network:
    return load_network(next(study.glob("*post*/network.safetensors")))


def test_accuracies_of_accumulators_by_hand() -> None:
    rows = accuracy_accumulator.data(runs(), [6, 7])
    assert set(zip(rows["bits_seen"], rows["bits_worst_case"], strict=True)) == {(7, 9)}
    found = rows.set_index(["seed", "bits", "overflow"])
    expected = {("wrap", 6): (0.5, 0.0), ("saturate", 6): (1.0, 0.5), ("wrap", 7): (1.0, 0.5)}
    for (overflow, bits), accuracies in expected.items():
        assert tuple(found["accuracy"][seed, bits, overflow] for seed in (0, 1)) == accuracies
    assert found["overflows"][0, 6, "wrap"] == 1


def test_widths_are_those_that_any_seed_of_the_design_needs() -> None:
    """Sums up to 8 need 5 bits; up to 56, seven."""
    low = TrainedNetwork("uniform-w4a4", 2, linear([[1, 1]], Uniform(4), Accumulator(9)), IMAGES, LABELS, "low")
    rows = accuracy_accumulator.data([*runs(seeds=1), low])
    assert [sorted(rows.loc[rows["seed"] == seed, "bits"].unique()) for seed in (0, 2)] == [[*range(2, 8)]] * 2


def test_lines_of_accumulators_are_means_beside_the_widths_that_are_enough() -> None:
    drawing = accuracy_accumulator.draw(accuracy_accumulator.data(runs(), [6, 7]))
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in drawing.axes[0].get_lines()}
    np.testing.assert_allclose(lines["wraps"], [[6, 25], [7, 75]])
    np.testing.assert_allclose(lines["saturates"], [[6, 75], [7, 75]])
    assert lines["widest that these images need"][:, 0].tolist() == [7, 7]
    assert lines["always enough"][:, 0].tolist() == [9, 9]
    assert drawing.axes[0].get_title("left") == "uniform-w4a4, mean and s.d. of 2 seeds"


def table_numbers(changes: Sequence[float]) -> pd.DataFrame:
    """Return rows of two seeds whose accuracies at k = 0 and 1 differ by these changes from that at k = 2."""
    rows = [
        {"design": "post-w4a4", "exports": "post-w4a4", "seed": seed, "layout": layout, "fraction_bits": k,
         "accuracy": 0.9 + seed / 50 + d, "change": d}
        for seed in (0, 1)
        for layout in ("shared", "full")
        for k, d in enumerate([*changes, 0.0])
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_seed_is_compared_with_itself() -> None:
    left, right = accuracy_table.draw(table_numbers([-0.2, 0.05])).axes
    for axes, expected, deviation in ((left, [71, 96, 91], 100 / 50 / np.sqrt(2)), (right, [-20, 5, 0], 0)):
        bars = axes.containers[0]
        assert isinstance(bars, ErrorbarContainer)
        np.testing.assert_allclose(np.asarray(bars.lines[0].get_xydata())[:, 1], expected, atol=1e-9)
        low, high = bars.lines[2][0].get_segments()[0][:, 1]
        assert (high - low) / 2 == pytest.approx(deviation, abs=1e-9)


def test_accuracies_of_tables_are_simulated_and_networks_without_one_left_out(tiny_study: Path) -> None:
    network = network_of(tiny_study)
    loaded = load_images(network, None, None, None, None)
    images, labels = loaded.pixels[:20], np.asarray(loaded.labels)[:20]
    rows = accuracy_table.data([TrainedNetwork("post-w3a3", 0, network, images, labels, "post"), *runs()], (0, 4))
    assert rows["accuracy"].tolist() == [row["accuracy"] for row in table_rows(network, images, labels, (0, 4))]
    found = rows.set_index(["layout", "fraction_bits"])
    finest = found["accuracy"]["full", 4]
    assert found["change"].tolist() == [accuracy - finest for accuracy in found["accuracy"]]
    with pytest.raises(ValueError, match="none of the networks has a layer with POST weights"):
        accuracy_table.data(runs())


def test_networks_of_one_training_are_drawn_once_and_it_is_said(tiny_study: Path, tmp_path: Path) -> None:
    """Another table leaves the weights as they are; another start does not."""
    folder, out, data = tmp_path / "runs", tmp_path / "a.png", tmp_path / "a.csv"
    source = next(tiny_study.glob("*post*"))
    changes: dict[str, dict[str, Any]] = {
        "k2": {"fraction_bits": 2},
        "full": {"layout": "full"},
        "other": {"init": "elsewhere"},
    }
    for name, change in {"": {}, **changes}.items():
        run_id = f"digits-digits_resnet-{'-'.join(filter(None, ('post-w3a3', name)))}-s0"
        shutil.copytree(source, folder / run_id)
        record = json.loads((source / "record.json").read_text())
        record |= {"run_id": run_id, "config": {**record["config"], **change}}
        (folder / run_id / "record.json").write_text(json.dumps(record))
    result = run("figure", "accuracy-table", folder, "--images", 10, "--out", out, "--data", data)
    assert result.exit_code == 0, result.stderr
    rows = pd.read_csv(data)
    same = "post-w3a3-full, post-w3a3-k2, post-w3a3"
    drawn = {("post-w3a3-full", same), ("post-w3a3-other", "post-w3a3-other")}
    assert set(zip(rows["design"], rows["exports"], strict=True)) == drawn
    drawing = accuracy_table.draw(rows)
    assert drawing.legends[0].get_title().get_text() == f"the same networks, drawn once: {same}"
    assert cut_or_overlapping(drawing) == []


@pytest.mark.parametrize(
    ("hardware", "alike"), [({}, True), ({"accumulator_bits": 12}, False), ({"multiplier": ["drum"]}, False)]
)
def test_training_through_tables_depends_on_them(hardware: dict[str, Any], alike: bool) -> None:
    configs = ({"seed": 0, "fraction_bits": bits, **hardware} for bits in (6, 2))
    first, second = (training_of({"config": config}) for config in configs)
    assert (first == second) is alike
    assert training_of({"config": {"seed": 1}}) != training_of({"config": {"seed": 0}})


@pytest.mark.parametrize("name", SIMULATION_FIGURES)
def test_the_command_simulates_the_runs_below_a_folder(tiny_study: Path, tmp_path: Path, name: str) -> None:
    out, data = tmp_path / "a.png", tmp_path / "a.csv"
    result = run("figure", name, tiny_study, "--images", 30, "--out", out, "--data", data)
    assert result.exit_code == 0, result.stderr
    rows = pd.read_csv(data)
    assert set(zip(rows["design"], rows["seed"], rows["images"], strict=True)) == {("post-w3a3", 0, 30)}
    network = network_of(tiny_study)
    loaded = load_images(network, None, None, None, None)
    images, labels = loaded.pixels[:30], np.asarray(loaded.labels)[:30]
    if name == "accuracy-table":
        expected = table_rows(network, images, labels)
    else:
        expected = accumulator_rows(network, images, labels, sorted(rows["bits"].unique().tolist()))
    assert rows["correct"].tolist() == [row["correct"] for row in expected]
    assert cut_or_overlapping(SIMULATION_FIGURES[name].draw(rows)) == []


def test_too_many_designs_and_doubles_are_refused() -> None:
    many = [run for i in range(5) for run in runs(f"uniform-w{i}a{i}", 1)]
    with pytest.raises(ValueError, match=r"at most 4 designs, got 5 \(uniform-w0a0, .*\): name the folders"):
        accuracy_accumulator.data(many)
    with pytest.raises(ValueError, match="two networks of the figure are uniform-w4a4 with seed 0"):
        accuracy_accumulator.data(runs(seeds=1) * 2)


def test_bad_commands_are_refused(tiny_study: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "new" / "a.png")
    plain = next(tiny_study.glob("*float*"))
    assert error("figure", "accuracy-table", plain, *out).endswith("left an integer network (network.safetensors)")
    message = error("figure", "accuracy-table", tiny_study, "--images", 452, *out)
    assert message == "images must be an integer in 1..451, the test images of digits, got 452"
    message = error("figure", "accuracy-accumulator", tiny_study, "--bits", 4, *out)
    assert message == "the figure accuracy-accumulator does not take --bits"
    assert not (tmp_path / "new").exists()

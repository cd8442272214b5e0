"""The commands: what they print, in every format, and what they write."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import read_csv, read_latex, read_markdown, rows, run

from hwsim.cli import COMMANDS
from hwsim.cli.demo import DESIGNS
from hwsim.engines import ENGINES
from hwsim.multipliers import LAYOUTS
from hwsim.network_file import load_network, save_network
from hwsim.output import OUTPUTS
from trainers import data
from trainers.augment import AUGMENTATIONS
from trainers.data import DATASETS, IMAGE_FOLDER, load_dataset
from trainers.data.dataset import Dataset
from trainers.models import MODELS
from trainers.quantizers import ALIASES, QUANTIZERS
from trainers.schedule import SCHEDULES

TRAIN = ("train", "--epochs", 1, "--batch-size", 512, "--init", "none")


#: Commands that print a table and take no long time; NETWORK is the tiny study's.
TABLES = {
    "formats": "formats --bits 1,3,8",
    "multipliers": "multipliers --bits 3,8",
    "parts": "multipliers --bits 3 --parts",
    "methods": "methods --role weights",
    "simulate": "simulate NETWORK",
    "simulated layers": "simulate NETWORK --layers",
    "cost": "cost NETWORK",
    "costs of layers": "cost NETWORK --layers",
}


@pytest.mark.parametrize("name", TABLES)
def test_each_table_in_each_format_holds_the_same_rows(name: str, tiny_network: Path) -> None:
    command = [str(tiny_network) if word == "NETWORK" else word for word in TABLES[name].split()]
    texts = {}
    for output in OUTPUTS:
        result = run(*command, "--format", output)
        assert result.exit_code == 0, result.stderr
        texts[output] = result.stdout
    objects: list[dict[str, Any]] = json.loads(texts["json"])
    table = read_csv(texts["csv"])
    assert [list(row) for row in table] == [list(row) for row in objects]
    for row, values in zip(table, objects, strict=True):
        for key, value in values.items():
            expected = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            assert row[key] == expected
    headers, *cells = read_markdown(texts["markdown"])
    assert [header.replace("\\", "") for header in headers] == list(objects[0])
    assert len(cells) == len(read_latex(texts["latex"])) - 1 == len(objects)
    assert len(texts["table"].splitlines()) == len(objects) + 3  # title, headers, rule
    assert "\x1b" not in "".join(texts.values())


def test_multipliers_golden() -> None:
    """Bits, entries and errors of 3 and 4 bits worked out by hand.

    3x3: 7 * -4 and 7 * 3 fit 6 bits. POT: 7 << 2 = 28 and a sign, 6 bits. POST with F = 3 and 6 fraction bits: one
    odd exponent, 8 entries up to round(7 sqrt2 2^6) = 634, 10 bits; the largest product is 7 * 2 * 2^6 = 896, 11 bits
    with its sign. 4 bits: F = 7, one column (shared) of 16 entries up to round(15 sqrt2 2^6) = 1358, 11 bits, or three
    (full), the last up to round(15 sqrt2 2^8) = 5431, 13 bits. APoT in units of its smallest part: magnitudes up to 4
    (3 bits: 0, 1, 2, 4) and 10 (4 bits: 0, 1, 2, 3, 4, 6, 8, 10) times 7 and 15, and a sign. Codebook: odd integers up
    to 7 and 15 times 7 and 15, each decoded from an entry of 4 and 5 bits.
    """
    table = read_csv(run("multipliers", "--bits", "3,4", "--format", "csv").stdout)
    texts = ("multiplier", "layout", "weights")
    numbers = ("weight_bits", "act_bits", "product [bits]", "table_entries", "table [bits]")
    found = [(*(row[key] for key in texts), *(int(row[key]) for key in numbers)) for row in table]
    assert found == [
        ("array", "", "uniform", 3, 3, 6, 0, 0),
        ("shift", "", "pot", 3, 3, 6, 0, 0),
        ("table", "shared", "post", 3, 3, 11, 8, 80),
        ("table", "full", "post", 3, 3, 11, 8, 80),
        ("shift_add", "", "apot", 3, 3, 6, 0, 0),
        ("codebook", "", "codebook", 3, 3, 7, 8, 32),
        ("array", "", "uniform", 4, 4, 8, 0, 0),
        ("shift", "", "pot", 4, 4, 11, 0, 0),
        ("table", "shared", "post", 4, 4, 14, 16, 176),
        ("table", "full", "post", 4, 4, 14, 48, 624),
        ("shift_add", "", "apot", 4, 4, 9, 0, 0),
        ("codebook", "", "codebook", 4, 4, 9, 16, 80),
    ]
    errors = [float(row["max_error [LSB]"]) for row in table]
    assert [errors[i] for i in (0, 1, 4, 5, 6, 7, 10, 11)] == [0] * 8
    assert all(error <= 0.5 for error in (errors[2], errors[3], errors[9]))
    assert 0.5 < errors[8] <= 0.5 * 4  # what is read from the shared column is shifted by up to two bits
    assert [row["exponents"] for row in table] == ["", "3", "3", "3", "", "", "", "7", "7", "7", "", ""]


def test_options_of_the_catalogue() -> None:
    wide = {row["act_bits"] for row in rows("multipliers", "--bits", 4, "--act-bits", 8)}
    assert wide == {8}
    fewer = rows("multipliers", "--bits", "3,8", "--exponents", 5, "--fraction-bits", 2)
    assert [row["exponents"] for row in fewer if row["weights"] == "post"] == [3, 3, 5, 5]
    assert {row["fraction_bits"] for row in fewer if row["weights"] == "post"} == {2}
    parts = rows("multipliers", "--bits", 3, "--parts")
    assert {"multiplier": "array", "part": "and_gate", "quantity": 9, "part_bits": 1}.items() <= parts[0].items()
    assert [row["levels"] for row in rows("formats", "--bits", 3) if row["format"] == "pot"] == [7, 9]
    assert {row["exponents"] for row in rows("formats", "--bits", 8)} == {None, 15}


@pytest.mark.parametrize("options", [(), ("--layers",)])
def test_engines_print_the_same(options: tuple[str, ...], tiny_network: Path) -> None:
    fast, slow = (rows("simulate", tiny_network, "--engine", engine, *options) for engine in ("tensor", "reference"))
    for row in (*fast, *slow):
        assert row.pop("path", "").startswith(("int8", "float32", "one product")) or not options
        row.pop("engine", None)
    assert fast == slow


def test_simulation_repeats_the_record(tiny_study: Path, tiny_network: Path) -> None:
    record = json.loads((tiny_network.parent / "record.json").read_text())
    [row] = rows("simulate", tiny_network, "--data", "digits", "--batch-size", 100)
    assert row["images"] == 451
    assert row["correct"] == record["counts"]["integer_correct"]
    assert row["accuracy"] == record["accuracy"]["integer"]
    assert row["overflows"] == 0
    bits = [layer["accumulator_bits"] for layer in record["export"]["layers"]]
    assert [row["accumulator_bits"] for row in rows("simulate", tiny_network, "--layers")] == bits


def test_images_and_labels_from_files(tiny_network: Path, tmp_path: Path) -> None:
    digits = load_dataset("digits")
    np.save(tmp_path / "x.npy", digits.test_images[:20])
    np.save(tmp_path / "y.npy", digits.test_labels[:20].astype(np.uint8))
    [unlabelled] = rows("simulate", tiny_network, "--images", tmp_path / "x.npy")
    [labelled] = rows("simulate", tiny_network, "--images", tmp_path / "x.npy", "--labels", tmp_path / "y.npy")
    assert set(labelled) - set(unlabelled) == {"correct", "accuracy"}
    np.save(tmp_path / "y.npy", (digits.test_labels[:20] + labelled["correct"] % 2) % 10)
    [other] = rows("simulate", tiny_network, "--images", tmp_path / "x.npy", "--labels", tmp_path / "y.npy")
    assert labelled["accuracy"] == labelled["correct"] / 20
    assert other["images"] == 20


def test_images_lie_where_the_command_runs(tiny_network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", load_dataset("digits").test_images[:20])
    monkeypatch.chdir(tmp_path)
    [row] = rows("simulate", tiny_network, "--images", "x.npy")
    assert row["images"] == 20


def test_images_of_a_data_set_enter_normalized(tiny_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels in 0..255 with mean and deviation are what CIFAR-10 has: here digits that become the same numbers."""
    digits = load_dataset("digits")
    pixels = (digits.test_images * 240).astype(np.uint8)
    dataset = Dataset("pixels", pixels, digits.test_labels, pixels, digits.test_labels, 10, (0.0,), (240 / 255,))
    monkeypatch.setitem(DATASETS, "pixels", lambda folder: dataset)
    assert data.DATASETS is DATASETS
    assert np.abs(dataset.normalized(pixels) - digits.test_images).max() < 1e-6
    assert rows("simulate", tiny_network, "--data", "pixels") == rows("simulate", tiny_network)


def test_network_that_does_not_name_its_data_asks_for_it(tiny_network: Path, tmp_path: Path) -> None:
    network = load_network(tiny_network)
    path = tmp_path / "n.safetensors"
    save_network(type(network)(network.nodes, network.datapath, "nameless"), path)
    result = run("simulate", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "network 'nameless' does not say which data it was made for: give --data or --images" in result.stderr
    assert rows("simulate", path, "--data", "digits")[0]["images"] == 451


def test_train_writes_its_files_and_prints_one_row(tmp_path: Path) -> None:
    command = (*TRAIN, "--weights", "pot", "--bits", 3, "--act-bits", 4, "--seed", 3, "--study", "s", "--out", tmp_path)
    result = run(*command, "--format", "json")
    assert result.exit_code == 0, result.stderr
    [row] = json.loads(result.stdout)
    folder = tmp_path / "digits-digits_resnet-pot-w3a4-s3"
    record = json.loads((folder / "record.json").read_text())
    assert list(row) == ["run", "accuracy_float", "accuracy_qat", "accuracy_integer", "agreement"]
    assert row["run"] == record["run_id"] == folder.name
    assert (row["accuracy_qat"], row["agreement"]) == (record["accuracy"]["qat"], record["accuracy"]["agreement"])
    assert row["accuracy_float"] is None
    assert (record["study"], record["seed"], record["config"]["epochs"]) == ("s", 3, 1)
    assert re.search(r"pot-w3a4-s3: 1/1 epochs, (\S+ epochs/s, )?loss ", result.stderr)
    assert "predictions agree with the fake-quantized model" in result.stderr
    assert "Layers as quantized" in result.stderr
    assert "8-bit uniform, 256 levels" in " ".join(result.stderr.split())
    again = run(*command, "--format", "json")
    assert again.stdout == result.stdout
    assert again.stderr == f"{folder.name}: finished before, reused from {folder}\n"


def test_train_starts_from_a_float_run(tiny_study: Path, tmp_path: Path) -> None:
    baseline = tiny_study / "digits-digits_resnet-float-s0"
    options = ("train", "--weights", "uniform", "--bits", 2, "--epochs", 1, "--out", tmp_path, "--init", baseline)
    [row] = rows(*options)
    assert row["accuracy_float"] == json.loads((baseline / "record.json").read_text())["accuracy"]["float"]


def test_report_writes_tables_and_figures(tiny_study: Path, tmp_path: Path) -> None:
    result = run("report", tiny_study, "--out", tmp_path, "--format", "csv")
    assert result.exit_code == 0, result.stderr
    designs = read_csv(result.stdout)
    assert [row["design"] for row in designs] == ["float", "post-w3a3"]
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert {"tables/designs.csv", "tables/designs.md"} <= written
    assert any(name.startswith("figures/") and name.endswith(".png") for name in written)
    assert {Path(line).relative_to(tmp_path).as_posix() for line in result.stderr.splitlines()} == written
    assert (tmp_path / "tables" / "designs.csv").read_text() == result.stdout


def test_help_of_every_command_shows_an_example() -> None:
    overview = run("--help")
    assert overview.exit_code == 0
    assert run().stdout.rstrip() == overview.stdout.rstrip()
    for command in COMMANDS:
        name = command.__name__.replace("_", "-")
        assert name in overview.stdout
        text = run(name, "--help").stdout
        assert f"Example: hwsim {name} " in " ".join(text.split())
        assert run(name, "-h").stdout == text


def test_help_names_all_that_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    train = re.sub(r"[\s│]+", " ", run("train", "--help").stdout)
    assert f"Data set: {', '.join((*DATASETS, IMAGE_FOLDER))}." in train
    networks = train.partition("Network: ")[2].partition(" (")[0].split(", ")
    assert set(networks) >= set(MODELS)
    serving = [name for name, method in QUANTIZERS.items() if "weights" in method.roles]
    weights = [name for name in serving if name not in ALIASES.values()]
    assert f"Weights: {', '.join(['float', *ALIASES, *weights])}." in train
    activations = [name for name, method in QUANTIZERS.items() if "activations" in method.roles]
    assert f"Method for activations: {', '.join(activations)}." in train
    assert f"Layout of that table: {' or '.join(LAYOUTS)}." in train
    assert f"How the rate falls: {', '.join(SCHEDULES)} (" in train
    assert f"Random changes of the images: {', '.join(AUGMENTATIONS)} (" in train
    simulate = run("simulate", "--help").stdout
    assert f"Data set: {', '.join((*DATASETS, IMAGE_FOLDER))} (" in simulate
    assert all(f"{engine} (" in simulate for engine in ENGINES)
    assert {weights for weights, _ in DESIGNS} == {"uniform", "pot", "post"}

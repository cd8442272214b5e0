"""`hwsim simulate` in one process, in several and by a queue; with tables and accumulators of the user's choice."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import error, rows, run

from hwsim.accumulator import Accumulator
from hwsim.cli import batches
from hwsim.engines import simulate
from hwsim.exchange import with_tables
from hwsim.multipliers.custom_files import SHIPPED
from hwsim.network import Network
from hwsim.network_file import load_network, save_network
from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.study import run_study

DIGITS = load_dataset("digits")
NARROW = ("--accumulator-bits", 7, "--overflow", "saturate", "--batch-size", 100)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A uniform network of 4 bits, 8 in its first and last layer, after one epoch."""
    folder = tmp_path_factory.mktemp("uniform")
    config = TrainConfig(epochs=1, batch_size=512, weights="uniform")
    run_study([config], folder)
    return folder / config.run_id / "network.safetensors"


@pytest.fixture(scope="module")
def expected(file: Path) -> dict[str, Any]:
    """What the reference engine says of all images at once, with a narrow saturating accumulator."""
    network = load_network(file).with_accumulator(Accumulator(7, "saturate"))
    result = simulate(network, DIGITS.test_images, "reference", batch_size=1000)
    assert sum(result.overflows.values()) > 1000
    return {"correct": int((result.predictions == DIGITS.test_labels).sum()), "overflows": result.overflows}


def check(file: Path, expected: dict[str, Any], *options: object) -> None:
    [row] = rows("simulate", file, *NARROW, *options)
    assert (row["images"], row["correct"]) == (451, expected["correct"])
    assert row["overflows"] == sum(expected["overflows"].values())


def test_batches_and_processes_give_what_one_batch_gives(file: Path, expected: dict[str, Any]) -> None:
    check(file, expected)
    check(file, expected, "--workers", 2)


def test_a_queue_gives_the_same_with_and_without_workers(file: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    check(file, expected, "--queue", tmp_path)
    assert len(list((tmp_path / "results").iterdir())) == 5
    for result in (tmp_path / "results").iterdir():
        result.unlink()
    assert run("worker", tmp_path, "--until-empty").stderr.count("is done") == 5
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8)))
    check(file, expected, "--queue", tmp_path)
    layers = rows("simulate", file, *NARROW, "--queue", tmp_path, "--layers")
    assert [row["accumulator_overflows"] for row in layers] == [
        expected["overflows"].get(layer.name, 0) for layer in load_network(file).layers
    ]


def test_images_of_a_file_travel_with_the_queue(file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", DIGITS.test_images[:60])
    command = ("simulate", file, "--images", tmp_path / "x.npy", "--batch-size", 40)
    alone = rows(*command)
    assert rows(*command, "--queue", tmp_path / "queue") == alone
    [images] = (tmp_path / "queue" / "images").iterdir()
    images.write_bytes((tmp_path / "x.npy").read_bytes()[:-1] + b"\x01")
    for result in (tmp_path / "queue" / "results").iterdir():
        result.unlink()
    batches._sha256_once.cache_clear()  # another machine would not have it
    run("worker", tmp_path / "queue", "--until-empty")
    texts = [json.loads(path.read_text()) for path in (tmp_path / "queue" / "results").iterdir()]
    assert all("are not those that the job was made for" in text["error"] for text in texts)


def test_worker_processes_share_a_simulation(file: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    check(file, expected, "--queue", tmp_path)
    results = {path: json.loads(path.read_text())["value"] for path in (tmp_path / "results").iterdir()}
    for path in results:
        path.unlink()
    command = [sys.executable, "-c", "from hwsim.cli import main; main()", "worker", str(tmp_path), "--until-empty"]
    workers = [subprocess.Popen([*command, "--threads", "1"], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert "".join(said).count("is done") == 5
    assert {path: json.loads(path.read_text())["value"] for path in results} == results
    check(file, expected, "--queue", tmp_path)


def test_a_failing_batch_is_named(file: Path, tmp_path: Path) -> None:
    images = np.zeros((5, 1, 8, 8))
    images[4] = np.nan
    np.save(tmp_path / "x.npy", images)
    options = ("--images", tmp_path / "x.npy", "--batch-size", 2)
    for where in ((), ("--workers", 2), ("--queue", tmp_path / "queue")):
        result = run("simulate", file, *options, *where)
        assert (result.exit_code, result.stdout) == (2, "")
        message = result.stderr.splitlines()[-1]  # what is before it is progress
        assert re.match(
            r"hwsim: error: images 4 to 4.*: images must be finite, got nan at index \(0, 0, 0, 0\)", message
        )


def test_refused_places(file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "workers must be an integer in 1..1024, got 0" in error("simulate", file, "--workers", 0)
    assert "either --workers or --queue" in error("simulate", file, "--workers", 2, "--queue", tmp_path)
    assert str(tmp_path / "file") in error("simulate", file, "--queue", tmp_path / "file")
    assert str(tmp_path / "file") in error("worker", tmp_path / "file")


def inner(network: Network) -> list[str]:
    return [layer.name for layer in network.layers[1:-1]]


def test_tables_by_name_and_by_file_are_used_said_and_saved(file: Path, tmp_path: Path) -> None:
    network = load_network(file)
    table = SHIPPED / "drum_s4u4.npy"
    choices = [f"{name}={table}" for name in inner(network)]
    result = run(
        "simulate", file, *[word for choice in choices for word in ("--multiplier", choice)],
        "--save", tmp_path / "n.safetensors", "--layers", "--format", "json",
    )  # fmt: skip
    layers = json.loads(result.stdout)
    assert [row["multiplier"] for row in layers] == ["array", *["drum_s4u4"] * len(inner(network)), "array"]
    assert f"drum_s4u4: in {len(inner(network))} of {len(network.layers)} layers, " in result.stderr
    [saved] = rows("simulate", tmp_path / "n.safetensors")
    by_name = with_tables(network, [f"{name}=drum" for name in inner(network)])
    predictions = simulate(by_name, DIGITS.test_images, "reference").predictions
    assert saved["correct"] == int((predictions == DIGITS.test_labels).sum())
    [everywhere] = rows("simulate", file, "--multiplier", "drum")
    save_network(with_tables(network, ["drum"]), tmp_path / "all.safetensors")
    assert rows("simulate", tmp_path / "all.safetensors") == [everywhere]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--multiplier drum_s4u4", "layers 'conv1', 'linear': drum_s4u4: a product table of 8 x 8 bits has shape"),
        ("--multiplier none.npy", "no product table at none.npy"),
        ("--multiplier drun", "unknown product table 'drun'; did you mean 'drum'?"),
        ("--multiplier layer9=drum", "pattern 'layer9' matches no layer; layers are conv1"),
        ("--accumulator-bits layer9=8", "pattern 'layer9' matches no layer; layers are conv1"),
        ("--accumulator-bits linear=1 --overflow wrap", "accumulator bits must be an integer in 2..63, got 1"),
        ("--accumulator-bits linear=8", "node 'linear': channel"),
        ("--overflow wrap", "--overflow belongs to --accumulator-bits"),
    ],
)
def test_refused_hardware(options: str, message: str, file: Path) -> None:
    assert message in error("simulate", file, *options.split())


def test_statistics_of_tables(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "t.csv", [[0, 0], [0, 3]], fmt="%d", delimiter=",")
    [row] = rows("multipliers", tmp_path / "t.csv", "--unsigned-weights")
    sizes = {"table": str(tmp_path / "t.csv"), "weight_bits": 1, "act_bits": 1, "product [bits]": 2, "rank": 1}
    errors = {"mean_error [LSB]": 0.5, "mean_absolute_error [LSB]": 0.5, "worst_error [LSB]": 2.0}
    assert row == sizes | errors | {"mean_relative_error": 2.0, "error_rate": 0.25}
    [signed] = rows("multipliers", tmp_path / "t.csv", "--signed-activations")
    assert signed["mean_error [LSB]"] == 0.5  # -1 * -1 is 1, too
    table = rows("multipliers", "drum", "mitchell_s4u4", "--bits", "3,8", "--act-bits", 4)
    assert [(row["weight_bits"], row["act_bits"]) for row in table] == [(3, 4), (8, 4), (4, 4)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("drumm", "unknown product table 'drumm'; did you mean 'drum'?"),
        ("t.txt", "a product table is a .npy, .csv, .h, .c file, got 't.txt'"),
        ("drum_s8u8 --product-bits 16", "drum_s8u8: an entry is beyond its declared width of 16 bits, -32768..32767"),
        ("drum --bits 9", "bits must be in 1..8, got 9"),
        ("drum --product-bits 0 drum_s4u4", "product bits must be an integer in 1..31, got 0"),
        ("--product-bits 9", "belong to product tables"),
    ],
)
def test_refused_statistics(arguments: str, message: str) -> None:
    assert message in error("multipliers", *arguments.split())


def test_a_table_whose_sides_are_no_powers_of_two(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.zeros((3, 4), dtype=np.int64))
    assert "2^bits rows and columns, got 3 x 4" in error("multipliers", tmp_path / "t.npy")

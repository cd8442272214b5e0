"""The ablation on CIFAR-10: its runs, its slices, its table, and docs/results.md that is made from its records."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from command import read_markdown
from safetensors.torch import save_file
from test_data_official import python_file, write_folder

from hwsim.files import read_json, write_json
from trainers.data import cifar
from trainers.models import make_model
from trainers.record import versions

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks_on_path() -> Iterator[None]:
    """Let the scripts find one another, as when one is run."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(name="ablation", scope="module")
def ablation_module(benchmarks_on_path: None) -> Any:
    return import_module("cifar10_ablation")


@pytest.fixture(name="results", scope="module")
def results_module(benchmarks_on_path: None) -> Any:
    return import_module("cifar10_results")


@pytest.fixture(name="command")
def small_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of a run on 25 images to train on and 5 to test, with random weights to start from."""
    layout = write_folder(
        cifar.CIFAR10.layouts[0], tmp_path / "data" / "cifar-10-batches-py", partial(python_file, classes=10)
    )
    monkeypatch.setattr(cifar, "CIFAR10", replace(cifar.CIFAR10, layouts=(layout,)))
    save_file(make_model("resnet20").state_dict(), tmp_path / "init.safetensors")
    folders = ["--data-dir", str(tmp_path / "data"), "--init", str(tmp_path / "init.safetensors")]
    return [*folders, "--out", str(tmp_path / "out"), "--methods", "lsq", "--bits", "4"]


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on when and how often a run was started."""
    return {name: value for name, value in record.items() if name != "volatile"}


def test_slices_end_with_the_record_of_an_undisturbed_run(
    ablation: Any, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two epochs without any time: a slice per epoch, then one for the evaluation; a fourth finds nothing to do."""
    name = Path("cifar10_2_epochs") / "cifar10-resnet20-lsq-w4a4-s0" / "record.json"
    command = [*command, "--epochs", "2"]
    assert ablation.main([*command, "--out", str(tmp_path / "undisturbed")]) == 0
    capsys.readouterr()
    told = [(ablation.main([*command, "--minutes", "0.0001"]), capsys.readouterr()) for _ in range(4)]
    assert [status for status, _ in told] == [3, 3, 0, 0]
    assert ["epoch 1 of 2" in out.err for _, out in told] == [True, False, False, False]
    assert ["epoch 2 of 2" in out.err for _, out in told] == [False, True, False, False]
    assert "stopped after 0.0001 minutes; the same command goes on" in told[0][1].err
    assert told[0][1].out == "(no rows)\n"
    undisturbed = lasting(read_json(tmp_path / "undisturbed" / name))
    assert lasting(read_json(tmp_path / "out" / name)) == undisturbed
    assert undisturbed["counts"]["test_images"] == 5
    assert read_markdown(told[3][1].out)[1][:4] == ["lsq", "4/4", "2", "1"]


def test_nothing_new_begins_at_the_end_of_a_slice(ablation: Any) -> None:
    """Neither a run after another, nor an evaluation; a first run may begin, and go on until it is saved."""
    watch = ablation.Slice(minutes=0)
    watch.begin("first")
    watch.step(0.5, is_saved=False)
    with pytest.raises(ablation.TimeUpError):
        watch.step(0.5, is_saved=True)
    with pytest.raises(ablation.TimeUpError):
        watch.begin("second")
    with pytest.raises(ablation.TimeUpError):
        watch.update(1, 2, {"loss": 1.0, "test_accuracy": 0.5})
    late = ablation.Slice(minutes=1.5)
    late.step(0.5, is_saved=True)
    late.update(1, 2, {"loss": 1.0, "test_accuracy": 0.5})
    with pytest.raises(ablation.TimeUpError):
        late.update(2, 2, {"loss": 1.0, "test_accuracy": 0.5})


def test_every_method_is_a_row_of_its_own_and_can_be_exported(ablation: Any, results: Any) -> None:
    runs = list(ablation.configs(ablation.parsed(["--data-dir", "DIR", "--init", "FILE"])))
    assert len({config.run_id for config in runs}) == len(runs)
    assert [config.bits for config in runs] == [4] * 8 + [3] * 8
    assert [results.method_of({"config": config.to_dict()}) for config in runs] == [*results.METHODS] * 2
    recipes = {(c.epochs, c.lr, c.batch_size, c.augment, c.first_last_bits, c.schedule, c.seed) for c in runs}
    assert recipes == {(1, 0.01, 128, "crop_flip", 8, "cosine", 0)}


def test_seeds_come_last_so_that_a_table_is_soon_complete(ablation: Any) -> None:
    options = ["--data-dir", "DIR", "--init", "FILE", "--methods", "lsq", "--bits", "4,3", "--seeds", "0,5"]
    runs = ablation.configs(ablation.parsed(options))
    assert [(config.seed, config.bits) for config in runs] == [(0, 4), (0, 3), (5, 4), (5, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "lsq,asp"], "unknown method 'asp'; did you mean 'asq'"),
        (["--bits", "4,9"], "bits must be an integer in 1..8, got 9"),
        (["--bits", "four"], "--bits must be whole numbers separated by commas, got 'four'"),
        (["--seeds", "-1"], "seed must be a finite number that is not negative, got -1"),
        (["--device", "gpu"], "device must be cpu, cuda or cuda:N, got 'gpu'"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--data-dir", "nowhere"], "CIFAR-10's file data_batch_1 is missing: looked for nowhere"),
        (["--init", "nowhere"], "no float weights at 'nowhere'"),
    ],
)
def test_what_cannot_be_run_is_named(
    ablation: Any, command: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablation.main([*command, *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")


def test_another_networks_weights_are_named(
    ablation: Any, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(make_model("resnet32").state_dict(), tmp_path / "init.safetensors")
    assert ablation.main(command) == 1
    assert "they are those of resnet32" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--data-dir", "DIR"], ["--minutes", "-1"], ["--minutes", "nan"]])
def test_options_that_make_no_sense_are_refused(ablation: Any, options: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        ablation.main(options)


def test_the_page_is_current(results: Any) -> None:
    fresh = results.page(results.read_records(results.RECORDS))
    assert results.PAGE.read_text(encoding="utf-8") == fresh, "run python benchmarks/cifar10_results.py"


def test_the_records_are_of_the_official_data_and_the_public_weights(results: Any) -> None:
    records = results.read_records(results.RECORDS)
    assert len(records) == len(list(results.RECORDS.rglob("*.json")))
    found = {"be384f092c11b38d3ab6060c816be722722bf4549e437415fec9bf8b9be29923", 10000, 9173, True}
    for record in records:
        counts = record["counts"]
        assert {record["data_sha256"], counts["test_images"], counts["float_correct"]} < found
        assert record["export"]["laws_hold"] in found
        assert record["config"]["data_dir"] is None
        assert "/" not in record["config"]["init"]
        assert "command" not in record["volatile"]


def test_the_papers_numbers_are_of_rows_that_exist_and_have_sources(results: Any) -> None:
    found = results.paper_results()
    assert {method for method, _ in found} <= {*results.METHODS, "float"}
    assert all("arXiv:2504.17263" in source for _, source in found.values())
    assert found["float", 32] == (92.6, "ASQ, arXiv:2504.17263, Table 5")
    assert [found[key][0] for key in (("post", 4), ("post+asq", 3), ("lsq", 2), ("apot", 3))] == [92.7, 92.3, 91, 92.2]


def example(results: Any) -> dict[str, Any]:
    """Return one of the committed records: POST at 4 bits after one epoch."""
    return read_json(results.RECORDS / "cifar10_1_epochs" / "cifar10-resnet20-post-w4a4-s0" / "record.json")


def test_seeds_are_one_row_with_their_mean_and_deviation(ablation: Any, results: Any, tmp_path: Path) -> None:
    for seed, correct in enumerate((0.88, 0.90, 0.92)):
        record = example(results) | {"seed": seed}
        record["accuracy"] = {"float": 0.9173, "qat": correct, "integer": correct - 0.01, "agreement": 0.97}
        record["volatile"]["wall_s"] = 60.0 * (seed + 1)
        write_json(tmp_path / str(seed) / "record.json", record)
    (row,) = results.summaries(results.read_records(tmp_path))
    assert (row["method"], row["weight_bits"], row["seeds"]) == ("post", 4, 3)
    assert [row[name] for name in ("qat", "qat_deviation", "integer", "paper")] == pytest.approx([90, 2, 89, 92.7])
    assert row["training_s"] == 120
    (shown,) = results.table([row])
    assert shown["fake-quantized [%]"] == "90.00 ± 2.00"
    assert shown["integers [%]"] == "89.00 ± 2.00"


def test_every_schedule_has_a_table_of_its_own(results: Any) -> None:
    records = [example(results) for _ in range(3)]
    for record, (epochs, lr) in zip(records, ((300, 0.04), (1, 0.04), (1, 0.01)), strict=True):
        record["config"] |= {"epochs": epochs, "lr": lr}
    text = results.page(records)
    headings = [line for line in text.splitlines() if "learning rate" in line and line.startswith("## ")]
    schedules = ["1 epoch, learning rate 0.01", "1 epoch, learning rate 0.04", "300 epochs, learning rate 0.04"]
    assert headings == [f"## {schedule}" for schedule in schedules]
    assert text.count("| post |") == 3


def test_costs_are_those_of_the_integer_network(results: Any) -> None:
    """Of ResNet-20: 39,665,664 of 40,551,040 MACs at 4 by 4 bits, the first and the last layer's at 8 by 8."""
    row = results.summary([example(results)])
    outer = 32 * 32 * 27 * 16 + 640
    assert row["bops"] == 16 * (40551040 - outer) + 64 * outer
    assert row["table_bits"] == 16 * 11
    assert row["storage_bits"] > 4 * (269722 - 432 - 640)


def test_runs_of_other_studies_are_left_out(results: Any, tmp_path: Path) -> None:
    other = example(results)
    other["config"]["weights"] = "uniform"
    write_json(tmp_path / "a" / "record.json", other)
    assert results.read_records(tmp_path) == []


def test_records_are_taken_over_without_what_only_a_machine_knows(
    results: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = example(results)
    record["config"] |= {"data_dir": "/data/cifar", "init": "/weights/float.safetensors"}
    record["volatile"]["command"] = "/home/me/script.py"
    write_json(tmp_path / "out" / "record.json", record)
    monkeypatch.setattr(results, "RECORDS", tmp_path / "kept")
    assert results.collect(tmp_path / "out") == 1
    (kept,) = results.read_records(tmp_path / "kept")
    assert (kept["config"]["data_dir"], kept["config"]["init"]) == (None, "float.safetensors")
    assert "/" not in json.dumps(kept["volatile"])
    assert kept["accuracy"] == record["accuracy"]
    assert (tmp_path / "kept" / "cifar10_1_epochs" / record["run_id"] / "record.json").exists()


BARE = """
import sys
for name in ("typer", "rich", "scipy", "sklearn", "pandas", "matplotlib", "onnx"):
    sys.modules[name] = None
import cifar10_ablation
sys.exit(cifar10_ablation.main(["--out", "nowhere"]))
"""


def test_the_script_needs_neither_the_command_line_nor_the_reports() -> None:
    """`PYTHONPATH=. python benchmarks/cifar10_ablation.py` on a machine with torch, numba, safetensors and Pillow."""
    command = [sys.executable, "-c", BARE]
    environment = {"PYTHONPATH": f"{ROOT}:{BENCHMARKS}"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert run.stdout == "(no rows)\n"


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def version(name: str) -> str:
        if name == "hwsim":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr("trainers.record.version", version)
    assert (versions()["hwsim"], versions()["torch"]) == ("not installed", "1")

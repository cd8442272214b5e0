"""`hwsim train`: what its options mean, and several seeds at once."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from command import rows, run
from rich.text import Text

from hwsim.cli.train_config import config_of, configs_of
from hwsim.cli.train_options import TrainOptions
from trainers.bwrf import BwrfConfig
from trainers.config import TrainConfig
from trainers.presets import PRESETS
from trainers.quantizers import QUANTIZERS

SHORT = ("--epochs", 1, "--batch-size", 512)
WEIGHT_METHODS = [name for name, method in QUANTIZERS.items() if "weights" in method.roles]

#: Options that are not the fields of a configuration that have their names.
ELSEWHERE = {
    *(
        "dry_run",
        "weight_option",
        "activation_option",
        "model_option",
        "first_last",
        "train_quantizers_only",
        "seeds",
        "parallel",
        "out",
    ),
    *(field.name for field in fields(TrainOptions) if field.name.startswith("bwrf_")),
    "output",
}


def test_every_option_is_a_field_or_known_to_be_none() -> None:
    names = {field.name for field in fields(TrainOptions)}
    assert names - ELSEWHERE <= set(TrainConfig.__dataclass_fields__)
    assert names >= ELSEWHERE


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"lr": 0.5, "threads": 2, "nesterov": True}, {"lr": 0.5, "threads": 2, "nesterov": True}),
        (
            {"schedule": "step", "milestones": "3,7", "gamma": 0.5},
            {"schedule": "step", "milestones": (3, 7), "gamma": 0.5},
        ),
        ({"first_last": "same"}, {"first_last_bits": None}),
        ({"first_last": "6"}, {"first_last_bits": 6}),
        ({"progressive": "5,4", "bits": 3}, {"progressive": (5, 4), "bits": 3}),
        ({"init": "somewhere"}, {"init": "somewhere"}),
        ({"init": "none"}, {}),
        ({"train_quantizers_only": True, "init": "x"}, {"quantizers_only": True, "init": "x", "lr": 0.002}),
        (
            {"bwrf": True, "bwrf_stages": "layer1,linear", "bwrf_temperature": 2.0},
            {"bwrf": BwrfConfig(("layer1", "linear"), temperature=2.0)},
        ),
        ({"weights": "apot", "weight_option": ["alpha=2"]}, {"weights": "apot", "weight_options": {"alpha": 2}}),
        ({"multiplier": ["drum"]}, {"multiplier": ("drum",)}),
    ],
)
def test_options_become_the_recipe_with_changes(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert config_of(TrainOptions(**given)) == replace(PRESETS["digits"][1], **expected)


def test_a_float_design_has_the_float_recipe() -> None:
    assert config_of(TrainOptions(weights="float")) == PRESETS["digits"][0]


def test_seeds_are_runs_that_differ_in_nothing_else() -> None:
    configs = configs_of(TrainOptions(seeds="3,1", lr=0.2))
    assert [config.seed for config in configs] == [3, 1]
    assert replace(configs[0], seed=1) == configs[1] == config_of(TrainOptions(seed=1, lr=0.2))


def test_help_has_panels() -> None:
    text = Text.from_ansi(run("train", "--help").stdout).plain
    panels = re.findall(r"╭─ ([\w -]+?) ─", text)
    assert panels[:5] == ["Options", "Data and network", "Quantization", "Hardware to train through", "Recipe"]
    assert set(re.findall(r"│ (--[\w-]+)", text.partition("╭─ Data")[0])) == {"--dry-run", "--format", "--help"}


def test_several_seeds_in_several_processes(tmp_path: Path) -> None:
    """The float runs come first, and the records are those of runs one after the other."""
    command = ("train", "--seeds", "1,0", "--epochs", 1, "--batch-size", 512, "--weights", "float")
    table = rows(*command, "--parallel", 2, "--out", tmp_path / "parallel")
    assert [row["run"] for row in table] == ["digits-digits_resnet-float-s1", "digits-digits_resnet-float-s0"]
    assert table == rows(*command, "--out", tmp_path / "serial")
    for row in table:
        records = [
            json.loads((tmp_path / name / row["run"] / "record.json").read_text()) for name in ("parallel", "serial")
        ]
        for record in records:
            del record["volatile"]
        assert records[0] == records[1]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run to start from."""
    out = tmp_path_factory.mktemp("start")
    (row,) = rows("train", "--weights", "float", *SHORT, "--out", out)
    folder: Path = out / row["run"]
    return folder


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=[] if name == "inq" else pytest.mark.slow) for name in WEIGHT_METHODS]
)
def test_every_weight_method_trains_exports_and_is_loaded_again(method: str, start: Path, tmp_path: Path) -> None:
    """The state of INQ has tensors that have no size before training."""
    command = ("train", "--weights", method, "--bits", 2 if method == "sawb" else 4, "--init", start, "--out", tmp_path)
    table = rows(*command, *SHORT)
    assert rows(*command, *SHORT) == table  # the second time from the files of the first
    assert table[0]["agreement"] > 0.9
    record = json.loads((tmp_path / table[0]["run"] / "record.json").read_text())
    assert record["export"]["laws_hold"]


@pytest.mark.parametrize("options", [("--bits", 3, "--progressive", 4), ("--train-quantizers-only",)])
def test_inq_hands_over_what_it_has_frozen(options: tuple[object, ...], start: Path, tmp_path: Path) -> None:
    table = rows("train", "--weights", "inq", *options, "--init", start, "--out", tmp_path, *SHORT)
    assert all(row["agreement"] > 0.9 for row in table)

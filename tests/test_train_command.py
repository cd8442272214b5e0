"""The command that a report prints trains the very configuration of the record."""

import shlex
from dataclasses import replace

import pytest
import typer

from hwsim.cli import app
from hwsim.cli.train_command import train_command
from hwsim.cli.train_config import configs_of
from hwsim.cli.train_options import TrainOptions
from hwsim.cli.verbosity import OPTIONS
from trainers.bwrf import BwrfConfig
from trainers.config import TrainConfig
from trainers.presets import PRESETS

DIGITS = PRESETS["digits"][1]
CONFIGS = {
    "recipe": DIGITS,
    "float": PRESETS["digits"][0],
    "post": replace(DIGITS, weights="post", bits=3, act_bits=5, exponents=3, layout="full", fraction_bits=9),
    "same outer bits": replace(DIGITS, first_last_bits=None, study="it's a $tudy"),
    "options": replace(DIGITS, activations="asq", activation_options={"dequantize": "step"}),
    "hardware": replace(DIGITS, accumulator_bits=14, overflow="wrap"),
    "network": replace(DIGITS, model_options={"widths": [3, 5, 7]}),
    "bwrf": replace(DIGITS, bwrf=BwrfConfig(temperature=2.0)),
    "schedule": replace(DIGITS, schedule="step", milestones=(5, 10), nesterov=True, warmup_epochs=2, momentum=0.8),
}


def parsed(text: str) -> list[TrainConfig]:
    """Return the configurations that the command line makes of the command."""
    program, command, *words = shlex.split(text)
    assert (program, command) == ("hwsim", "train")
    train = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    given = train.make_context("train", words).params
    return configs_of(TrainOptions(**{name: value for name, value in given.items() if name not in OPTIONS}))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_command_is_the_configuration(name: str) -> None:
    config = CONFIGS[name]
    command = train_command(config.to_dict(), [4, 7])
    assert command.unsaid == ()
    found = parsed(command.text)
    assert [entry.to_dict() for entry in found] == [replace(config, seed=seed).to_dict() for seed in (4, 7)]


def test_what_no_option_says_is_told() -> None:
    config = replace(DIGITS, calibration_images=64, overrides={"conv1": {"bits": 8}})
    command = train_command(config.to_dict(), [0])
    assert command.unsaid == ("calibration_images = 64", 'overrides = {"conv1": {"bits": 8}}')


def test_a_float_start_of_the_same_study_is_what_the_command_does_by_itself() -> None:
    assert "--init" not in train_command({"init": "digits-digits_resnet-float-s0"}, [0]).text
    assert "--init=weights.safetensors" in train_command({"init": "weights.safetensors"}, [0]).text

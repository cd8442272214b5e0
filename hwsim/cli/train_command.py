"""From a run's configuration back to the `hwsim train` command that repeats it."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from hwsim.cli.train_options import TrainOptions

#: Fields of a configuration that no option sets: told where they are not what every run has.
USUAL: Mapping[str, Any] = {"per_channel": True, "calibration_images": 256, "overrides": {}}
RENAMED = {"quantizers_only": "train-quantizers-only"}
OPTIONS = {field.name for field in fields(TrainOptions)} - {"bwrf", "overrides", "init"}


@dataclass(frozen=True)
class TrainCommand:
    """A command, and what it cannot say.

    Attributes:
        text: the command, quoted for a shell.
        unsaid: settings of the run that `hwsim train` has no option for, as `name = value`.
    """

    text: str
    unsaid: tuple[str, ...]


def train_command(config: Mapping[str, Any], seeds: Iterable[int]) -> TrainCommand:
    """Return the command that trains a configuration, as run records hold it, with these seeds.

    Every setting is given, whatever the recipes of a later version are. A run that started from the float run of its
    seed gets that by default.
    """
    words = ["hwsim", "train"]
    for name, value in config.items():
        words += _words(name, value)
    words.append("--seeds=" + ",".join(map(str, seeds)))
    unsaid = [f"{name} = {json.dumps(config[name])}" for name in USUAL if config.get(name, USUAL[name]) != USUAL[name]]
    return TrainCommand(shlex.join(words), tuple(unsaid))


def _words(name: str, value: Any) -> Iterator[str]:
    if name == "bwrf" and value is not None:
        yield "--bwrf"
        yield from (f"--bwrf-{_dashed(key)}={_text(entry)}" for key, entry in value.items() if entry)
    elif name == "first_last_bits":
        yield f"--first-last={'same' if value is None else value}"
    elif name == "init" and value and "-float-s" not in str(value):
        yield f"--init={value}"
    elif name in ("model_options", "weight_options", "activation_options"):
        option = _dashed(name.removesuffix("s"))
        yield from (f"--{option}={key}={json.dumps(entry)}" for key, entry in value.items())
    elif name == "multiplier" and value:
        yield from (f"--multiplier={choice}" for choice in value)
    elif (name in OPTIONS or name in RENAMED) and name != "seed" and value not in (None, False, []):
        option = RENAMED.get(name, _dashed(name))
        yield f"--{option}" if value is True else f"--{option}={_text(value)}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

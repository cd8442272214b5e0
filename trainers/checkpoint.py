"""The state of an unfinished run in one file."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD

from trainers import processes
from trainers.averaging import Average
from trainers.guard import Guard
from trainers.model_file import read_header, read_tensors, write_tensors
from trainers.models.weights import fillable
from trainers.objective import Objective
from trainers.record import versions

HEADER = "hwsim.checkpoint"


@dataclass
class State:
    """Where a run stands: before step `step` of epoch `epoch` (steps count from 0, epochs from 1)."""

    model: nn.Module
    objective: Objective
    optimizer: SGD
    losses: Tensor  #: Loss of each step of the epoch, float64[steps].
    correct: Tensor  #: Training images classified correctly in each step of the epoch, int64[steps].
    guard: Guard  #: What watches the losses.
    average: Average | None = None  #: The average of the weights, if the run has one.
    epoch: int = 1
    step: int = 0
    curves: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  #: Wall-clock time spent so far, over all attempts.


class Checkpoints:
    """Saves a run's state to one file now and then, and brings it back."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.interval = seconds
        self.last = time.monotonic()
        self.good: str | None = None

    @property
    def last_good(self) -> str:
        """What an error says of the last state that was saved."""
        return f"the last good checkpoint is {self.good}" if self.good else "no checkpoint was saved before"

    def due(self) -> bool:
        """Whether the state was last saved long enough ago."""
        return time.monotonic() - self.last >= self.interval

    def save(self, state: State) -> None:
        """Replace the file by the present state, at once or not at all; of several processes the first one does."""
        now = time.monotonic()
        state.seconds += now - self.last
        self.last = now
        position = {name: getattr(state, name) for name in ("epoch", "step", "curves", "seconds")}
        header = {HEADER: json.dumps({**position, "versions": versions()})}
        if processes.is_first():
            write_tensors(self.path, _tensors(state), header)
        self._note(state)

    def restore(self, state: State) -> None:
        """Bring the state to where the file left it, if there is a file.

        Raises:
            ValueError: the file is damaged, is that of another network, or was written with other versions of the
                libraries (results would mix).
        """
        if not self.path.exists():
            return
        tensors, metadata = read_tensors(self.path)
        position = _position(self.path, metadata)
        _check_versions(self.path, position.pop("versions", {}))
        _check_network(self.path, state.model, tensors)
        for name, value in position.items():
            setattr(state, name, value)
        _load(state, tensors)
        self._note(state)

    def _note(self, state: State) -> None:
        self.good = f"{self.path}, before step {state.step + 1} of epoch {state.epoch}"


def read_position(path: Path) -> dict[str, Any]:
    """Return where a checkpoint stands: epoch, step, curves and seconds; its tensors are not read.

    Raises:
        ValueError: the file is damaged, is no checkpoint, or was written with other versions of the libraries.
    """
    position = _position(path, read_header(path))
    _check_versions(path, position.pop("versions", {}))
    return position


def _position(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if HEADER not in metadata:
        raise ValueError(f"{path} is no checkpoint: it has no {HEADER} in its header")
    position: dict[str, Any] = json.loads(metadata[HEADER])
    return position


def _tensors(state: State) -> dict[str, Tensor]:
    tensors = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average.{name}": value for name, value in state.average.model.state_dict().items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items() if value is not None}
    return {**tensors, "epoch.losses": state.losses, "epoch.correct": state.correct}


@torch.no_grad()
def _load(state: State, tensors: dict[str, Tensor]) -> None:
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}, "epoch": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    state.model.load_state_dict(parts["model"])
    if state.average is not None:
        state.average.model.load_state_dict(parts["average"])
    slots: dict[int, dict[str, Any]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition(".")
        slots.setdefault(int(index), {})[key] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": slots, "param_groups": groups})
    state.losses.copy_(parts["epoch"]["losses"])
    state.correct.copy_(parts["epoch"]["correct"])


def _check_network(path: Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    there = {name: tuple(value.shape) for name, value in tensors.items() if name.startswith("model.")}
    wanted = fillable({f"model.{name}": tuple(value.shape) for name, value in model.state_dict().items()}, there)
    for name in sorted(wanted.keys() | there.keys()):
        old, new = there.get(name, "none"), wanted.get(name, "none")
        if old != new:
            raise ValueError(
                f"{path} is of another network: {name} has shape {old} there, {new} here; "
                "remove the folder to start over"
            )


def _check_versions(path: Path, there: dict[str, str]) -> None:
    for name, version in versions().items():
        found = there.get(name, "of unknown version")
        if found != version:
            raise ValueError(
                f"{path} was written with {name} {found}, this is {version}: a run must end with "
                "the versions it began with; go back to them, or remove the folder to start over"
            )

"""What trainings would do: checked as they check it themselves, with nothing trained and nothing written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.files import check_folder, read_json
from trainers.checkpoint import read_position
from trainers.config import TrainConfig
from trainers.hardware import table_hashes
from trainers.loop import starting_weights, usable_device
from trainers.quantizers_only import training_data
from trainers.run_folder import CHECKPOINT, RECORD, file_sha256, state_of
from trainers.study import check_design, check_fits


@dataclass(frozen=True)
class RunPlan:
    """One training that would run, go on, or be found finished.

    Attributes:
        run: its name.
        folder: its folder.
        state: what is in the folder: a "finished" run, an "unfinished" one, or nothing, "new".
        epochs: of the whole run.
        steps: gradient steps of the whole run.
        steps_left: those that are not done.
        seconds: how long they may take, as the run itself or like runs beside it took; None: nothing is known.
    """

    run: str
    folder: Path
    state: str
    epochs: int
    steps: int
    steps_left: int
    seconds: float | None


def plan_runs(configs: Sequence[TrainConfig], out: Path) -> list[RunPlan]:
    """Return what each of the runs would do, in their order, below a folder that stays as it is.

    A run may start from one that comes before it in the list.

    Raises:
        ValueError, OSError: one of them would be refused, with what it would say.
    """
    timings, coming = known_timings(out), set[str]()
    plans = []
    for config in configs:
        plans.append(plan_run(config, out / config.run_id, coming, timings))
        coming.add(config.run_id)
    return plans


def plan_run(
    config: TrainConfig, folder: Path, coming: Collection[str] = (), timings: Sequence[Mapping[str, Any]] = ()
) -> RunPlan:
    """Return what one run would do.

    coming: names of runs that would be trained before it. timings: as `known_timings` has them.

    Raises:
        ValueError, OSError: it would be refused, or its folder cannot be written.
    """
    check_folder(folder)
    check_design(config)
    check_fits(config)
    usable_device(config)
    dataset = training_data(config)
    hashes = {"data_sha256": dataset.sha256, **_init_hash(config, folder, coming), **table_hashes(config)}
    state = state_of(folder, config, hashes)
    steps_an_epoch = -(-len(dataset.train_labels) // config.batch_size)
    steps = config.epochs * steps_an_epoch
    done, spent = (steps, 0.0) if state == "finished" else (0, 0.0)
    if state == "unfinished":
        position = read_position(folder / CHECKPOINT)
        done, spent = (position["epoch"] - 1) * steps_an_epoch + position["step"], position["seconds"]
    pace = spent / done if spent and done else _seconds_a_step(config, steps_an_epoch, timings)
    seconds = None if pace is None and done < steps else (pace or 0.0) * (steps - done)
    return RunPlan(config.run_id, folder, state, config.epochs, steps, steps - done, seconds)


def known_timings(out: Path) -> list[Mapping[str, Any]]:
    """Return the records of finished runs below a folder, by which others can be timed."""
    return [read_json(path) for path in sorted(out.glob(f"*/{RECORD}"))]


def _init_hash(config: TrainConfig, folder: Path, coming: Collection[str]) -> dict[str, str | None]:
    """Return the hash of the weights that a run starts from; nothing if they are still to be trained."""
    try:
        init = starting_weights(config, folder)
    except FileNotFoundError:
        if config.init in coming:
            return {}
        raise
    return {"init_sha256": file_sha256(init) if init else None}


def _seconds_a_step(config: TrainConfig, steps_an_epoch: int, timings: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the mean time of a step in the runs most alike; None without any of the data, network and batch size."""
    same = ("data", "model", "model_options", "batch_size", "device")
    wanted = config.to_dict()
    alike = [record for record in timings if all(record["config"].get(name) == wanted[name] for name in same)]
    for names in (("weights", "activations", "bits", "bwrf"), ("weights", "bwrf")):
        kind = [record for record in alike if all(record["config"].get(name) == wanted[name] for name in names)]
        if kind:
            steps = sum(record["config"]["epochs"] * steps_an_epoch for record in kind)
            return sum(float(record["volatile"]["wall_s"]) for record in kind) / int(steps)
    return None

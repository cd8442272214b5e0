"""The training loop, from top to bottom.

A run killed at any moment continues when started again with the same configuration, and ends with the same record
as an undisturbed one.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from trainers.augment import AUGMENTATIONS
from trainers.bwrf import BlockReplacement
from trainers.checkpoint import Checkpoints, State
from trainers.config import TrainConfig
from trainers.data import Dataset, load_dataset
from trainers.evaluate import as_inputs, count_correct
from trainers.hardware import as_trained, table_hashes
from trainers.model_file import load_model, read_tensors, save_model
from trainers.models import make_model
from trainers.models.residual import load_weights
from trainers.objective import Objective, TaskObjective
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.progress import Progress, Silent
from trainers.quantize import quantize
from trainers.quantizers import Quantizer
from trainers.quantizers.ewgs import estimate_deltas
from trainers.record import TrainedRun, make_record
from trainers.run_folder import (
    CHECKPOINT,
    FLOAT_WEIGHTS,
    QUANTIZED_WEIGHTS,
    RECORD,
    claim,
    file_sha256,
    find_init,
    locked,
    read_json,
)
from trainers.schedule import SCHEDULES
from trainers.seeding import epoch_order, reproducible, seed_step


def train(config: TrainConfig, run_dir: str | Path, progress: Progress | None = None) -> TrainedRun:
    """Train one network in its own folder, or return the finished run or continue the unfinished one that is there.

    The trained weights are `float.safetensors` or, of a quantized network, `model.safetensors`. The record is not yet
    written: call `trainers.record.finish` when all that belongs into it is known.

    Raises:
        ValueError: the folder holds a run with another configuration or is in use, or the loss is not finite.
        FileNotFoundError: the data or the initial weights are missing.
    """
    folder = Path(run_dir)
    dataset = load_dataset(config.data, config.data_dir)
    init = find_init(config.init, folder) if config.init else None
    with locked(folder), reproducible(config.seed, config.threads):
        hashes = {"data_sha256": dataset.sha256, "init_sha256": file_sha256(init) if init else None}
        claim(folder, config, hashes | table_hashes(config))
        weights = folder / (QUANTIZED_WEIGHTS if config.is_quantized else FLOAT_WEIGHTS)
        if (folder / RECORD).exists():
            return TrainedRun(config, folder, load_model(weights).eval(), dataset, read_json(folder / RECORD), True)
        model, correct = starting_model(config, dataset, init)
        state = new_state(config, model, make_objective(config, model, init), len(dataset.train_labels))
        checkpoints = Checkpoints(folder / CHECKPOINT, config.checkpoint_seconds)
        checkpoints.restore(state)
        with as_trained(model, config):
            while state.epoch <= config.epochs:
                run_epoch(state, config, dataset, checkpoints)
                close_epoch(state, config, dataset)
                checkpoints.save(state)
                (progress or Silent()).update(state.epoch - 1, config.epochs, state.curves[-1])
            correct["qat" if config.is_quantized else "float"] = count_correct(model, dataset)
        save_model(weights, model, config)
        record = make_record(config, dataset, correct, state.curves, state.seconds)
        return TrainedRun(config, folder, model.eval(), dataset, record, False)


def starting_model(config: TrainConfig, dataset: Dataset, init: Path | None) -> tuple[nn.Module, dict[str, int]]:
    """Return the network before its first step, and the float network's right answers if it was trained before."""
    model = make_model(config.model, **config.model_options)
    correct = {}
    if init:
        load_weights(model, read_tensors(init)[0])
    if init and config.is_quantized:
        correct["float"] = count_correct(model, dataset)
    if config.is_quantized:
        model = quantize(model, config.quantization, calibration_batch(config, dataset))
    return model.train(), correct


def calibration_batch(config: TrainConfig, dataset: Dataset) -> Tensor:
    """Return the training images that the scales start from, as network inputs."""
    order = epoch_order(config.seed, 0, len(dataset.train_labels))
    return as_inputs(torch.from_numpy(dataset.train_images)[order[: config.calibration_images]], dataset)


def make_objective(config: TrainConfig, model: nn.Module, init: Path | None) -> Objective:
    """Return what training descends: the cross-entropy, or with BWRF its sum with what float stages add.

    Raises:
        ValueError: BWRF is asked for without trained float weights, or the network cannot be cut into the stages.
    """
    if config.bwrf is None:
        return TaskObjective(model)
    if init is None:
        raise ValueError("BWRF needs trained float weights to start from, init names none")
    full = make_model(config.model, **config.model_options)
    load_weights(full, read_tensors(init)[0])
    return BlockReplacement(model, full, config.bwrf)


def new_state(config: TrainConfig, model: nn.Module, objective: Objective, images: int) -> State:
    """Return the state before the first step."""
    steps = -(-images // config.batch_size)
    optimizer = make_optimizer(model, config.momentum, config.weight_decay)
    losses, correct = torch.zeros(steps, dtype=torch.float64), torch.zeros(steps, dtype=torch.int64)
    return State(model, objective, optimizer, losses, correct)


def run_epoch(state: State, config: TrainConfig, dataset: Dataset, checkpoints: Checkpoints) -> None:
    """Train for what is left of one epoch."""
    for module in state.model.modules():
        if isinstance(module, Quantizer):
            module.begin_epoch(state.epoch - 1, config.epochs)
    images, labels = torch.from_numpy(dataset.train_images), torch.from_numpy(dataset.train_labels)
    batches = torch.split(epoch_order(config.seed, state.epoch, len(labels)), config.batch_size)
    while state.step < len(batches):
        chosen = batches[state.step]
        generator = seed_step(config.seed, state.epoch, state.step)
        x = as_inputs(AUGMENTATIONS[config.augment](images[chosen], generator), dataset)
        set_learning_rate(state.optimizer, learning_rate(config, state.epoch, state.step, len(batches)))
        if state.step == 0:
            estimate_deltas(state.model, x, labels[chosen])
        train_step(state, x, labels[chosen])
        if checkpoints.due():
            check_losses(state)
            checkpoints.save(state)
    check_losses(state)


def train_step(state: State, x: Tensor, labels: Tensor) -> None:
    """Take one step of gradient descent on the objective."""
    loss, logits = state.objective(x, labels)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.losses[state.step] = loss.detach()
    state.correct[state.step] = (logits.argmax(1) == labels).sum()
    state.step += 1


def learning_rate(config: TrainConfig, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate of one step, of `steps` an epoch; epochs count from 1, steps from 0."""
    done = ((epoch - 1) * steps + step) / (config.epochs * steps)
    return config.lr * SCHEDULES[config.schedule](done)


def check_losses(state: State) -> None:
    """Stop a run that has lost its way, before its state replaces a good checkpoint.

    Raises:
        ValueError: the loss of a step is NaN or infinite.
    """
    bad = (~state.losses[: state.step].isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        raise ValueError(
            f"the loss became {float(state.losses[step])} in step {step + 1} of epoch {state.epoch}; "
            "lower the learning rate, or start from trained weights"
        )


def close_epoch(state: State, config: TrainConfig, dataset: Dataset) -> None:
    """Add the epoch to the curves and move on to the next.

    Losses and accuracies are means over images, the training ones over the epoch's steps as they were taken; the
    learning rate is the first step's. The objective may add its own.
    """
    images, steps = len(dataset.train_labels), len(state.losses)
    sizes = torch.full((steps,), config.batch_size, dtype=torch.float64)
    sizes[-1] = images - config.batch_size * (steps - 1)
    state.curves.append(
        {
            "epoch": state.epoch,
            "loss": float((state.losses * sizes).sum()) / images,
            "train_accuracy": int(state.correct.sum()) / images,
            "test_accuracy": count_correct(state.model, dataset) / len(dataset.test_labels),
            "lr": learning_rate(config, state.epoch, 0, steps),
            **state.objective.measure(dataset),
        }
    )
    state.epoch, state.step = state.epoch + 1, 0

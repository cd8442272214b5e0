"""The training loop, from top to bottom.

A run killed at any moment continues when started again with the same configuration, and ends with the same record
as an undisturbed one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from hwsim.files import read_json
from trainers import processes
from trainers.augment import AUGMENTATIONS
from trainers.budget import layer_macs, parse_budget
from trainers.bwrf import BlockReplacement
from trainers.checkpoint import Checkpoints, State
from trainers.config import TrainConfig
from trainers.data import Data
from trainers.diagnosis import bad_state, first_not_finite
from trainers.evaluate import as_inputs, count_correct
from trainers.hardware import as_trained, table_hashes
from trainers.learned_bits import BudgetObjective, keep_within_budget
from trainers.model_file import load_model, save_model
from trainers.models import make_model
from trainers.models.weights import load_weights
from trainers.objective import Distillation, Objective, TaskObjective
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.progress import Progress, Silent
from trainers.progressive import hand_over, load_previous, plain_state
from trainers.quantize import quantize
from trainers.quantizers import Quantizer
from trainers.quantizers.ewgs import estimate_deltas
from trainers.quantizers_only import answered, freeze_weights, set_mode, training_data
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
)
from trainers.schedule import factor
from trainers.seeding import epoch_order, reproducible, seed_step
from trainers.shard import sharing
from trainers.shared_layers import shared_layers
from trainers.weight_file import read_weights


def train(config: TrainConfig, run_dir: str | Path, progress: Progress | None = None) -> TrainedRun:
    """Train one network in its own folder, or return the finished run or continue the unfinished one that is there.

    The trained weights are `float.safetensors` or, of a quantized network, `model.safetensors`. The record is not yet
    written: call `trainers.record.finish` when all that belongs into it is known.

    Raises:
        ValueError: the folder holds a run with another configuration or is in use, or the loss is not finite.
        FileNotFoundError: the data or the initial weights are missing.
    """
    folder = Path(run_dir)
    dataset = training_data(config)
    init = starting_weights(config, folder)
    with locked(folder), reproducible(config.seed, config.threads):
        hashes = {"data_sha256": dataset.sha256, "init_sha256": file_sha256(init) if init else None}
        is_finished = processes.on_first(lambda: claim(folder, config, hashes | table_hashes(config)))
        processes.check_same("files", hashes)
        weights = folder / (QUANTIZED_WEIGHTS if config.is_quantized else FLOAT_WEIGHTS)
        if is_finished:
            return TrainedRun(config, folder, load_model(weights).eval(), dataset, read_json(folder / RECORD), True)
        model = starting_model(config, dataset, init)
        objective = within_budget(config, model, make_objective(config, model, init), dataset)
        objective = processes.shared_objective(objective, model)
        state = new_state(config, model, objective, len(dataset.train_labels))
        source = answered(dataset, float_network(config, init)) if config.quantizers_only else dataset
        checkpoints = Checkpoints(folder / CHECKPOINT, config.checkpoint_seconds)
        checkpoints.restore(state)
        processes.check_same("position (epoch, step)", (state.epoch, state.step))
        watcher = progress if progress and processes.is_first() else Silent()
        with as_trained(model, config), shared_layers(model):
            while state.epoch <= config.epochs:
                run_epoch(state, config, source, checkpoints, watcher)
                keep_within_budget(state.objective, is_over=state.epoch == config.epochs)
                close_epoch(state, config, source)
                checkpoints.save(state)
                watcher.update(state.epoch - 1, config.epochs, state.curves[-1])
            correct = right_answers(config, dataset, model, init)
        processes.on_first(lambda: save_model(weights, model, config))
        processes.gather_broken(dataset)
        record = make_record(config, dataset, correct, state.curves, state.seconds)
        return TrainedRun(config, folder, model.eval(), dataset, record, False)


def starting_weights(config: TrainConfig, run_dir: Path) -> Path | None:
    """Return the file that a run starts from: float weights or, of a progressive run, a quantized network.

    Raises:
        ValueError: the run needs such a file and names none.
        FileNotFoundError: it names one that does not exist.
    """
    if config.init is not None:
        return find_init(config.init, run_dir, QUANTIZED_WEIGHTS if config.progressive else FLOAT_WEIGHTS)
    for name in ("progressive", "quantizers_only"):
        if getattr(config, name):
            raise ValueError(f"{name} training needs trained weights to start from, init names none")
    return None


def starting_model(config: TrainConfig, dataset: Data, init: Path | None) -> nn.Module:
    """Return the network before its first step."""
    previous = load_previous(init, config) if init and config.progressive else None
    model = float_network(config, None if previous else init)
    if previous:
        load_weights(model, plain_state(previous))
    if config.is_quantized:
        model = quantize(model, config.quantization, calibration_batch(config, dataset), verbose=False)
    if previous:
        hand_over(previous, model)
    if config.quantizers_only:
        freeze_weights(model)
    return model.train()


def right_answers(config: TrainConfig, dataset: Data, model: nn.Module, init: Path | None) -> dict[str, int]:
    """Return how many test images the trained network answers correctly and, if it starts from one, the float network.

    The float network's answers before a progressive run are those of the record beside `init`, if there is one.
    """
    if not config.is_quantized:
        return {"float": count_correct(model, dataset)}
    before: dict[str, int] = {}
    if init and config.progressive:
        record = init.parent / RECORD
        counts = read_json(record)["counts"] if record.exists() else {}
        before = {"float": counts["float_correct"]} if "float_correct" in counts else {}
    elif init:
        before = {"float": count_correct(float_network(config, init), dataset)}
    return {**before, "qat": count_correct(model, dataset)}


def float_network(config: TrainConfig, init: Path | None) -> nn.Module:
    """Return the float network with the weights of `init`, or with random ones."""
    model = make_model(config.model, **config.model_options)
    if init:
        load_weights(model, read_weights(init))
    return model


def calibration_batch(config: TrainConfig, dataset: Data) -> Tensor:
    """Return the training images that the scales start from, as network inputs."""
    order = epoch_order(config.seed, 0, len(dataset.train_labels))[: config.calibration_images]
    images, _ = next(dataset.train_batches([order.numpy()], config.seed, 0))
    return as_inputs(torch.from_numpy(images), dataset)


def make_objective(config: TrainConfig, model: nn.Module, init: Path | None) -> Objective:
    """Return what training descends: the cross-entropy, or with BWRF its sum with what float stages add.

    Quantizers that learn alone descend the divergence from the float network.

    Raises:
        ValueError: BWRF is asked for without trained float weights, or the network cannot be cut into the stages.
    """
    if config.quantizers_only:
        return Distillation(model, float_network(config, init))
    if config.bwrf is None:
        return TaskObjective(model, config.label_smoothing)
    if init is None:
        raise ValueError("BWRF needs trained float weights to start from, init names none")
    return BlockReplacement(model, float_network(config, init), config.bwrf, config.label_smoothing)


def within_budget(config: TrainConfig, model: nn.Module, objective: Objective, dataset: Data) -> Objective:
    """Return the objective, with the term of a budget of bits if the run has one.

    Raises:
        ValueError: the budget is out of reach.
    """
    if config.budget is None:
        return objective
    macs = layer_macs(float_network(config, None), dataset.image_shape)
    return BudgetObjective(objective, model, parse_budget(config.budget), macs)


def new_state(config: TrainConfig, model: nn.Module, objective: Objective, images: int) -> State:
    """Return the state before the first step.

    Raises:
        ValueError: there are more processes than images in a batch.
    """
    processes.check_batches(images, config.batch_size)
    steps = -(-images // config.batch_size)
    optimizer = make_optimizer(model, config.momentum, config.weight_decay, nesterov=config.nesterov)
    losses, correct = torch.zeros(steps, dtype=torch.float64), torch.zeros(steps, dtype=torch.int64)
    return State(model, objective, optimizer, losses, correct)


def run_epoch(state: State, config: TrainConfig, dataset: Data, checkpoints: Checkpoints, progress: Progress) -> None:
    """Train for what is left of one epoch.

    Raises:
        ValueError: the loss, a parameter or a statistic became NaN or infinite. No such state is saved.
    """
    set_mode(state.model, config.quantizers_only)
    for module in state.model.modules():
        if isinstance(module, Quantizer):
            module.begin_epoch(state.epoch - 1, config.epochs)
    keep_within_budget(state.objective, is_over=False)
    order = epoch_order(config.seed, state.epoch, len(dataset.train_labels))
    batches = [places.numpy() for places in torch.split(order, config.batch_size)]
    parts = [processes.own_places(places) for places in batches[state.step :]]
    for batch in dataset.train_batches(parts, config.seed, state.epoch):
        images, labels = map(torch.from_numpy, batch)
        generator = seed_step(config.seed, state.epoch, state.step)
        set_learning_rate(state.optimizer, learning_rate(config, state.epoch, state.step, len(batches)))
        with sharing(processes.own_shard(labels)), explained(checkpoints):
            x = as_inputs(AUGMENTATIONS[config.augment](images, generator), dataset)
            if state.step == 0:
                estimate_deltas(state.model, x, labels)
                set_mode(state.model, config.quantizers_only)
            train_step(state, x, labels)
            if checkpoints.due() or state.step == len(batches):
                check_state(state)
        is_saved = checkpoints.due()
        if is_saved:
            checkpoints.save(state)
        progress.step(state.epoch - 1 + state.step / len(batches), is_saved)


@contextmanager
def explained(checkpoints: Checkpoints) -> Iterator[None]:
    """Let a number that is not finite be an error that says how to go on."""
    try:
        yield
    except FloatingPointError as error:
        advice = "lower the learning rate, or start from trained weights"
        raise ValueError(f"{error}; {checkpoints.last_good}; {advice}") from error


def train_step(state: State, x: Tensor, labels: Tensor) -> None:
    """Take one step of gradient descent on the objective.

    Raises:
        FloatingPointError: the loss is NaN or infinite; no parameter has changed.
    """
    loss, logits = state.objective(x, labels)
    batch_loss, correct = processes.batch_results(loss, (logits.argmax(1) == labels).sum())
    if not bool(batch_loss.isfinite()):
        place = f"step {state.step + 1} of epoch {state.epoch}"
        cause = first_not_finite(state.model, x) or "the loss itself"
        raise FloatingPointError(f"the loss became {batch_loss.item()} in {place}; first not finite is {cause}")
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.losses[state.step] = batch_loss
    state.correct[state.step] = correct
    state.step += 1


def learning_rate(config: TrainConfig, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate of one step, of `steps` an epoch; epochs count from 1, steps from 0."""
    return config.lr * factor(config.schedule, config.plan, (epoch - 1) * steps + step, steps)


def check_state(state: State) -> None:
    """Check that what the last step left can be gone on with, before it is saved.

    Raises:
        FloatingPointError: a parameter or a statistic is NaN or infinite.
    """
    name = bad_state(state.model)
    if name is not None:
        raise FloatingPointError(f"{name} is not finite after step {state.step} of epoch {state.epoch}")


def close_epoch(state: State, config: TrainConfig, dataset: Data) -> None:
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

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
from trainers.acceleration import accelerated
from trainers.augment import AUGMENTATIONS
from trainers.averaging import Average
from trainers.budget import layer_macs, parse_budget
from trainers.bwrf import BlockReplacement
from trainers.checkpoint import Checkpoints, State
from trainers.config import TrainConfig
from trainers.data import Data
from trainers.device import device_of, open_device, placed
from trainers.diagnosis import bad_state
from trainers.evaluate import as_inputs, count_correct
from trainers.feed import Feed
from trainers.guard import STEPS_BETWEEN_LOOKS, Guard
from trainers.hardware import as_trained, table_hashes
from trainers.layers import followed_values
from trainers.learned_bits import BudgetObjective, keep_within_budget
from trainers.model_file import load_model, save_model
from trainers.models import make_model
from trainers.models.weights import load_weights
from trainers.objective import Distillation, Objective, TaskObjective
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.progress import Progress, Several, Silent
from trainers.progressive import hand_over, load_previous, plain_state
from trainers.quantize import quantize
from trainers.quantizers import Quantizer
from trainers.quantizers.ewgs import estimate_deltas
from trainers.quantizers_only import answered, freeze_weights, set_mode, training_data
from trainers.record import TrainedRun, make_record
from trainers.run_folder import (
    AVERAGE_WEIGHTS,
    CHECKPOINT,
    FLOAT_WEIGHTS,
    QUANTIZED_WEIGHTS,
    RECORD,
    TENSORBOARD,
    claim,
    file_sha256,
    find_init,
    locked,
)
from trainers.schedule import factor
from trainers.seeding import epoch_order, reproducible, seed_step
from trainers.shard import sharing
from trainers.shared_layers import shared_layers
from trainers.tensorboard import TensorBoard, check_tensorboard
from trainers.weight_file import read_weights


def train(config: TrainConfig, run_dir: str | Path, progress: Progress | None = None) -> TrainedRun:
    """Train one network in its own folder, or return the finished run or continue the unfinished one that is there.

    The trained weights are `float.safetensors` or, of a quantized network, `model.safetensors`, and their average, if
    the run has one, `average.safetensors`. The network ends on the CPU. The record is not yet written: call
    `trainers.record.finish` when all that belongs into it is known.

    Raises:
        ValueError: the folder holds a run with another configuration or is in use, the loss is not finite, or the
            device or the package that is asked for is not there.
        FileNotFoundError: the data or the initial weights are missing.
    """
    folder, device = Path(run_dir), usable_device(config)
    dataset = training_data(config)
    init = starting_weights(config, folder)
    with locked(folder), reproducible(config.seed, config.threads):
        hashes = {"data_sha256": dataset.sha256, "init_sha256": file_sha256(init) if init else None}
        is_finished = processes.on_first(lambda: claim(folder, config, hashes | table_hashes(config)))
        processes.check_same("files", hashes)
        weights = folder / (QUANTIZED_WEIGHTS if config.is_quantized else FLOAT_WEIGHTS)
        if is_finished:
            return TrainedRun(config, folder, load_model(weights).eval(), dataset, read_json(folder / RECORD), True)
        model = placed(starting_model(config, dataset, init), device, config.channels_last)
        objective = within_budget(config, model, make_objective(config, model, init), dataset)
        objective = accelerated(objective, device, bf16=config.bf16, compiled=config.compile)
        state = new_state(config, model, processes.shared_objective(objective, model), len(dataset.train_labels))
        source = answered(dataset, float_network(config, init)) if config.quantizers_only else dataset
        checkpoints = Checkpoints(folder / CHECKPOINT, config.checkpoint_seconds)
        checkpoints.restore(state)
        processes.check_same("position (epoch, step)", (state.epoch, state.step))
        watcher, feed = told(config, folder, progress, state.epoch), Feed(source, device)
        with as_trained(model, config), shared_layers(model):
            while state.epoch <= config.epochs:
                run_epoch(state, config, feed, checkpoints, watcher)
                keep_within_budget(state.objective, is_over=state.epoch == config.epochs)
                close_epoch(state, config, source)
                checkpoints.save(state)
                watcher.update(state.epoch - 1, config.epochs, state.curves[-1])
            correct = right_answers(config, dataset, state, init)
        processes.on_first(lambda: save_networks(weights, state, config))
        processes.gather_broken(dataset)
        record = make_record(config, dataset, correct, state.curves, state.seconds)
        return TrainedRun(config, folder, model.cpu().eval(), dataset, record, False)


def check_start(config: TrainConfig, run_dir: Path) -> None:
    """Check, before the run's folder is made, that what the run computes on and starts from is there.

    Raises:
        ValueError, FileNotFoundError: as `usable_device` and `starting_weights`.
    """
    usable_device(config)
    starting_weights(config, run_dir)


def usable_device(config: TrainConfig) -> torch.device:
    """Return the device that the run computes on, after checking that all that it asks of this machine is there.

    Raises:
        ValueError: something is not.
    """
    if config.tensorboard:
        check_tensorboard()
    if processes.count() > 1 and (config.device != "cpu" or config.compile):
        raise ValueError("several processes train one network on CPUs only, and not compiled")
    return open_device(config.device)


def told(config: TrainConfig, folder: Path, progress: Progress | None, epoch: int) -> Progress:
    """Return what is told how the run goes, from an epoch on; of several processes only the first one tells."""
    if not processes.is_first():
        return Silent()
    watchers = [progress] if progress else []
    return Several(*watchers, *([TensorBoard(folder / TENSORBOARD, epoch)] if config.tensorboard else []))


def save_networks(path: Path, state: State, config: TrainConfig) -> None:
    """Write the trained network, and its average beside it if there is one."""
    save_model(path, state.model, config)
    if state.average is not None:
        save_model(path.parent / AVERAGE_WEIGHTS, state.average.model, config)


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


def right_answers(config: TrainConfig, dataset: Data, state: State, init: Path | None) -> dict[str, int]:
    """Return how many test images are answered correctly: by the trained network, its average, and the float network.

    The last two are counted if there are such.

    The float network's answers before a progressive run are those of the record beside `init`, if there is one.
    """
    after = {"qat" if config.is_quantized else "float": count_correct(state.model, dataset)}
    if state.average is not None:
        after["average"] = count_correct(state.average.model, dataset)
    before: dict[str, int] = {}
    if init and config.progressive:
        record = init.parent / RECORD
        counts = read_json(record)["counts"] if record.exists() else {}
        before = {"float": counts["float_correct"]} if "float_correct" in counts else {}
    elif init and config.is_quantized:
        before = {"float": count_correct(float_network(config, init).to(device_of(state.model)), dataset)}
    return before | after


def float_network(config: TrainConfig, init: Path | None) -> nn.Module:
    """Return the float network with the weights of `init`, or with random ones."""
    model = make_model(config.model, **config.model_options)
    if init:
        load_weights(model, read_weights(init))
    return model


def calibration_batch(config: TrainConfig, dataset: Data) -> Tensor:
    """Return the training images that the scales start from, as network inputs.

    Raises:
        ValueError: none of them decodes.
    """
    order = epoch_order(config.seed, 0, len(dataset.train_labels))[: config.calibration_images]
    images, _ = next(dataset.train_batches([order.numpy()], config.seed, 0))
    if not len(images):
        raise ValueError(f"none of the {len(order)} training images that the scales start from decodes")
    return as_inputs(torch.from_numpy(images), dataset)


def make_objective(config: TrainConfig, model: nn.Module, init: Path | None) -> Objective:
    """Return what training descends: the cross-entropy, or with BWRF its sum with what float stages add.

    Quantizers that learn alone descend the divergence from the float network.

    Raises:
        ValueError: BWRF is asked for without trained float weights, or the network cannot be cut into the stages.
    """
    device = device_of(model)
    if config.quantizers_only:
        return Distillation(model, float_network(config, init).to(device))
    if config.bwrf is None:
        return TaskObjective(model, config.label_smoothing)
    if init is None:
        raise ValueError("BWRF needs trained float weights to start from, init names none")
    teacher = placed(float_network(config, init), device, config.channels_last)
    return BlockReplacement(model, teacher, config.bwrf, config.label_smoothing)


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
    device = device_of(model)
    losses = torch.zeros(steps, dtype=torch.float64, device=device)
    correct = torch.zeros(steps, dtype=torch.int64, device=device)
    fused = STEPS_BETWEEN_LOOKS[device.type] > 1 or None
    optimizer = make_optimizer(model, config.momentum, config.weight_decay, nesterov=config.nesterov, fused=fused)
    average = Average(model, config.average) if config.average is not None else None
    return State(model, objective, optimizer, losses, correct, Guard(model, optimizer, losses), average)


def run_epoch(state: State, config: TrainConfig, feed: Feed, checkpoints: Checkpoints, progress: Progress) -> None:
    """Train for what is left of one epoch.

    Raises:
        ValueError: the loss, a parameter or a statistic became NaN or infinite. No such state is saved.
    """
    set_mode(state.model, config.quantizers_only)
    for module in state.model.modules():
        if isinstance(module, Quantizer):
            module.begin_epoch(state.epoch - 1, config.epochs)
    keep_within_budget(state.objective, is_over=False)
    order = epoch_order(config.seed, state.epoch, len(feed.data.train_labels))
    batches = [places.numpy() for places in torch.split(order, config.batch_size)]
    parts = [processes.own_places(places) for places in batches[state.step :]]
    for images, labels in feed.batches(parts, config.seed, state.epoch):
        generator = seed_step(config.seed, state.epoch, state.step)
        set_learning_rate(state.optimizer, learning_rate(config, state.epoch, state.step, len(batches)))
        with sharing(processes.own_shard(labels)), explained(checkpoints):
            x = as_inputs(AUGMENTATIONS[config.augment](images, generator), feed.data)
            if config.channels_last:
                x = x.contiguous(memory_format=torch.channels_last)
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
    state.losses[state.step] = batch_loss
    state.correct[state.step] = correct
    state.guard.see(x, state.step, state.epoch)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.step += 1
    if state.average is not None:
        state.average.update(state.model, (state.epoch - 1) * len(state.losses) + state.step)


def learning_rate(config: TrainConfig, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate of one step, of `steps` an epoch; epochs count from 1, steps from 0."""
    return config.lr * factor(config.schedule, config.plan, (epoch - 1) * steps + step, steps)


def check_state(state: State) -> None:
    """Check that what the last step left can be gone on with, before it is saved.

    Raises:
        FloatingPointError: a loss, a parameter or a statistic is NaN or infinite.
    """
    state.guard.look(state.step - 1, state.epoch)
    name = bad_state(state.model)
    if name is not None:
        raise FloatingPointError(f"{name} is not finite after step {state.step} of epoch {state.epoch}")


def close_epoch(state: State, config: TrainConfig, dataset: Data) -> None:
    """Add the epoch to the curves and move on to the next.

    Losses and accuracies are means over images, the training ones over the epoch's steps as they were taken; the
    learning rate is the first step's. The objective and the quantizers may add their own.
    """
    images, steps, losses = len(dataset.train_labels), len(state.losses), state.losses.cpu()
    sizes = torch.full((steps,), config.batch_size, dtype=torch.float64)
    sizes[-1] = images - config.batch_size * (steps - 1)
    state.curves.append(
        {
            "epoch": state.epoch,
            "loss": float((losses * sizes).sum()) / images,
            "train_accuracy": int(state.correct.sum()) / images,
            "test_accuracy": count_correct(state.model, dataset) / len(dataset.test_labels),
            "lr": learning_rate(config, state.epoch, 0, steps),
            **average_accuracy(state, dataset),
            **state.objective.measure(dataset),
            **followed_values(state.model),
        }
    )
    state.epoch, state.step = state.epoch + 1, 0


def average_accuracy(state: State, dataset: Data) -> dict[str, float]:
    """Return the test accuracy of the averaged weights, if there are such."""
    if state.average is None:
        return {}
    return {"average_accuracy": count_correct(state.average.model, dataset) / len(dataset.test_labels)}

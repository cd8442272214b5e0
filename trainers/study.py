"""One design from training to record: train, export to integers, check the promises, count the cost."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwsim.choices import parse_choices
from hwsim.cost import CostTable, network_cost, workload_cost
from hwsim.executor import worker_pool
from hwsim.network import Network
from hwsim.network_file import save_network
from trainers import processes
from trainers.config import TrainConfig
from trainers.data import open_data
from trainers.evaluate import evaluation_batches
from trainers.export import export, layer_multiplier
from trainers.hardware import as_trained, export_config
from trainers.layers import quant_layers
from trainers.learned_bits import learned_widths, learning_quantizers
from trainers.loop import check_start, train
from trainers.models import make_model
from trainers.progress import Progress
from trainers.promises import ExportCheck, check_batches
from trainers.quantize import swap_layers
from trainers.record import TrainedRun, finish
from trainers.run_folder import locked
from trainers.stages import cut, stage_names
from trainers.trace import trace_workload

NETWORK = "network.safetensors"
CHECK_BATCH, CHECK_PIXELS = 256, 2**20  #: Images that the check of an export takes at a time, and their pixels.


def run_design(
    config: TrainConfig,
    run_dir: str | Path,
    progress: Progress | None = None,
    on_check: Callable[[ExportCheck], None] | None = None,
) -> dict[str, Any]:
    """Return the record of one design, computed or continued or, if it is finished, read.

    A quantized design leaves its integer network beside the record. on_check is called with the promises' check when
    the network has just been exported.

    Raises:
        ValueError, FileNotFoundError: as `train` and `export`.
    """
    check_design(config)
    check_fits(config)
    check_start(config, Path(run_dir))
    with locked(Path(run_dir)):
        run = train(config, run_dir, progress)
        return run.record if run.is_finished else processes.on_first(lambda: complete(run, on_check))


def complete(run: TrainedRun, on_check: Callable[[ExportCheck], None] | None = None) -> dict[str, Any]:
    """Export, check and count a trained run, write its record, and return that."""
    if not run.config.is_quantized:
        return finish(run, {"cost": float_cost(run).rows()})
    network = export_run(run)
    check = check_run(run, network)
    if on_check:
        on_check(check)
    save_network(network, run.run_dir / NETWORK)
    learned = {"bits": learned_widths(run.model)} if learning_quantizers(run.model) else {}
    return finish(run, measurements(network, check, len(run.dataset.test_labels)) | learned)


def check_design(config: TrainConfig) -> None:
    """Check, before anything is trained, that the network can be built, quantized, exported and cut into stages.

    Raises:
        ValueError: a name, an option or a number is not one of those allowed; the message names it.
    """
    model = float_model(config)
    if config.is_quantized:
        layers = quant_layers(swap_layers(model, config.quantization, ()))
        parse_choices(config.multiplier or (), layers)
        for name, layer in layers.items():
            layer_multiplier(name, layer, export_config(config))
    if config.bwrf is not None:
        cut(model, stage_names(model, config.bwrf.stages))


def check_fits(config: TrainConfig) -> None:
    """Check that the network takes the data set's images and has an output for each of its classes.

    Raises:
        ValueError: it does not; or the data set is not known or not complete.
        FileNotFoundError: a file of the data set is missing.
    """
    dataset = open_data(config.data, config.data_dir)
    try:
        with torch.no_grad():
            outputs = float_model(config).eval()(torch.zeros(1, *dataset.image_shape))
    except RuntimeError as error:
        raise ValueError(
            f"{config.model} does not take the images of {config.data}, {dataset.image_shape}: {error}"
        ) from error
    if outputs.shape[1] < dataset.classes:
        raise ValueError(f"{config.model} has {outputs.shape[1]} outputs, {config.data} has {dataset.classes} classes")


def float_model(config: TrainConfig) -> nn.Module:
    """Return the network with some weights; the random numbers of this process stay untouched."""
    with torch.random.fork_rng(devices=[]):
        return make_model(config.model, **config.model_options)


def export_run(run: TrainedRun) -> Network:
    """Return the integer network of a trained run."""
    config = run.config
    origin = {"run_id": config.run_id, "data": config.data, "model": config.model, "design": config.design}
    return export(
        run.model, run.dataset.image_shape, export_config(config), config.run_id, {**origin, "seed": config.seed}
    )


def check_run(run: TrainedRun, network: Network) -> ExportCheck:
    """Check export's promises on all test images; fewer at a time where they are large, as all codes are kept."""
    _, height, width = run.dataset.image_shape
    size = min(CHECK_BATCH, max(CHECK_PIXELS // (height * width), 1))
    with as_trained(run.model, run.config):
        return check_batches(run.model, network, evaluation_batches(run.dataset, size=size))


def float_cost(run: TrainedRun) -> CostTable:
    """Return what the float network costs in 32-bit operations."""
    image = torch.empty(1, *run.dataset.image_shape, device="meta")
    return workload_cost(trace_workload(run.model, image, name=run.config.run_id))


def measurements(network: Network, check: ExportCheck, images: int) -> dict[str, Any]:
    """Return what simulation and counting add to a run's record.

    images: test images, of which those that were left out as broken count as answered wrongly; the agreement is of
    the images that were checked.
    """
    return {
        "accuracy": {"integer": check.integer_correct / images, "agreement": check.agreeing / check.images},
        "counts": {"integer_correct": check.integer_correct, "agree": check.agreeing},
        "export": {"laws_hold": check.laws_hold, "layers": [_layer(asdict(layer)) for layer in check.layers]},
        "cost": network_cost(network).rows(),
    }


def _layer(layer: dict[str, Any]) -> dict[str, Any]:
    return {**layer, "code_mismatch_share": layer["codes_differing"] / layer["codes"]}


def run_study(
    configs: Sequence[TrainConfig],
    folder: str | Path,
    workers: int = 1,
    on_done: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Return the records of many designs, in their order, each computed in its own folder by one of several processes.

    A quantized design starts from the run named by its `init`, so float designs run first, and progressive ones by the
    number of runs before them. on_done gets each record as soon as it is there.

    Raises:
        ValueError, FileNotFoundError: as `run_design`; what is finished stays finished.
        ChildProcessError: one of the processes was killed.
    """
    for config in configs:
        check_design(config)
    records = {}
    order = [len(config.progressive) + config.is_quantized for config in configs]
    for turn in sorted(set(order)):
        wave = [config for config, place in zip(configs, order, strict=True) if place == turn]
        for record in _run_wave(wave, Path(folder), workers):
            records[record["run_id"]] = record
            if on_done:
                on_done(record)
    return [records[config.run_id] for config in configs]


def _run_wave(configs: Sequence[TrainConfig], folder: Path, workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from (run_design(config, folder / config.run_id) for config in configs)
        return
    with worker_pool(workers) as pool:
        futures = [pool.submit(run_design, config, folder / config.run_id) for config in configs]
        for future in as_completed(futures):
            yield future.result()

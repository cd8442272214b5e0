"""One design from training to record: train, export to integers, check the promises, count the cost."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from hwsim.cost import CostTable, network_cost, workload_cost
from hwsim.network import Network
from hwsim.network_file import save_network
from trainers.config import TrainConfig
from trainers.evaluate import as_inputs
from trainers.export import ExportConfig, export
from trainers.loop import train
from trainers.progress import Progress
from trainers.promises import ExportCheck, check_export
from trainers.record import TrainedRun, finish
from trainers.trace import trace_workload

NETWORK = "network.safetensors"


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
    run = train(config, run_dir, progress)
    if run.is_finished:
        return run.record
    if not config.is_quantized:
        return finish(run, {"cost": float_cost(run).rows()})
    network = export_run(run)
    check = check_run(run, network)
    if on_check:
        on_check(check)
    save_network(network, run.run_dir / NETWORK)
    return finish(run, measurements(network, check))


def export_run(run: TrainedRun) -> Network:
    """Return the integer network of a trained run."""
    config = run.config
    hardware = ExportConfig(fraction_bits=config.fraction_bits, layout=config.layout)
    origin = {"run_id": config.run_id, "data": config.data, "model": config.model, "design": config.design}
    return export(run.model, run.dataset.image_shape, hardware, config.run_id, {**origin, "seed": config.seed})


def check_run(run: TrainedRun, network: Network) -> ExportCheck:
    """Check export's promises on all test images."""
    images = as_inputs(torch.from_numpy(run.dataset.test_images), run.dataset)
    return check_export(run.model, network, images, torch.from_numpy(run.dataset.test_labels))


def float_cost(run: TrainedRun) -> CostTable:
    """Return what the float network costs in 32-bit operations."""
    image = torch.empty(1, *run.dataset.image_shape, device="meta")
    return workload_cost(trace_workload(run.model, image, name=run.config.run_id))


def measurements(network: Network, check: ExportCheck) -> dict[str, Any]:
    """Return what simulation and counting add to a run's record."""
    return {
        "accuracy": {"integer": check.integer_correct / check.images, "agreement": check.agreeing / check.images},
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
    """Return the records of many designs, each in its own folder, computed by several processes at once.

    A quantized design starts from the run named by its `init`, so float designs run first. on_done gets each record.

    Raises:
        ValueError, FileNotFoundError: as `run_design`; what is finished stays finished.
    """
    records = []
    for wave in ([c for c in configs if not c.is_quantized], [c for c in configs if c.is_quantized]):
        for record in _run_wave(wave, Path(folder), workers):
            records.append(record)
            if on_done:
                on_done(record)
    return records


def _run_wave(configs: Sequence[TrainConfig], folder: Path, workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from (run_design(config, folder / config.run_id) for config in configs)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        futures = [pool.submit(run_design, config, folder / config.run_id) for config in configs]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)

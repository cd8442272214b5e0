"""Epochs of ResNet-20 on CIFAR-10's size on a GPU, alone and several at a time: `PYTHONPATH=. python train_gpu.py`.

Neither an installation nor the data set is needed: images and labels are random. An epoch is the training loop's own:
augmentation on the device, 391 steps of batch 128, the looks at the losses, the check of the state at its end; without
evaluation and checkpoints. What is compiled is compiled in an epoch that does not count. Several runs are processes on
one device that begin together; their ratio is the time until the last is done over the sum of as many single ones.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainers.acceleration import accelerated
from trainers.checkpoint import Checkpoints
from trainers.config import FLOAT, TrainConfig
from trainers.data import Dataset
from trainers.device import open_device, placed
from trainers.feed import Feed
from trainers.loop import make_objective, new_state, run_epoch, starting_model
from trainers.presets import PRESETS
from trainers.progress import Silent
from trainers.seeding import reproducible

CHOICES: dict[str, dict[str, Any]] = {
    "eager": {},
    "eager, bf16, channels last": {"bf16": True, "channels_last": True},
    "compiled": {"compile": True},
    "compiled, bf16, channels last": {"compile": True, "bf16": True, "channels_last": True},
}
TARGET_S = 0.6
TARGET_RATIO = 0.5


def random_images(count: int) -> Dataset:
    """Return random images of CIFAR-10's shape."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (count, 3, 32, 32), np.uint8), rng.integers(0, 10, count)
    return Dataset("cifar10", pixels, labels, pixels[:1], labels[:1], 10, (0.49, 0.48, 0.45), (0.2, 0.2, 0.2))


def epoch_seconds(config: TrainConfig, images: int, begin: Callable[[], object] = lambda: None) -> list[float]:
    """Return the time of each epoch but the first; `begin` is called before the second."""
    data, device, times = random_images(images), open_device(config.device), []
    with tempfile.TemporaryDirectory() as folder, reproducible(config.seed, config.threads):
        model = placed(starting_model(config, data, None), device, config.channels_last)
        objective = make_objective(config, model, None)
        objective = accelerated(objective, device, bf16=config.bf16, compiled=config.compile)
        state, feed = new_state(config, model, objective, images), Feed(data, device)
        checkpoints = Checkpoints(Path(folder) / "checkpoint.safetensors", 1e9)
        for epoch in range(1, config.epochs + 1):
            if epoch == 2:
                begin()
            start = time.perf_counter()
            state.epoch, state.step = epoch, 0
            run_epoch(state, config, feed, checkpoints, Silent())
            times.append(time.perf_counter() - start)
    return times[1:]


def in_process(config: TrainConfig, images: int, barrier: Any, results: Any) -> None:
    """Measure one of several runs and report the time of all its epochs."""
    results.put(sum(epoch_seconds(config, images, barrier.wait)))


def together(config: TrainConfig, images: int, runs: int) -> float:
    """Return the time that the last of several runs at a time takes for all its epochs but the first."""
    context = get_context("spawn")
    barrier, results = context.Barrier(runs), context.Queue()
    configs = [replace(config, seed=seed) for seed in range(runs)]
    processes = [context.Process(target=in_process, args=(each, images, barrier, results)) for each in configs]
    for process in processes:
        process.start()
    times = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return max(times)


def rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row per choice, and one of several runs at a time with the last choice."""
    recipe = replace(PRESETS["cifar10"][options.weights != FLOAT], weights=options.weights, lr=1e-3)
    recipe = replace(recipe, epochs=options.epochs + 1, device=options.device)
    found: list[dict[str, Any]] = []
    for name in options.choices or CHOICES:
        config = replace(recipe, **CHOICES[name])
        times = epoch_seconds(config, options.images)
        found.append({"row": name, "epoch_s": round(statistics.median(times), 3), "target": TARGET_S})
    if options.runs > 1:
        ratio = together(config, options.images, options.runs) / (options.runs * sum(times))
        found.append({"row": f"{options.runs} runs, {name}", "ratio": round(ratio, 3), "target": TARGET_RATIO})
    return found


def main() -> None:
    """Print one JSON object: the machine, and the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights", default=FLOAT, help="float, or a method for weights at 4 bits")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=5, help="epochs that count")
    parser.add_argument("--runs", type=int, default=8, help="runs at a time; 1: no such row")
    parser.add_argument("--choices", nargs="*", choices=CHOICES, help="rows (default: all)")
    options = parser.parse_args()
    on_gpu = torch.device(options.device).type == "cuda"
    name = torch.cuda.get_device_name(options.device) if on_gpu else "CPU"
    where = {"device": name, "torch": torch.__version__, "images": options.images, "weights": options.weights}
    print(json.dumps({"machine": where, "rows": rows(options)}, indent=1))


if __name__ == "__main__":
    main()

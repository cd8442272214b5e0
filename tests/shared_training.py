"""A few training steps in float64 by one process, or by several that share each batch: for `test_processes`."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers import loop, processes
from trainers.bwrf import BlockReplacement, BwrfConfig
from trainers.checkpoint import Checkpoints, State
from trainers.config import TrainConfig
from trainers.data import Data, Dataset, load_dataset
from trainers.evaluate import as_inputs, count_correct
from trainers.feed import Feed
from trainers.model_file import write_tensors
from trainers.models import make_model
from trainers.objective import Distillation, TaskObjective
from trainers.progress import Silent
from trainers.quantize import quantize
from trainers.quantizers_only import freeze_weights
from trainers.shared_layers import shared_layers

IMAGES = 146  #: Shared by two processes, batches of 63 become 32 + 31 images, and the last of 20 becomes 10 + 10.
BASE = TrainConfig(batch_size=63, epochs=2, lr=0.02, augment="crop_flip", first_last_bits=None)

#: Every way in which a step may look at a whole batch.
DESIGNS: dict[str, dict[str, Any]] = {
    "float": {},
    **{
        f"{weights}-{activations}": {"weights": weights, "activations": activations}
        for weights, activations in (
            *(("uniform", "lsq"), ("post", "asq"), ("lsq_plus", "lsq_plus"), ("dsq", "dsq"), ("ewgs", "ewgs")),
            *(("lq_nets", "lq_nets"), ("nipq", "nipq"), ("apot", "apot"), ("daq", "daq"), ("qil", "qil")),
            *(("dorefa", "pact"), ("sawb", "dorefa"), ("faq", "faq"), ("inq", "lsq")),
        )
    },
    "bwrf": {"weights": "uniform", "bwrf": BwrfConfig()},
    "budget": {"weights": "nipq", "budget": "bits=3"},
    "quantizers_only": {"weights": "uniform", "quantizers_only": True},
}


def take_steps(design: str) -> dict[str, Tensor]:
    """Return what one epoch leaves: the network's state, each step's loss and right answers, those on test images."""
    config = replace(BASE, **DESIGNS[design])
    whole = load_dataset("digits")
    dataset = replace(whole, train_images=whole.train_images[:IMAGES], train_labels=whole.train_labels[:IMAGES])
    torch.manual_seed(0)
    full = make_model(config.model)
    model = full
    if config.is_quantized:
        model = quantize(full, config.quantization, loop.calibration_batch(config, dataset).float())
    model, full = model.double().train(), full.double()
    objective: Any = TaskObjective(model)
    if config.bwrf:
        objective = BlockReplacement(model, full, config.bwrf)
    if config.quantizers_only:
        freeze_weights(model)
        objective = Distillation(model, full)
    objective = processes.shared_objective(loop.within_budget(config, model, objective, dataset), model)
    state = loop.new_state(config, model, objective, IMAGES)
    with shared_layers(model):
        loop.run_epoch(state, config, Feed(dataset, torch.device("cpu")), Checkpoints(Path("none"), 1e9), Silent())
    return results(state, dataset)


def results(state: State, dataset: Dataset) -> dict[str, Tensor]:
    """Return everything that is to be the same."""
    model = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    right = torch.tensor(count_correct(state.model, dataset))
    return {**model, "losses": state.losses, "correct": state.correct, "test": right}


def in_float64() -> None:
    """Let the loop's and the evaluation's inputs be float64."""

    def doubled(images: Tensor, dataset: Data) -> Tensor:
        return as_inputs(images, dataset).double()

    loop.as_inputs = doubled  # type: ignore[attr-defined]
    count_correct.__globals__["as_inputs"] = doubled


def main(rank: int, world: int, port: int, folder: Path, designs: Sequence[str]) -> None:
    """Be one of several processes, and write what each design leaves."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    in_float64()
    with processes.joined():
        for design in designs:
            write_tensors(folder / f"{design}-{rank}.safetensors", take_steps(design), {})

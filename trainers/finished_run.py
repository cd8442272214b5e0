"""What a finished run left: its quantized network, the float network that it started from, and the task's images."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.errors import check_integer
from hwsim.files import read_json
from trainers.config import FLOAT
from trainers.data import Data, open_data
from trainers.evaluate import EVALUATION_BATCH, evaluation_batches
from trainers.model_file import load_model
from trainers.models import make_model
from trainers.models.weights import load_weights
from trainers.run_folder import QUANTIZED_WEIGHTS, RECORD, find_init
from trainers.weight_file import read_weights

IMAGES = 128  #: How many test images are taken where no number is given, or all where there are fewer.


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """The networks of a run, both in eval mode, and its data set."""

    quantized: nn.Module
    full: nn.Module  #: The float network before the first step.
    data: Data

    def test_images(self, count: int | None = None) -> tuple[Tensor, Tensor]:
        """Return the first test images as network inputs, float32 `[count, C, H, W]`, and their labels, int64.

        Images of a folder that do not decode are left out, so then there may be fewer.

        Raises:
            ValueError: there are not so many test images.
        """
        known = len(self.data.test_labels)
        wanted = min(IMAGES, known) if count is None else count
        check_integer("images", wanted, 1, known, f", the test images of {self.data.name}")
        images, labels, found = [], [], 0
        for x, truth in evaluation_batches(self.data, size=min(wanted, EVALUATION_BATCH)):
            images.append(x[: wanted - found])
            labels.append(truth[: wanted - found])
            found += len(images[-1])
            if found == wanted:
                break
        return torch.cat(images), torch.cat(labels)


def open_run(folder: Path, data_dir: str | None = None) -> FinishedRun:
    """Return the networks and the data of a run.

    Args:
        folder: the run's: record, quantized weights; the float weights lie there or where the run found them.
        data_dir: folder of the data set's files, where the run's is not here.

    Raises:
        ValueError: the run is of a float network, did not start from float weights, was trained through product tables
            or accumulators, which its weights alone do not show, or a file is damaged or of other data.
        FileNotFoundError: a file is missing.
    """
    record_file, weights = folder / RECORD, folder / QUANTIZED_WEIGHTS
    if not record_file.is_file():
        raise FileNotFoundError(f"no finished run in {folder}: it has no {RECORD}")
    record = read_json(record_file)
    config = record["config"]
    _check(folder, config)
    if not weights.is_file():
        raise FileNotFoundError(f"no trained weights in {folder}: it has no {QUANTIZED_WEIGHTS}")
    full = make_model(config["model"], **config.get("model_options", {}))
    load_weights(full, read_weights(find_init(config["init"], folder)))
    data = _data(config["data"], data_dir or config.get("data_dir"), config.get("skip_broken", False))
    if data.sha256 != record.get("data_sha256", data.sha256):
        raise ValueError(f"{folder} was trained on other data than the {data.name} that is here")
    return FinishedRun(load_model(weights).eval(), full.eval(), data)


@lru_cache(maxsize=1)
def _data(name: str, data_dir: str | None, skip_broken: bool) -> Data:
    """Return the data set; runs that are opened one after the other mostly share it."""
    return open_data(name, data_dir, skip_broken)


def _check(folder: Path, config: Mapping[str, Any]) -> None:
    if config["weights"] == FLOAT:
        raise ValueError(f"{folder} holds a float network; a run of a quantized one is needed")
    if config.get("multiplier") or config.get("accumulator_bits") is not None:
        raise ValueError(f"{folder} was trained through product tables or accumulators, which its features would lack")
    if config.get("init") is None or config.get("progressive"):
        start = "a quantized network" if config.get("progressive") else "random weights"
        raise ValueError(f"{folder} started from {start}, so there is no float network to compare it with")

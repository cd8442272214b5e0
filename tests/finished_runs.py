"""Folders as finished runs leave them, of networks that were calibrated and not trained: made in a moment."""

from pathlib import Path
from typing import Any

import torch

from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.loop import calibration_batch
from trainers.model_file import save_model
from trainers.models import make_model
from trainers.quantize import quantize
from trainers.record import make_record, write_record
from trainers.run_folder import FLOAT_WEIGHTS, QUANTIZED_WEIGHTS, RECORD


def write_run(parent: Path, **changes: Any) -> Path:
    """Write a run on the digits and, beside it, the float network that it names as its start; return its folder."""
    config = TrainConfig(**{"init": "start", **changes})
    folder = parent / config.run_id
    for path in (folder, parent / "start"):
        path.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    full, dataset = make_model(config.model, **config.model_options).eval(), load_dataset("digits")
    start = TrainConfig(model=config.model, model_options=config.model_options)
    save_model(parent / "start" / FLOAT_WEIGHTS, full, start)
    record = make_record(config, dataset, {"float": 300}, [], 0.0)
    write_record(folder / RECORD, record)
    if config.is_quantized:
        calibration = calibration_batch(config, dataset)
        save_model(folder / QUANTIZED_WEIGHTS, quantize(full, config.quantization, calibration, verbose=False), config)
    return folder

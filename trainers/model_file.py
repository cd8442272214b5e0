"""Trained networks as safetensors files: tensors, and a JSON header that says how to build the network around them."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hwsim.files import atomic_write, cannot_write
from trainers.config import TrainConfig
from trainers.models import make_model
from trainers.models.weights import load_weights
from trainers.quantize import QuantizationConfig, signed_layers, swap_layers

HEADER = "hwsim.model"


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write tensors and header at once or not at all.

    Raises:
        OSError: the file cannot be written, as where the disk is full; what it held before is kept.
    """
    try:
        with atomic_write(path) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, header)
    except SafetensorError as error:
        raise cannot_write(path, error) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the header of a safetensors file.

    Raises:
        ValueError: the file is damaged or of another kind.
        FileNotFoundError: there is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def read_header(path: Path) -> dict[str, str]:
    """Return the header of a safetensors file; its tensors are not read.

    Raises:
        ValueError: the file is damaged or of another kind.
        FileNotFoundError: there is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def save_model(path: Path, model: nn.Module, config: TrainConfig) -> None:
    """Write a float or quantized network so that `load_model` can build it without the data it was trained on."""
    header: dict[str, Any] = {"model": config.model, "model_options": dict(config.model_options)}
    if config.is_quantized:
        quantization = {f.name: getattr(config.quantization, f.name) for f in fields(QuantizationConfig)}
        header |= {"quantization": quantization, "signed": signed_layers(model)}
    write_tensors(path, model.state_dict(), {HEADER: json.dumps(header, sort_keys=True)})


def load_model(path: Path) -> nn.Module:
    """Return the network that `save_model` wrote.

    Raises:
        ValueError: the file is damaged, or was not written by `save_model`.
        FileNotFoundError: there is no such file.
    """
    state, metadata = read_tensors(path)
    if HEADER not in metadata:
        raise ValueError(f"{path} holds weights but does not say of which model: no {HEADER} in its header")
    header = json.loads(metadata[HEADER])
    model = make_model(header["model"], **header["model_options"])
    if "quantization" in header:
        model = swap_layers(model, QuantizationConfig(**header["quantization"]), header["signed"])
    load_weights(model, state)
    return model

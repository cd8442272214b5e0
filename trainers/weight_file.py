"""Files of weights: safetensors, or PyTorch's own of which nothing but tensors is unpickled."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trainers.model_file import read_tensors

SAFETENSORS = ".safetensors"
TORCH = (".pt", ".pth", ".th", ".tar", ".ckpt")
NESTS = ("state_dict", "model_state_dict", "model", "net")  #: Where checkpoints keep the state dict.


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file, whatever else a PyTorch checkpoint holds beside it.

    Raises:
        ValueError: the file is damaged, of another kind, not readable without running code that it brings, or holds
            a number that is not finite.
        FileNotFoundError: there is no such file.
    """
    if path.suffix not in (SAFETENSORS, *TORCH):
        known = ", ".join((SAFETENSORS, *TORCH))
        raise ValueError(f"weights are read from files named {known}, got {path}")
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    if not path.stat().st_size:
        raise ValueError(f"{path} is not a readable file of weights: it is empty")
    tensors = read_tensors(path)[0] if path.suffix == SAFETENSORS else _unpickled(path)
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{path} cannot be started from: {name} holds NaN or infinity")
    return tensors


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is damaged, or holds more than tensors, which is not unpickled: {reason}") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a readable PyTorch file: {error}") from error
    return state_dict(content, path)


def state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """Return the state dict in a checkpoint's content; `path` is for errors.

    Raises:
        ValueError: there is none.
    """
    while isinstance(content, Mapping) and (nest := next((name for name in NESTS if name in content), None)):
        content = content[nest]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds no state dict, got {type(content).__name__}")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if len(tensors) != len(content):
        name, value = next((name, value) for name, value in content.items() if name not in tensors)
        raise ValueError(f"{path} holds no state dict: {name!r} is {type(value).__name__}, not a tensor")
    return tensors

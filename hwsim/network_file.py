"""A network as one .safetensors file: integer tensors plus a JSON header, never a pickle."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hwsim.accumulator import Accumulator
from hwsim.adapter import AdapterLayer
from hwsim.arithmetic import Requantizer
from hwsim.files import atomic_write
from hwsim.formats import Format, format_from_dict
from hwsim.multipliers import Multiplier, multiplier_from_dict
from hwsim.network import Datapath, Network
from hwsim.nodes import NODES, Node

VERSION = 1
HEADER = "hwsim.network"  #: The only metadata entry: SHA-256 of what follows and of the tensors, a space, JSON.

Tensors = dict[str, NDArray[Any]]


class NetworkFileError(ValueError):
    """A file that is not a whole, unedited hwsim network of this version."""


def save_network(network: Network, path: str | Path) -> None:
    """Write the network to a .safetensors file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    tensors: Tensors = {}
    header = {
        "version": VERSION,
        "name": network.name,
        "datapath": asdict(network.datapath),
        "nodes": [_node_to_dict(node, tensors) for node in network.nodes],
        "metadata": dict(network.metadata),
    }
    text = json.dumps(header, sort_keys=True)
    try:
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, {HEADER: f"{_digest(text, tensors)} {text}"})
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error


def load_network(path: str | Path) -> Network:
    """Read a network that `save_network` wrote, checking every byte and every rule.

    Raises:
        FileNotFoundError: there is no such file.
        NetworkFileError: the file is truncated, edited, of another version or not an hwsim network.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no network file at {path}; hwsim train and hwsim demo leave one in each run's folder")
    digest, text, tensors = _read(Path(path))
    header = _header(text, path)
    if digest != _digest(text, tensors):
        raise NetworkFileError(f"{path} was edited or damaged: its checksum does not match its content")
    try:
        nodes = tuple(_node_from_dict(node, tensors) for node in header["nodes"])
        return Network(nodes, Datapath(**header["datapath"]), header["name"], header["metadata"])
    except (KeyError, TypeError, ValueError) as error:
        raise NetworkFileError(f"{path} does not describe a valid network: {error}") from error


def _header(text: str, path: str | Path) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise NetworkFileError(f"{path} was edited or damaged: its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise NetworkFileError(f"{path} was edited or damaged: its header is not a JSON object")
    if header.get("version") != VERSION:
        raise NetworkFileError(f"{path} has version {header.get('version')}, this hwsim reads version {VERSION}")
    return header


def _read(path: Path) -> tuple[str, str, Tensors]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if HEADER not in metadata:
                raise NetworkFileError(f"{path} is a safetensors file, but not an hwsim network: no {HEADER!r} header")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise NetworkFileError(f"{path} is truncated or not a safetensors file ({error})") from error
    digest, _, text = metadata[HEADER].partition(" ")
    return digest, text, tensors


def _digest(header: str, tensors: Tensors) -> str:
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _node_to_dict(node: Node, tensors: Tensors) -> dict[str, Any]:
    kind = next(name for name, cls in NODES.items() if type(node) is cls)
    values = {item.name: getattr(node, item.name) for item in fields(node)}
    return {"kind": kind} | {key: _to_json(value, f"{node.name}.{key}", tensors) for key, value in values.items()}


def _to_json(value: Any, name: str, tensors: Tensors) -> Any:
    """Return a field as JSON; arrays go to `tensors` under the field's name, which stands in their place."""
    if isinstance(value, np.ndarray):
        tensors[name] = _narrowed(value)
        return {"tensor": name}
    if isinstance(value, Requantizer):
        parts = {"multiplier": value.multiplier, "shift": value.shift}
        return {"rounding": value.rounding} | {k: _to_json(v, f"{name}.{k}", tensors) for k, v in parts.items()}
    if isinstance(value, Format | Multiplier):
        return value.to_dict()
    if isinstance(value, AdapterLayer):
        parts = {item.name: getattr(value, item.name) for item in fields(value)}
        return {key: _to_json(part, f"{name}.{key}", tensors) for key, part in parts.items()}
    if isinstance(value, tuple):
        return [_to_json(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    return asdict(value) if isinstance(value, Accumulator) else value


def _narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in the narrowest integer type that holds it."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    holds = (t for t in (np.uint8, np.int8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return array.astype(next(holds, np.int64), order="C")


def _node_from_dict(values: Mapping[str, Any], tensors: Tensors) -> Node:
    kind = NODES[values["kind"]]
    return kind(**{key: _from_json(key, value, tensors) for key, value in values.items() if key != "kind"})


def _from_json(field: str, value: Any, tensors: Tensors) -> Any:
    if field in _READERS:
        return _READERS[field](value, tensors)
    return tuple(value) if isinstance(value, list) else value


def _requantizer(value: Mapping[str, Any], tensors: Tensors) -> Requantizer:
    arrays = {key: _tensor(value[key], tensors) for key in ("multiplier", "shift")}
    return Requantizer(**arrays, rounding=value["rounding"])


def _layers(value: list[Mapping[str, Any]], tensors: Tensors) -> tuple[AdapterLayer, ...]:
    parsed = ({key: _from_json(key, part, tensors) for key, part in dict(layer).items()} for layer in value)
    return tuple(AdapterLayer(**parts) for parts in parsed)


def _tensor(reference: Mapping[str, str], tensors: Tensors) -> NDArray[np.int64]:
    return tensors[reference["tensor"]].astype(np.int64)


#: How the fields are read that are neither numbers nor lists of them.
_READERS: dict[str, Callable[[Any, Tensors], Any]] = {
    "requantizer": _requantizer,
    "format": lambda value, tensors: format_from_dict(value),
    "multiplier": lambda value, tensors: multiplier_from_dict(value),
    "accumulator": lambda value, tensors: Accumulator(**value),
    "weight": _tensor,
    "bias": _tensor,
    "thresholds": _tensor,
    "layers": _layers,
}

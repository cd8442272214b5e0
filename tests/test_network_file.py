"""Network files: equal after a round trip, and a readable refusal of anything else."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_networks import random_network
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch_file

from hwsim import network_file
from hwsim.network import Network
from hwsim.network_file import HEADER, VERSION, NetworkFileError, load_network, save_network
from hwsim.nodes import NODES


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a saved network of every node kind; tests read it only."""
    path = tmp_path_factory.mktemp("saved") / "good.safetensors"
    network = next(
        n for n in map(random_network, range(500)) if {type(node) for node in n.nodes} == set(NODES.values())
    )
    save_network(network, path)
    return path


def test_the_file_holds_only_narrow_integers_and_one_header_entry(saved: Path) -> None:
    with safe_open(saved, framework="numpy") as file:
        assert list(file.metadata()) == [HEADER]
    header = header_of(saved)
    assert header["version"] == VERSION == 1
    assert sorted(header) == ["datapath", "metadata", "name", "nodes", "version"]
    tensors = load_file(saved)
    assert {tensor.dtype.kind for tensor in tensors.values()} <= {"i", "u"}
    assert max(tensor.dtype.itemsize for name, tensor in tensors.items() if name.endswith("weight")) <= 2


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=re.escape(f"no network file at {path}")):
            load_network(path)


def header_of(path: Path) -> dict[str, Any]:
    """Return the JSON header of a saved network."""
    with safe_open(path, framework="numpy") as file:
        digest, text = file.metadata()[HEADER].split(" ", 1)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    header: dict[str, Any] = json.loads(text)
    return header


def refused(tmp_path: Path, content: bytes, message: str | None = None) -> None:
    """Assert that a file of this content is refused with a message that names the file."""
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(NetworkFileError, match=message) as caught:
        load_network(path)
    assert str(path) in str(caught.value)
    assert "Error" not in str(caught.value).replace("Error while deserializing", "")


def test_truncated_files_are_refused(tmp_path: Path, saved: Path) -> None:
    content = saved.read_bytes()
    for part in range(20):
        refused(tmp_path, content[: len(content) * part // 20], "is truncated or not a safetensors file")
    for length in (1, 7, 8, 9, len(content) - 1):
        refused(tmp_path, content[:length], "is truncated or not a safetensors file")
    refused(tmp_path, content + b"\0", "is truncated or not a safetensors file")


def test_any_flipped_byte_is_noticed(tmp_path: Path, saved: Path) -> None:
    content = saved.read_bytes()
    positions = {*range(64), *range(64, len(content), 23), *range(len(content) - 64, len(content))}
    for position in sorted(positions):
        for flip in (0xFF, 0x01, 0x20):
            changed = bytearray(content)
            changed[position] ^= flip
            refused(tmp_path, bytes(changed))


@pytest.mark.slow
def test_every_flipped_byte_is_noticed(tmp_path: Path, saved: Path) -> None:
    content = saved.read_bytes()
    for position in range(len(content)):
        for flip in (0x01, 0x80):
            changed = bytearray(content)
            changed[position] ^= flip
            refused(tmp_path, bytes(changed))


def test_other_content_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, b"", "is truncated or not a safetensors file")
    refused(tmp_path, b"\x80\x02}q\x00." * 50, "is truncated or not a safetensors file")
    refused(tmp_path, os.urandom(4096), "is truncated or not a safetensors file")
    refused(tmp_path, b"P" * 10_000, "is truncated or not a safetensors file")


def test_other_safetensors_files_are_refused(tmp_path: Path) -> None:
    path, message = tmp_path / "other.safetensors", "is a safetensors file, but not an hwsim network"
    save_file({"weight": np.zeros(3, np.float32)}, path)
    refused(tmp_path, path.read_bytes(), message)
    save_file({"weight": np.zeros(3, np.float32)}, path, {"format": "pt"})
    refused(tmp_path, path.read_bytes(), message)
    save_torch_file({"weight": torch.zeros(3, dtype=torch.bfloat16)}, path)
    refused(tmp_path, path.read_bytes(), message)


def rewritten(saved: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any], resign: bool) -> bytes:
    """Return the file's bytes after a change of its header and tensors; its checksum made anew if asked for."""
    tensors: dict[str, Any] = load_file(saved)
    header = header_of(saved)
    signature = network_file._digest(json.dumps(header, sort_keys=True), tensors)
    replaced = change(header, tensors)
    text = json.dumps(header if replaced is None else replaced, sort_keys=True)
    digest = network_file._digest(text, tensors) if resign else signature
    path = saved.parent / "rewritten.safetensors"
    save_file(tensors, path, {HEADER: f"{digest} {text}"})
    content = path.read_bytes()
    path.unlink()
    return content


def set_version(version: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda header, tensors: header.update(version=version)


@pytest.mark.parametrize("resign", [False, True])
@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_other_versions_are_refused(tmp_path: Path, saved: Path, version: Any, resign: bool) -> None:
    message = f"has version {version}, this hwsim reads version 1"
    refused(tmp_path, rewritten(saved, set_version(version), resign), message)


def test_an_edited_header_is_refused(tmp_path: Path, saved: Path) -> None:
    message = "was edited or damaged: its checksum does not match its content"
    refused(tmp_path, rewritten(saved, lambda header, tensors: header.update(name="other"), False), message)
    refused(tmp_path, rewritten(saved, lambda header, tensors: header["nodes"].reverse(), False), message)
    refused(tmp_path, rewritten(saved, lambda header, tensors: header["datapath"].update(bits=31), False), message)


def test_edited_tensors_are_refused(tmp_path: Path, saved: Path) -> None:
    message = "was edited or damaged: its checksum does not match its content"

    def first(tensors: dict[str, Any]) -> str:
        return next(name for name in tensors if name.endswith("weight"))

    def renamed(header: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors["other"] = tensors.pop(first(tensors))

    changes: list[Callable[[dict[str, Any], dict[str, Any]], Any]] = [
        lambda header, tensors: tensors.update({first(tensors): tensors[first(tensors)] ^ 1}),
        lambda header, tensors: tensors.update({first(tensors): tensors[first(tensors)].astype(np.int64)}),
        lambda header, tensors: tensors.update({first(tensors): tensors[first(tensors)].reshape(-1)}),
        lambda header, tensors: tensors.update(extra=np.zeros(1, np.int8)),
        renamed,
    ]
    for change in changes:
        refused(tmp_path, rewritten(saved, change, False), message)


def test_the_checksum_is_a_sha256_of_header_and_tensors() -> None:
    tensors: dict[str, Any] = {"b": np.array([[1, 2]], np.int8), "a": np.array([3], np.int16)}
    expected = hashlib.sha256(b"{}" + b"a <i2 (1,)" + b"\x03\x00" + b"b |i1 (1, 2)" + b"\x01\x02").hexdigest()
    assert network_file._digest("{}", tensors) == expected


@pytest.mark.parametrize("replaced", [[1, 2], "text", 3])
@pytest.mark.parametrize("resign", [False, True])
def test_a_header_that_is_no_object_is_refused(tmp_path: Path, saved: Path, replaced: Any, resign: bool) -> None:
    refused(tmp_path, rewritten(saved, lambda header, tensors: replaced, resign), "its header is not a JSON object")


def test_a_header_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for text in ("", "{", "{'version': 1}", "nonsense"):
        save_file({}, path, {HEADER: f"{network_file._digest(text, {})} {text}"})
        refused(tmp_path, path.read_bytes(), "was edited or damaged: its header is not JSON")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to every value inside a JSON value, containers too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in leaves(item, (*path, key)))]


@pytest.mark.parametrize("junk", [None, -1, 0, 2**70, 1.5, "junk", [], {}, [None], {"a": 1}], ids=repr)
def test_a_resigned_header_with_junk_anywhere_is_refused_or_loads(tmp_path: Path, saved: Path, junk: Any) -> None:
    """Even an edit with a valid checksum meets the network's own rules, never another kind of error."""
    header = header_of(saved)
    paths = [path for path in leaves(header) if path and path[0] != "metadata"]
    rng = np.random.default_rng(0)
    for index in rng.choice(len(paths), 60, replace=False):
        path = paths[index]

        def change(header: dict[str, Any], tensors: dict[str, Any], path: tuple[Any, ...] = path) -> None:
            inner: Any = header
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = junk

        bad = tmp_path / "junk.safetensors"
        bad.write_bytes(rewritten(saved, change, True))
        try:
            load_network(bad)
        except NetworkFileError as error:
            assert str(bad) in str(error)  # noqa: PT017


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "network.safetensors"
    path.write_bytes(saved.read_bytes())

    def fail(tensors: Any, filename: Path, metadata: Any) -> None:
        filename.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(network_file, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_network(random_network(0), path)
    assert path.read_bytes() == saved.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.safetensors"]


def test_metadata_that_is_no_json_writes_nothing(tmp_path: Path) -> None:
    network = random_network(0)
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_network(Network(network.nodes, network.datapath, "x", {"a": object()}), tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())

"""Network files: equal after a round trip, in the narrowest types."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_networks import random_images, random_network

from hwsim import network_file
from hwsim.adapter import AdapterLayer
from hwsim.arithmetic import Requantizer
from hwsim.engines import simulate
from hwsim.network import Network
from hwsim.network_file import load_network, save_network


def assert_same(one: Any, other: Any) -> None:
    """Assert that two fields are equal, what holds arrays element by element, in the same types."""
    assert type(one) is type(other)
    if isinstance(one, Requantizer | AdapterLayer):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for inner, again in zip(one, other, strict=True):
            assert_same(inner, again)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype == np.int64
        np.testing.assert_array_equal(one, other)
        assert one.shape == other.shape
    else:
        assert one == other


@pytest.mark.parametrize("seed", range(25))
def test_round_trip_keeps_every_field_and_byte(tmp_path: Path, seed: int) -> None:
    network = random_network(seed)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_network(network, first)
    again = load_network(first)
    save_network(again, second)
    assert first.read_bytes() == second.read_bytes()
    assert (again.name, again.datapath, dict(again.metadata)) == (
        network.name,
        network.datapath,
        dict(network.metadata),
    )
    assert [type(node) for node in again.nodes] == [type(node) for node in network.nodes]
    for node, copy in zip(network.nodes, again.nodes, strict=True):
        for item in fields(node):
            assert_same(getattr(node, item.name), getattr(copy, item.name))
    images = random_images(network, seed)
    np.testing.assert_array_equal(simulate(again, images).outputs, simulate(network, images).outputs)


def test_metadata_and_names_survive(tmp_path: Path) -> None:
    network = random_network(1)
    metadata = {"study": "größe", "nested": {"a": [1, 2.5, None, True]}, "accuracy": 0.1 + 0.2}
    named = Network(network.nodes, network.datapath, 'näme / "quoted"', metadata)
    save_network(named, tmp_path / "x.safetensors")
    again = load_network(str(tmp_path / "x.safetensors"))
    assert again.name == named.name
    assert again.metadata == metadata


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 255, np.uint8),
        (-1, 127, np.int8),
        (-128, 0, np.int8),
        (-1, 128, np.int16),
        (0, 256, np.int16),
        (-(2**15), 2**15 - 1, np.int16),
        (0, 2**15, np.int32),
        (-(2**31), 2**31 - 1, np.int32),
        (0, 2**31, np.int64),
        (-(2**31) - 1, 0, np.int64),
    ],
)
def test_tensors_are_stored_in_the_narrowest_type(low: int, high: int, dtype: type) -> None:
    for shape in [(2,), (3, 1, 2), (2, 3)]:
        array = np.resize(np.array([low, high], np.int64), shape)
        narrowed = network_file._narrowed(array)
        assert narrowed.dtype == dtype
        np.testing.assert_array_equal(narrowed, array)
    for shape in [(), (0,), (2, 0)]:
        assert network_file._narrowed(np.full(shape, low, np.int64)).shape == shape

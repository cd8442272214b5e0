"""Accumulator widths: proved, seen on data, and what fewer bits do; partial sums against plain loops."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import error, rows, run
from random_networks import random_images, random_network
from test_exchange import linear

from hwsim.accumulator import Accumulator
from hwsim.accumulators import accuracy_rows, default_widths, layer_rows
from hwsim.arithmetic import IntArray
from hwsim.engines import simulate
from hwsim.formats import Uniform
from hwsim.network_file import load_network, save_network
from hwsim.nodes import Conv, Matmul
from hwsim.partial_sums import partial_sum_extremes


def extremes_by_hand(node: Matmul, codes: IntArray) -> tuple[list[int], list[int]]:
    """Return the extremes of each channel, one product and one addition at a time."""
    conv = node if isinstance(node, Conv) else None
    weight = node.weight if conv else node.weight[:, :, None, None]
    image = codes if conv else codes[:, :, None, None]
    (py, px), (sy, sx), (dy, dx) = (conv.padding, conv.stride, conv.dilation) if conv else ((0, 0), (1, 1), (1, 1))
    padded = np.pad(image, ((0, 0), (0, 0), (py, py), (px, px)))
    size = node.output_shape(codes.shape[1:])[1:] or (1, 1)
    table, low, high = node.multiplier.table(), [], []
    for k, kernel in enumerate(weight):
        first = k // (len(weight) // (conv.groups if conv else 1)) * weight.shape[1]
        sums = [0]
        for n, y, x in np.ndindex(len(padded), *size):
            total = 0
            for c, row, column in np.ndindex(*kernel.shape):
                code = padded[n, first + c, y * sy + row * dy, x * sx + column * dx]
                total += int(table[kernel[c, row, column], code])
                sums.append(total)
        low.append(min(sums))
        high.append(max(sums))
    return low, high


@pytest.mark.parametrize("seed", range(5))
def test_partial_sums_are_those_of_plain_loops(seed: int) -> None:
    network = random_network(seed, blocks=1)
    trace = simulate(network, random_images(network, seed, 2), "reference", trace=True).trace
    assert trace is not None
    for layer in network.layers:
        low, high = partial_sum_extremes(layer, trace[layer.inputs[0]])
        assert (low.tolist(), high.tolist()) == extremes_by_hand(layer, trace[layer.inputs[0]])


def test_bits_by_hand() -> None:
    """Weights 7, -7, 1 on codes up to 15: sums of -105 .. 120, 8 bits; here 4, 4, 2 go 28, 0, 2: 28 needs 6 bits."""
    network = linear([[7, 9, 1], [1, 0, 0]], Uniform(4), Accumulator(9))
    [row] = layer_rows(network, [[4.0, 4.0, 2.0], [0.0, 0.0, 3.0]])
    assert row == {
        "layer": "layer",
        "terms": 3,
        "product_bits": 8,
        "accumulator_bits": 9,
        "overflow": "error",
        "bits_worst_case": 8,
        "worst_channel": 0,
        "bits_seen": 6,
        "lowest_seen": 0,
        "highest_seen": 28,
    }
    assert simulate(network, [[4.0, 4.0, 2.0]]).outputs.tolist() == [[2, 4]]


def test_widths_that_were_seen_are_enough_and_one_less_is_not() -> None:
    """56 and 4, then 21 and 3: in 6 bits, 56 wraps to -8 and saturates at 31."""
    network = linear([[7, 7], [0, 1]], Uniform(4), Accumulator(9))
    images, labels = np.array([[4.0, 4.0], [0.0, 3.0]]), np.array([0, 0])
    layers = layer_rows(network, images)
    assert layers[0]["bits_seen"] == 7
    assert default_widths(layers) == range(2, 8)
    found = accuracy_rows(network, images, labels, [6, 7])
    assert [(r["bits"], r["overflow"], r["correct"], r["overflows"]) for r in found] == [
        (6, "wrap", 1, 1),
        (6, "saturate", 2, 1),
        (7, "wrap", 2, 0),
        (7, "saturate", 2, 0),
    ]


def test_progress_counts_images() -> None:
    network, told = linear([[1]], Uniform(4), Accumulator(9)), list[int]()
    images = np.ones((70, 1))
    layer_rows(network, images, told.append)
    accuracy_rows(network, images, np.zeros(70), [5], told.append)
    assert told == [64, 70, 70, 140]


def test_command(tiny_network: Path) -> None:
    layers = rows("accumulators", tiny_network, "--layers", "--count", 100)
    network = load_network(tiny_network)
    assert [row["bits_worst_case"] for row in layers] == [layer.required_bits for layer in network.layers]
    assert all(row["bits_seen"] <= row["bits_worst_case"] for row in layers)
    widest = max(row["bits_seen"] for row in layers)
    accuracies = rows("accumulators", tiny_network, "--accuracy", "--count", 100)
    assert [row["bits"] for row in accuracies[::2]] == list(range(widest - 6, widest + 1))
    [exact] = rows("simulate", tiny_network, "--batch-size", 451)
    chosen = rows("accumulators", tiny_network, "--accuracy", "--bits", f"{widest},{widest + 2}-{widest + 3}")
    assert [row["bits"] for row in chosen[::2]] == [widest, widest + 2, widest + 3]
    assert {row["correct"] for row in chosen[2:]} == {exact["correct"]}
    both = run("accumulators", tiny_network, "--count", 20, "--bits", 9).stdout
    assert "Accumulators of" in both
    assert "Accuracy against accumulator width" in both


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--format json", "json holds one table: give --layers or --accuracy"),
        ("--layers --accuracy", "give --layers or --accuracy, or none for both tables"),
        ("--bits 1-8", "bits must be in 2..63, got 1"),
        ("--bits 9-8", "--bits takes rising ranges of different widths, got '9-8' in '9-8'"),
        ("--bits 8-10,9", "--bits takes rising ranges of different widths, got '9' in '8-10,9'"),
        ("--bits 8-x", "--bits takes integers, got 'x'"),
    ],
)
def test_refused_options(options: str, message: str, tiny_network: Path) -> None:
    assert message in error("accumulators", tiny_network, *options.split())


def test_accuracy_needs_classes(tiny_network: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8)))
    images = ("--images", tmp_path / "x.npy")
    assert "--accuracy needs the images' classes" in error("accumulators", tiny_network, *images, "--accuracy")
    result = run("accumulators", tiny_network, *images, "--layers", "--format", "json")
    assert [row["lowest_seen"] <= 0 for row in json.loads(result.stdout)] == [True] * 8


def test_a_refused_accumulator_says_layer_channel_value_and_bits(tmp_path: Path) -> None:
    network = linear([[1, 1], [7, 8]], Uniform(4), Accumulator(9))
    save_network(network, tmp_path / "n.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((1, 2)))
    said = error("simulate", tmp_path / "n.safetensors", "--images", tmp_path / "x.npy", "--accumulator-bits", 7)
    assert said == (
        "node 'layer': channel 1: sums can reach a magnitude of 120, too wide for an accumulator of 7 bits with "
        "overflow='error'; 8 bits would do"
    )

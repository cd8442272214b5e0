"""The same weights on other hardware: product tables by name or file, accumulators, and what their widths do."""

from pathlib import Path

import numpy as np
import pytest

from hwsim.accumulator import Accumulator
from hwsim.accumulators import accuracy_rows, layer_rows
from hwsim.arithmetic import Requantizer
from hwsim.engines import simulate
from hwsim.exchange import with_accumulator, with_table
from hwsim.formats import Format, PowerOfTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import Input, Linear, Quantize, Rescale

ONE = Requantizer(np.array(1), np.array(0))


def linear(weight: list[list[int]], fmt: Format, accumulator: Accumulator) -> Network:
    """Return a network of one linear layer whose outputs are its sums."""
    codes = np.array(weight)
    multiplier = multiplier_for(fmt, Uniform(4, signed=False))
    nodes = (
        Input("image", (), shape=(codes.shape[1],)),
        Quantize("codes", ("image",), format=multiplier.activation, requantizer=ONE),
        Linear("layer", ("codes",), weight=codes, multiplier=multiplier, accumulator=accumulator),
        Rescale("out", ("layer",), requantizer=ONE, bias=np.zeros(len(codes), np.int64)),
    )
    return Network(nodes, Datapath(32, 0))


def test_a_table_from_a_file_takes_the_array_multipliers_place(tmp_path: Path) -> None:
    levels = np.where(np.arange(16) < 8, np.arange(16), np.arange(16) - 16)
    np.savetxt(tmp_path / "plus.csv", levels[:, None] + np.arange(16), fmt="%d", delimiter=",")
    network = linear([[1, 15], [7, 8]], Uniform(4), Accumulator(9))
    other = with_table(network, str(tmp_path / "plus.csv"))
    assert simulate(network, [[3.0, 5.0]]).outputs.tolist() == [[-2, -19]]
    for engine in ("reference", "compiled", "tensor"):
        assert simulate(other, [[3.0, 5.0]], engine).outputs.tolist() == [[1 + 3 - 1 + 5, 7 + 3 - 8 + 5]]


def test_an_accumulator_that_refuses_overflow_is_widened(tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", np.full((16, 16), 1000))
    network = linear([[1, 1]], Uniform(4), Accumulator(6))
    assert with_table(network, str(tmp_path / "big.npy")).layers[0].accumulator == Accumulator(12)


def test_a_table_replaces_uniform_weights_only() -> None:
    with pytest.raises(ValueError, match="layer 'layer' has pot weights; a product table replaces uniform ones"):
        with_table(linear([[1]], PowerOfTwo(4), Accumulator(20)), "drum")


def test_rows_of_bits_and_accuracy() -> None:
    network = linear([[7, 7], [1, 8]], Uniform(4), Accumulator(9))
    images = np.array([[4.0, 4.0], [0.0, 3.0]])
    (row,) = layer_rows(network, images)
    assert (row["terms"], row["bits_worst_case"], row["bits_seen"]) == (2, 9, 7)
    rows = accuracy_rows(network, images, np.array([0, 0]), [6, 7])
    assert [(r["bits"], r["overflow"], r["correct"], r["overflows"]) for r in rows] == [
        (6, "wrap", 2, 1),
        (6, "saturate", 2, 1),
        (7, "wrap", 2, 0),
        (7, "saturate", 2, 0),
    ]
    assert with_accumulator(network, 5, "saturate").layers[0].accumulator == Accumulator(5, "saturate")

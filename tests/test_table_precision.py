"""A trained network with a product table of other fraction bits: equal to one that was exported with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from export_models import residual

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.engines import simulate
from hwsim.formats import Format, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.network_file import save_network
from hwsim.nodes import Input, Linear, Quantize, Rescale
from hwsim.table_precision import accuracy_rows, has_table, with_table
from trainers.export import ExportConfig, export
from trainers.quantize import QuantizationConfig, quantize

ONE = Requantizer.from_scale(1.0)


def linear(weight: list[list[int]], fmt: Format, rescaling: Requantizer, bits: int = 20) -> Network:
    """Return a network of one linear layer on whole numbers 0 .. 15, its table with 2 fraction bits."""
    multiplier = multiplier_for(fmt, Uniform(4, signed=False), fraction_bits=2)
    codes = np.array(weight)
    nodes = (
        Input("image", (), shape=(codes.shape[1],)),
        Quantize("codes", ("image",), format=multiplier.activation, requantizer=ONE),
        Linear("layer", ("codes",), weight=codes, multiplier=multiplier, accumulator=Accumulator(bits, "wrap")),
        Rescale("out", ("layer",), requantizer=rescaling, bias=np.zeros(len(codes), np.int64)),
    )
    return Network(nodes, Datapath(32, 0))


def scaled(multiplier: int, shift: int) -> Requantizer:
    return Requantizer(np.array(multiplier), np.array(shift))


@pytest.mark.parametrize("activations", ["lsq", "asq"])
@pytest.mark.parametrize(("fraction_bits", "layout"), [(0, "shared"), (3, "full"), (8, "full"), (8, "shared")])
def test_it_is_the_network_that_an_export_with_this_table_makes(
    activations: str, fraction_bits: int, layout: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = QuantizationConfig(weights="post", activations=activations, bits=4)
    model = quantize(residual("B"), config, torch.rand(16, 2, 8, 8), verbose=False).eval()
    usual, wanted = (export(model, (2, 8, 8), made) for made in (ExportConfig(), ExportConfig(fraction_bits, layout)))
    found = with_table(usual, fraction_bits, layout)
    files = [tmp_path / "found.safetensors", tmp_path / "wanted.safetensors"]
    for network, file in zip((found, wanted), files, strict=True):
        save_network(network, file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_products_by_hand() -> None:
    """Of weights 1 and sqrt2 in units of the smallest: 5 sqrt2 = 7.07 is 7 without fraction bits and 28/4 with two."""
    fmt = PowerOfSqrtTwo(3)
    network = linear([[1], [2]], fmt, scaled(4, 2))
    assert simulate(network, [[5.0]]).outputs.tolist() == [[20, 28]]
    assert simulate(with_table(network, 0, "full"), [[5.0]]).outputs.tolist() == [[20, 28]]
    assert simulate(with_table(network, 3, "shared"), [[5.0]]).outputs.tolist() == [[20, 29]]  # 57 / 2, half up
    assert with_table(network, 0, "full").layers[0].accumulator == Accumulator(20, "wrap")


@pytest.mark.parametrize(
    ("before", "fraction_bits", "after"),
    [((3, 4), 5, (3, 7)), ((3, 1), 0, (6, 0)), ((5, 62), 4, (1, 62)), ((7, 61), 4, (4, 62))],
    ids=["longer shift", "no shift left", "beyond the longest shift", "half up"],
)
def test_the_rescaling_undoes_the_unit(before: tuple[int, int], fraction_bits: int, after: tuple[int, int]) -> None:
    rescale = with_table(linear([[1]], PowerOfSqrtTwo(3), scaled(*before)), fraction_bits, "full").nodes[-1]
    assert isinstance(rescale, Rescale)
    assert (int(rescale.requantizer.multiplier), int(rescale.requantizer.shift)) == after


def test_accuracies_count_right_answers() -> None:
    """Of 3 sqrt2 = 4.24 and 4 are equal at k = 0, so the first class wins; two fraction bits tell them apart."""
    network = linear([[1, 0], [0, 2]], PowerOfSqrtTwo(3), scaled(100, 2))
    images, told = [[4.0, 3.0], [5.0, 3.0]], list[int]()
    rows = accuracy_rows(network, images, [1, 0], (0, 2), told.append)
    assert [(row["layout"], row["fraction_bits"], row["correct"], row["accuracy"]) for row in rows] == [
        ("shared", 0, 1, 0.5),
        ("shared", 2, 2, 1.0),
        ("full", 0, 1, 0.5),
        ("full", 2, 2, 1.0),
    ]
    assert told == [2, 4, 6, 8]


def test_what_no_table_can_be_is_refused() -> None:
    network = linear([[1]], PowerOfTwo(3), ONE)
    assert not has_table(network)
    with pytest.raises(ValueError, match="has no layer with POST weights"):
        with_table(network, 3, "full")
    with pytest.raises(ValueError, match=r"fraction_bits must be an integer in 0\.\.12, got 13"):
        with_table(linear([[1]], PowerOfSqrtTwo(3), ONE), 13, "full")
    with pytest.raises(ValueError, match="unknown table layout 'ful'; did you mean 'full'"):
        with_table(linear([[1]], PowerOfSqrtTwo(3), ONE), 3, "ful")

"""The same weights on other hardware: product tables by name or file, layer by layer, and accumulators."""

import re
from pathlib import Path

import numpy as np
import pytest

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.engines import simulate
from hwsim.exchange import tables_of, with_accumulators, with_multiplier, with_tables
from hwsim.formats import Format, PowerOfTwo, Uniform
from hwsim.multipliers import Multiplier, ShiftMultiplier, TableMultiplier, multiplier_for
from hwsim.network import Datapath, Network
from hwsim.network_file import load_network, save_network
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
    other = with_tables(network, [str(tmp_path / "plus.csv")])
    assert simulate(network, [[3.0, 5.0]]).outputs.tolist() == [[-2, -19]]
    for engine in ("reference", "compiled", "tensor"):
        assert simulate(other, [[3.0, 5.0]], engine).outputs.tolist() == [[1 + 3 - 1 + 5, 7 + 3 - 8 + 5]]


def test_an_accumulator_that_refuses_overflow_is_widened(tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", np.full((16, 16), 1000))
    network = linear([[1, 1]], Uniform(4), Accumulator(6))
    assert with_tables(network, [str(tmp_path / "big.npy")]).layers[0].accumulator == Accumulator(12)


def two_layers() -> Network:
    """Return a network of a layer of 4 x 4 bits, `in.first`, and one of 3 x 4 bits, `out`."""
    activation = Uniform(4, signed=False)
    wide, narrow = (multiplier_for(Uniform(bits), activation) for bits in (4, 3))
    nodes = (
        Input("image", (), shape=(2,)),
        Quantize("codes", ("image",), format=activation, requantizer=ONE),
        Linear("in.first", ("codes",), weight=np.array([[3, 2], [1, 1]]), multiplier=wide, accumulator=Accumulator(9)),
        Rescale("hidden", ("in.first",), requantizer=ONE, bias=np.zeros(2, np.int64)),
        Quantize("hidden.codes", ("hidden",), format=activation, requantizer=ONE),
        Linear("out", ("hidden.codes",), weight=np.array([[3, 1]]), multiplier=narrow, accumulator=Accumulator(9)),
        Rescale("result", ("out",), requantizer=ONE, bias=np.zeros(1, np.int64)),
    )
    return Network(nodes, Datapath(32, 0))


@pytest.mark.parametrize(
    ("choices", "tables"),
    [
        (["drum"], {"drum": ["in.first", "out"]}),
        (["in.*=drum"], {"drum": ["in.first"]}),
        (["drum", "out=mitchell"], {"drum": ["in.first"], "mitchell": ["out"]}),
        (["out=mitchell", "drum"], {"drum": ["in.first", "out"]}),
        (["in.first=drum_s4u4"], {"drum_s4u4": ["in.first"]}),
        ([], {}),
    ],
)
def test_tables_are_chosen_layer_by_layer(choices: list[str], tables: dict[str, list[str]]) -> None:
    network = two_layers()
    other = with_tables(network, choices)
    assert tables_of(other) == tables
    for layer in other.layers:
        is_kept = layer.name not in [name for names in tables.values() for name in names]
        assert (layer.multiplier == network.node(layer.name).multiplier) == is_kept  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (["drum_s4u4"], "layer 'out': drum_s4u4: a product table of 3 x 4 bits has shape (8, 16), got (16, 16)"),
        (
            ["drum_s8u8"],
            "layer 'in.first': drum_s8u8: a product table of 4 x 4 bits has shape (16, 16), got (256, 256);",
        ),
        (["conv*=drum"], "pattern 'conv*' matches no layer; layers are in.first, out"),
        (["out="], "a choice is VALUE or PATTERN=VALUE, got 'out='"),
        (["=drum"], "a choice is VALUE or PATTERN=VALUE, got '=drum'"),
        (["out=drumm"], "layer 'out': unknown product table 'drumm'; did you mean 'drum'?"),
    ],
)
def test_tables_that_do_not_fit_are_named_with_their_layers(choices: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        with_tables(two_layers(), choices)


def test_a_table_replaces_uniform_weights_only() -> None:
    with pytest.raises(ValueError, match="layer 'layer': a product table replaces uniform weights, not pot"):
        with_tables(linear([[1]], PowerOfTwo(4), Accumulator(20)), ["drum"])


def test_a_table_is_kept_inside_the_network_file(tmp_path: Path) -> None:
    network = with_tables(two_layers(), ["out=mitchell", "in*=truncated"])
    save_network(network, tmp_path / "n.safetensors")
    loaded = load_network(tmp_path / "n.safetensors")
    assert [layer.multiplier for layer in loaded.layers] == [layer.multiplier for layer in network.layers]
    assert tables_of(loaded) == {"truncated": ["in.first"], "mitchell": ["out"]}


def test_accumulators_are_chosen_layer_by_layer() -> None:
    layers = with_accumulators(two_layers(), ["5", "out=6"], "wrap").layers
    assert [layer.accumulator for layer in layers] == [Accumulator(5, "wrap"), Accumulator(6, "wrap")]
    layers = with_accumulators(two_layers(), ["out=6"], "saturate").layers
    assert [layer.accumulator for layer in layers] == [Accumulator(9), Accumulator(6, "saturate")]
    with pytest.raises(ValueError, match=r"node 'in.first': channel 0: sums .* of 75.*8 bits would do"):
        with_accumulators(two_layers(), ["7"], "error")
    with pytest.raises(ValueError, match=r"accumulator bits must be an integer in 2\.\.63, got 'x'"):
        with_accumulators(two_layers(), ["out=x"], "wrap")


def plus(weight_bits: int = 4, fraction: float = 0.0) -> TableMultiplier:
    """Return a multiplier that adds: w + a + 100."""
    weight, activation = Uniform(weight_bits), Uniform(4, signed=False)
    table = weight.integer_levels[:, None] + activation.integer_levels + 100
    return TableMultiplier.from_table(table, weight, activation, fraction)


@pytest.mark.parametrize("engine", ["reference", "compiled", "tensor"])
def test_a_multiplier_takes_its_place_in_the_layers_of_a_pattern(engine: str) -> None:
    network = two_layers()
    other = with_multiplier(network, plus(), "in*")
    assert [layer.multiplier for layer in other.layers] == [plus(), network.layers[1].multiplier]
    assert other.layers[0].accumulator == Accumulator(9)
    traced = simulate(other, [[3.0, 5.0]], engine, trace=["in.first"]).trace
    assert traced is not None
    assert traced["in.first"].tolist() == [[3 + 3 + 2 + 5 + 200, 1 + 3 + 1 + 5 + 200]]


def test_with_a_multiplier_of_larger_products_an_accumulator_is_widened() -> None:
    network = linear([[1, 1]], Uniform(4), Accumulator(6))
    assert with_multiplier(network, plus()).layers[0].accumulator == Accumulator(9)


@pytest.mark.parametrize(
    ("multiplier", "pattern", "message"),
    [
        (plus(), "*", "does not fit layers 'out'"),
        (plus(3), "*", "does not fit layers 'in.first'"),
        (plus(fraction=2.0), "in*", "products in units of 0.25 does not fit layers 'in.first'"),
        (ShiftMultiplier(PowerOfTwo(4), Uniform(4, signed=False)), "*", "layers 'in.first', 'out'"),
        (plus(), "layer*", "pattern 'layer*' matches no layer; layers are in.first, out"),
    ],
)
def test_a_multiplier_that_does_not_fit_is_refused(multiplier: Multiplier, pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        with_multiplier(two_layers(), multiplier, pattern)

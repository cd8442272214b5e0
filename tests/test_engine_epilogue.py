"""What follows a layer's sums in the fast engines: chunked, wrapped, pooled, quantized; equal to the reference."""

from typing import Any

import engine_checks
import numpy as np
import pytest
from engine_checks import both
from random_networks import random_images, random_network

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.engines import channels_last, elementwise, tensor
from hwsim.engines.int8_terms import linear_terms
from hwsim.engines.levels import levels_of
from hwsim.engines.steps import ChainStep, LayerStep
from hwsim.formats import PowerOfSqrtTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import Add, Conv, Input, MaxPool, Node, Quantize, Relu, Rescale

strict_torch = engine_checks.strict_torch

ACCUMULATORS = (Accumulator(32), Accumulator(7, "wrap"), Accumulator(11, "wrap"), Accumulator(7, "saturate"))


def residual_network(accumulator: Accumulator, bias: int = 500, seed: int = 0, post: bool = False) -> Network:
    """Return stem, pooling and a residual block ; its shortcut quantizes the same tensor."""
    rng = np.random.default_rng(seed)
    weight_format = PowerOfSqrtTwo(4) if post else Uniform(4)
    multiplier = multiplier_for(weight_format, Uniform(4, signed=False))
    nodes: list[Node] = [Input("image", (), (3, 11, 9))]

    def layer(name: str, source: str, kernels: int, depth: int, taps: int) -> str:
        scale = rng.uniform(0.5, 1.5, kernels) * rng.choice([-1, 0, 1, 1, 1], kernels) * (0.5 if post else 8)
        requantizer = Requantizer.from_scale(np.array(1 / 111))
        nodes.append(Quantize(f"{name}.codes", (source,), format=multiplier.activation, requantizer=requantizer))
        weight = rng.choice(weight_format.codes, (kernels, depth, taps, taps))
        options: Any = {"weight": weight, "multiplier": multiplier, "accumulator": accumulator}
        nodes.append(Conv(name, (f"{name}.codes",), padding=(taps // 2, taps // 2), **options))
        offset = rng.integers(-bias, bias, kernels)
        nodes.append(Rescale(f"{name}.fixed", (name,), requantizer=Requantizer.from_scale(scale), bias=offset))
        return f"{name}.fixed"

    nodes.append(Relu("stem.relu", (layer("stem", "image", 16, 3, 3),)))
    nodes.append(MaxPool("pool", ("stem.relu",), kernel=(3, 2), stride=(2, 2), padding=(1, 0)))
    nodes.append(Relu("relu1", (layer("conv1", "pool", 16, 16, 3),)))
    second = layer("conv2", "relu1", 16, 16, 3)
    nodes.append(Add("add", (second, layer("shortcut", "pool", 16, 16, 1))))
    nodes.append(Relu("relu2", ("add",)))
    layer("head", "relu2", 16, 16, 1)
    return Network(tuple(nodes), Datapath(24, 10))


def images(count: int = 5) -> Any:
    return np.random.default_rng(1).random((count, 3, 11, 9)) * 2 - 0.3


@pytest.mark.parametrize("chunk", [1, 1 << 13, 1 << 22])
@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
@pytest.mark.parametrize("post", [False, True])
def test_a_residual_block_is_exact_at_every_chunk(
    post: bool, accumulator: Accumulator, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_last, "CACHED_BYTES", chunk)
    result = both(residual_network(accumulator, post=post), images())
    assert ("conv2" in result.overflows) == (accumulator.bits < 32)


@pytest.mark.parametrize("seed", range(3))
def test_a_datapath_that_saturates_is_counted(seed: int) -> None:
    result = both(residual_network(Accumulator(10, "wrap"), 8_000_000, seed), images())
    assert result.overflows.keys() >= {"add", "conv1"}


def test_everything_between_two_layers_is_one_step() -> None:
    network = residual_network(Accumulator(7, "wrap"))
    steps = tensor.prepare(network, ["head.fixed"]).steps
    assert [type(step) for step in steps] == [ChainStep] * 5
    assert [step.fixed + step.codes for step in steps if isinstance(step, ChainStep)] == [
        ("conv1.codes", "shortcut.codes"),
        ("conv2.codes",),
        ("shortcut.fixed",),
        ("head.codes",),
        ("head.fixed",),
    ]
    assert [step.epilogue.line is not None for step in steps if isinstance(step, ChainStep)][1]
    exact = tensor.prepare(residual_network(Accumulator(32)), ["head.fixed"]).steps
    assert [type(step) for step in exact].count(LayerStep) == 1  # conv1 makes conv2's codes


@pytest.mark.parametrize("seed", range(300, 330))
def test_random_networks_agree_image_by_image(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels_last, "CACHED_BYTES", 1)
    network = random_network(seed)
    both(network, random_images(network, seed))


def test_earlier_batches_do_not_change_when_later_ones_run() -> None:
    engine = tensor.prepare(residual_network(Accumulator(7, "wrap")), ["pool", "conv1.codes", "head.fixed"])
    first, second = engine.run(images()), {}
    kept = {name: engine.to_numpy(value) for name, value in first.values.items()}
    second = engine.run(images()[::-1].copy()).values
    for name, value in kept.items():
        np.testing.assert_array_equal(engine.to_numpy(first.values[name]), value)
        np.testing.assert_array_equal(engine.to_numpy(second[name]), value[::-1])
        assert value.base is None or not np.shares_memory(value, first.values[name])


@pytest.mark.parametrize("rounding", ["half_up", "floor"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("scale", [0.9, 0.31, 0.0071, 15 * 1.37 / 2**16])
def test_levels_are_the_requantizers(scale: float, bits: int, signed: bool, rounding: str) -> None:
    """Every value around each step, and far beyond both ends; up to 3 bits, all of these have levels."""
    fmt = Uniform(bits, signed)
    node = Quantize("q", ("x",), format=fmt, requantizer=Requantizer.from_scale(np.array(scale), 24, rounding))
    levels = levels_of(node)
    if levels is None:
        assert bits > 3
        return
    steps = (np.arange(int(fmt.min_level) - 1, int(fmt.max_level) + 2)[:, None] + [0, 0.5, 1]) / scale
    values = (steps.astype(np.int64)[..., None] + np.arange(-3, 4)).reshape(-1)
    values = np.concatenate([values, [-(2**31), 2**31 - 1, 0]]).astype(np.int32)
    codes = np.empty(values.size, dtype=np.uint8)
    elementwise.encode(values, levels, codes)
    exact = np.clip(node.requantizer.apply(values.astype(np.int64)), int(fmt.min_level), int(fmt.max_level))
    np.testing.assert_array_equal(codes, exact & ((1 << bits) - 1))


@pytest.mark.parametrize(
    "requantizer",
    [
        Requantizer(np.array(3), np.array(1)),  # steps of more than one level
        Requantizer(np.array(-3), np.array(4)),
        Requantizer(np.array(0), np.array(4)),
        Requantizer(np.array(1), np.array(22)),  # values beyond 2^24
        Requantizer(np.array(1), np.array(3), "half_even"),
        Requantizer(np.array([1, 1]), np.array([3, 3])),
    ],
)
def test_levels_that_float32_cannot_show_are_refused(requantizer: Requantizer) -> None:
    node = Quantize("q", ("x",), format=Uniform(4, signed=False), requantizer=requantizer)
    assert levels_of(node) is None


@pytest.mark.parametrize("bits", range(2, 26))
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.float64])
def test_a_register_wraps_on_the_way_to_a_code(bits: int, dtype: Any) -> None:
    """Sums at both ends of the register, one turn of it away and further; the line tells each register apart."""
    half = 1 << (bits - 1)
    sums = np.array([[0, 1, -1, half - 1, half, -half, -half - 1, 2 * half + 1, -2 * half - 1]]).T
    sums = sums[np.abs(sums[:, 0]) <= 2**24]
    exact = (sums + half) % (2 * half) - half
    codes = np.empty(sums.shape, dtype=np.uint8)
    slope, offset = np.array([1], dtype=np.float32), np.array([128], dtype=np.float32)
    up, top = np.int32(1 << (32 - bits)), np.float32(255)
    wrapped = elementwise.codes_along_line(sums.astype(dtype), up, slope, offset, top, codes)
    assert wrapped == np.count_nonzero(exact != sums)
    np.testing.assert_array_equal(codes, np.clip(exact + 128, 0, 255))


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("factor", [1, 2**0.5, 0.31, -0.9, 0])
def test_linear_terms_are_the_table(bits: int, factor: float) -> None:
    codes = np.arange(2**bits)
    scale = min(1, 255 / (max(abs(factor), 0.01) * codes[-1]))
    terms = np.stack([np.floor(codes * factor * scale + 0.5) + (255 if factor < 0 else 0), codes]).astype(np.int64)
    lines = linear_terms(terms)
    assert lines is not None
    out = np.empty(len(codes), dtype=np.uint16)
    elementwise.expand_linearly(codes.astype(np.uint8), *lines, out)
    np.testing.assert_array_equal(out.view(np.uint8).reshape(-1, 2), terms.T)


def test_terms_that_are_no_line_are_looked_up() -> None:
    assert linear_terms(np.array([[0, 1, 4, 9]])) is None
    assert linear_terms(np.zeros((3, 4), dtype=np.int64)) is None

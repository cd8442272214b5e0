"""The engines against each other and against plain Python integers, equal in every tensor and every count."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import plain_engine
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import random_images, random_network

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.engines import ENGINES, Simulation, simulate
from hwsim.engines.proof import EXACT_BITS, prove, saturation_excluded
from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import NODES, Conv, Input, Linear, MaxPool, Quantize, Relu, Rescale


@pytest.fixture(autouse=True)
def strict_torch() -> Iterator[None]:
    """Run on one thread, and with every warning of torch's, not only the first of a kind."""
    threads, always = torch.get_num_threads(), torch.is_warn_always_enabled()
    torch.set_num_threads(1)
    torch.set_warn_always(True)
    yield
    torch.set_num_threads(threads)
    torch.set_warn_always(always)


def constant(multiplier: int = 1, shift: int = 0) -> Requantizer:
    return Requantizer(np.array(multiplier), np.array(shift))


def assert_equal(one: Simulation, other: Simulation) -> None:
    """Assert that outputs, every traced tensor and the overflow counts are equal."""
    np.testing.assert_array_equal(one.outputs, other.outputs)
    assert one.outputs.dtype == other.outputs.dtype == np.int64
    assert one.overflows == other.overflows
    assert one.trace is not None
    assert other.trace is not None
    assert list(one.trace) == list(other.trace)
    for name, tensor in one.trace.items():
        assert tensor.dtype == other.trace[name].dtype == np.int64
        np.testing.assert_array_equal(tensor, other.trace[name], err_msg=name)


def both(network: Network, images: NDArray[np.float64], **options: Any) -> Simulation:
    """Run both engines, assert that they agree, and return the tensor engine's result."""
    tensor = simulate(network, images, "tensor", trace=True, **options)
    assert_equal(simulate(network, images, "reference", trace=True, **options), tensor)
    return tensor


@pytest.mark.parametrize("seed", range(200))
def test_engines_agree_on_random_networks(seed: int) -> None:
    network = random_network(seed)
    both(network, random_images(network, seed))


@given(seed=st.integers(10**6, 2**31), blocks=st.integers(0, 6))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_engines_agree_on_any_network(seed: int, blocks: int) -> None:
    network = random_network(seed, blocks)
    both(network, random_images(network, seed, 3))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 6000, 500))
def test_engines_agree_on_many_random_networks(start: int) -> None:
    for seed in range(start, start + 500):
        network = random_network(seed, 4)
        both(network, random_images(network, seed))


@pytest.mark.parametrize("seed", range(25))
def test_the_reference_engine_computes_what_plain_integers_do(seed: int) -> None:
    network = random_network(seed, 2)
    images = random_images(network, seed, 2)
    result = simulate(network, images, "reference", trace=True)
    assert result.trace is not None
    overflows: Counter[str] = Counter()
    for index, image in enumerate(images):
        tensors, counts = plain_engine.run(network, image)
        overflows += counts
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(result.trace[name][index], tensor, err_msg=name)
    assert result.overflows == dict(overflows)


def test_the_random_networks_cover_everything() -> None:
    """Guard of the tests above: no option may silently fall out of the generator."""
    seen: Counter[str] = Counter()
    for seed in range(100):
        network = random_network(seed)
        seen.update(next(kind for kind, cls in NODES.items() if type(node) is cls) for node in network.nodes)
        seen[f"{network.datapath.bits} bits"] += 1
        for layer in network.layers:
            proof = prove(layer)
            circuit = layer.multiplier
            seen.update([layer.accumulator.overflow, str(proof.dtype), circuit.name, str(circuit.activation.signed)])
            seen.update([getattr(circuit, "layout", "no layout"), f"excluded {saturation_excluded(layer)}"])
            if isinstance(layer, Conv):
                seen["depthwise"] += layer.groups > 1 and layer.weight.shape[1] == 1
                seen["grouped"] += layer.groups > 1 and layer.weight.shape[1] > 1
                seen["strided"] += layer.stride != (1, 1)
                seen["dilated"] += layer.dilation != (1, 1)
                seen["oblong padding"] += layer.padding[0] != layer.padding[1]
        images = random_images(network, seed, 5)
        seen.update(f"{name.rstrip('0123456789')} overflows" for name in simulate(network, images).overflows)
        seen.update(n.requantizer.rounding for n in network.nodes if isinstance(n, Rescale | Quantize))
    wanted = [
        *NODES,
        "error",
        "wrap",
        "saturate",
        "float32",
        "float64",
        "None",
        "array",
        "shift",
        "table",
        "True",
        "False",
    ]
    wanted += ["shared", "full", "depthwise", "grouped", "strided", "dilated", "oblong padding", "excluded True"]
    wanted += ["excluded False", "half_up", "half_even", "floor", "toward_zero", "16 bits", "48 bits", "8 bits"]
    wanted += [f"{name} overflows" for name in ("image", "conv", "linear", "rescale", "add", "average")]
    assert not [name for name in wanted if seen[name] < 2]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(8))
def test_batch_size_changes_nothing(engine: str, seed: int) -> None:
    network = random_network(seed)
    images = random_images(network, seed, 7)
    whole = simulate(network, images, engine, trace=True)
    for batch_size in (1, 3, 7, 100):
        assert_equal(simulate(network, images, engine, trace=True, batch_size=batch_size), whole)


def single_layer(
    layer: type[Conv | Linear], shape: tuple[int, ...], weight: Any, multiplier: Multiplier, **more: Any
) -> Network:
    """Return a network of one layer whose pixels are the activation levels and whose outputs are the sums."""
    accumulator = more.pop("accumulator", Accumulator(63))
    codes = np.array(weight, np.int64)
    nodes = (
        Input("image", (), shape),
        Quantize("codes", ("image",), format=multiplier.activation, requantizer=constant()),
        layer("layer", ("codes",), weight=codes, multiplier=multiplier, accumulator=accumulator, **more),
        Rescale("out", ("layer",), requantizer=constant(0), bias=np.zeros(len(codes), np.int64)),
    )
    return Network(nodes, Datapath(32, 0))


def sums(network: Network, pixels: Any) -> tuple[list[Any], str]:
    """Return the layer's sums, equal in both engines, and the tensor engine's path."""
    result = both(network, np.array(pixels, np.float64))
    assert result.trace is not None
    return result.trace["layer"].tolist(), result.paths["layer"].split()[0]


ONE_BIT = Uniform(1, signed=False)


def powers(*exponents: int) -> tuple[list[list[int]], Multiplier]:
    """Return weights 2^e, one channel, and the circuit that multiplies them with one-bit activations."""
    return [[e + 1 for e in exponents]], multiplier_for(PowerOfTwo(8, exponents=56), ONE_BIT)


@pytest.mark.parametrize(
    ("exponents", "path"),
    [
        (range(24), "float32"),  # 2^24 - 1
        ([24], "float32"),
        ([23, 23], "float32"),
        ([24, 0], "float64"),  # 2^24 + 1: not a float32
        ([23, 23, 0, 0], "float64"),
        ([25], "float64"),
        (range(53), "float64"),  # 2^53 - 1
        ([53], "float64"),
        ([52, 52], "float64"),
        ([53, 0], "reference:"),  # 2^53 + 1: not a float64
        ([52, 0, 52], "reference:"),
        ([55, 0, 3], "reference:"),
    ],
)
def test_edges_of_each_path_with_powers_of_two(exponents: Any, path: str) -> None:
    weight, multiplier = powers(*exponents)
    network = single_layer(Linear, (len(exponents),), weight, multiplier)
    exact = sum(2**e for e in exponents)
    assert sums(network, [[1] * len(exponents), [0] * len(exponents)]) == ([[exact], [0]], path)
    assert prove(network.layers[0]).bound == exact
    negative = single_layer(Linear, (len(exponents),), [[128 + w for w in weight[0]]], multiplier)
    assert sums(negative, [[1] * len(exponents)]) == ([[-exact]], path)


@pytest.mark.parametrize(("last", "path"), [(255, "float32"), (256, "float32"), (257, "float64")])
@pytest.mark.parametrize("reverse", [False, True])
def test_edge_of_float32_with_many_odd_products(last: int, path: str, reverse: bool) -> None:
    """256 products of 65535 and a last one: 2^24 - 1, 2^24 and 2^24 + 1, in either order."""
    weight = [65535] * 256 + [last]
    weight = weight[::-1] if reverse else weight
    multiplier = multiplier_for(Uniform(16, signed=False), ONE_BIT)
    network = single_layer(Linear, (257,), [weight], multiplier)
    assert sums(network, [[1] * 257]) == ([[2**24 - 256 + last]], path)


def test_bound_counts_magnitudes_so_that_cancelling_sums_stay_exact() -> None:
    weight, multiplier = powers(24, 24, 0)
    weight[0][1] += 128
    network = single_layer(Linear, (3,), weight, multiplier)
    assert sums(network, [[1, 1, 1], [1, 0, 1], [0, 1, 1]]) == ([[1], [2**24 + 1], [1 - 2**24]], "float64")
    assert prove(network.layers[0]).bound == 2**25 + 1


def test_bound_takes_the_widest_channel_and_the_most_negative_activation() -> None:
    multiplier = multiplier_for(Uniform(16), Uniform(16))
    codes = [[511, 0], [512, 0], [511, 1]]
    network = single_layer(Linear, (2,), codes, multiplier)
    assert prove(network.layers[0]).bound == 2**24
    assert sums(network, [[-32768, -32768]]) == ([[-511 * 2**15, -(2**24), -(2**24)]], "float32")
    wider = single_layer(Linear, (2,), [[1, 0], [512, 1]], multiplier)
    assert sums(wider, [[-32768, -32767]]) == ([[-32768, -(2**24) - 32767]], "float64")


def test_bound_of_a_table_counts_every_term() -> None:
    for layout in ("shared", "full"):
        multiplier = multiplier_for(PowerOfSqrtTwo(4), Uniform(4, signed=False), 5, layout)
        network = single_layer(Linear, (3,), [[7, 6, 8 + 2]], multiplier)
        table = multiplier.table()
        assert prove(network.layers[0]).bound == int(table[7, 15] + table[6, 15] + table[2, 15])
        assert sums(network, [[15, 15, 15]])[0] == [[int(table[7, 15] + table[6, 15] - table[2, 15])]]


def test_proof_says_why() -> None:
    weight, multiplier = powers(53, 0)
    far = single_layer(Linear, (2,), weight, multiplier).layers[0]
    assert prove(far).reason == f"partial sums can reach {2**53 + 1} > 2^53"
    weight, multiplier = powers(3, 0)
    near = single_layer(Linear, (2,), weight, multiplier)
    assert prove(near.layers[0]).reason == "partial sums reach at most 9 <= 2^24"
    saturating = single_layer(Linear, (2,), weight, multiplier, accumulator=Accumulator(4, "saturate"))
    assert prove(saturating.layers[0]).dtype is None
    assert prove(saturating.layers[0]).reason == "the accumulator can saturate, so the order of additions matters"
    pixels = np.ones((1, 2))
    assert simulate(near, pixels).paths == {"layer": "float32 convolution: partial sums reach at most 9 <= 2^24"}
    assert simulate(saturating, pixels).paths == {"layer": f"reference: {prove(saturating.layers[0]).reason}"}
    assert simulate(near, pixels, "reference").paths == {"layer": "one product and one addition at a time, int64"}
    assert EXACT_BITS == {"float32": 24, "float64": 53}


def test_a_saturating_accumulator_that_cannot_saturate_takes_the_fast_path() -> None:
    multiplier = multiplier_for(Uniform(4), ONE_BIT)
    for weight, excluded in [([7, 0], True), ([7, 1], False), ([8, 0], True), ([8, 15], False)]:
        network = single_layer(Linear, (2,), [weight], multiplier, accumulator=Accumulator(4, "saturate"))
        assert saturation_excluded(network.layers[0]) is excluded
        assert sums(network, [[1, 1]])[1] == ("float32" if excluded else "reference:")


@pytest.mark.parametrize(
    ("levels", "result", "overflowed"),
    [
        ([7, 7, -8], -1, 1),  # 7, 14 -> 7, -1
        ([-8, 7, 7], 6, 0),
        ([7, -8, 7], 6, 0),
        ([-8, -8, 7], -1, 1),
        ([5, 2, 0], 7, 0),
        ([5, 3, -1], 6, 1),
        ([-8, 0, 0], -8, 0),
    ],
)
def test_saturation_happens_after_every_addition(levels: list[int], result: int, overflowed: int) -> None:
    multiplier = multiplier_for(Uniform(4), ONE_BIT)
    weight = [[level % 16 for level in levels]]
    network = single_layer(Linear, (3,), weight, multiplier, accumulator=Accumulator(4, "saturate"))
    simulation = both(network, np.ones((1, 3)))
    assert simulation.trace is not None
    assert simulation.trace["layer"].tolist() == [[result]]
    assert simulation.overflows == ({"layer": 1} if overflowed else {})


def test_saturation_order_is_channel_then_row_then_column() -> None:
    multiplier = multiplier_for(Uniform(6), ONE_BIT)
    rng = np.random.default_rng(3)
    for _ in range(30):
        levels = rng.integers(-31, 32, (2, 3, 2))
        register = 0
        for level in levels.flatten().tolist():
            register = min(max(register + level, -32), 31)
        network = single_layer(Conv, (2, 3, 2), levels[None] % 64, multiplier, accumulator=Accumulator(6, "saturate"))
        assert sums(network, np.ones((1, 2, 3, 2))) == ([[[[register]]]], "reference:")


@pytest.mark.parametrize(("total", "kept"), [(127, 127), (128, -128), (255, -1), (256, 0), (-128, -128), (-129, 127)])
def test_wrapping_drops_the_carry_and_is_counted(total: int, kept: int) -> None:
    multiplier = multiplier_for(Uniform(16), ONE_BIT)
    network = single_layer(Linear, (1,), [[total % 2**16]], multiplier, accumulator=Accumulator(8, "wrap"))
    result = both(network, np.array([[1.0], [0.0], [1.0]]))
    assert result.trace is not None
    assert result.trace["layer"].tolist() == [[kept], [0], [kept]]
    assert result.overflows == ({} if kept == total else {"layer": 2})


def test_wrapping_back_into_range_is_no_overflow() -> None:
    multiplier = multiplier_for(Uniform(8), ONE_BIT)
    network = single_layer(Linear, (3,), [[127, 127, 0x81]], multiplier, accumulator=Accumulator(8, "wrap"))
    assert both(network, np.array([[1.0, 1, 1], [1, 1, 0]])).overflows == {"layer": 1}


@pytest.mark.parametrize("batch", [1, 2, 16, 17])
@pytest.mark.parametrize("groups", [1, 4])
def test_no_fast_transform_touches_3_by_3_convolutions(batch: int, groups: int) -> None:
    """Winograd's transform rounds, which large odd sums show; one thread picks NNPACK where it is allowed."""
    rng = np.random.default_rng(batch)
    multiplier = multiplier_for(Uniform(8), Uniform(8, signed=False))
    weight = rng.choice([0x7F, 0x81, 0x7D, 3], (16, 32 // groups, 3, 3))
    options = {"padding": (1, 1), "groups": groups}
    network = single_layer(Conv, (32, 16, 16), weight, multiplier, **options)
    pixels = rng.integers(0, 128, (batch, 32, 16, 16)) * 2.0 + 1
    _, path = sums(network, pixels)
    assert path == "float32"


def test_predictions_are_the_first_largest_output() -> None:
    outputs = np.array([[1, 3, 3], [5, 2, 5], [-3, -2, -1]])
    assert Simulation(outputs, 0, {}, {}).predictions.tolist() == [1, 0, 2]


def tiny(datapath: Datapath = Datapath(16, 4)) -> Network:  # noqa: B008
    nodes = (
        Input("image", (), (2, 3, 3)),
        MaxPool("top", ("image",), kernel=(3, 3), stride=(1, 1)),
        Relu("out", ("top",)),
    )
    return Network(nodes, datapath)


@pytest.mark.parametrize("engine", ENGINES)
def test_pixels_round_to_even_and_saturate(engine: str) -> None:
    network = Network((Input("image", (), (8,)),), Datapath(8, 1))
    pixels = [0.25, 0.75, -0.25, -0.75, 63.5, 63.75, -64.0, -64.25]
    result = simulate(network, [pixels, [1e308, -1e308, 64, -65, 0.2, 0.3, 5e-324, -0.0]], engine)
    assert result.outputs.tolist() == [[0, 2, 0, -2, 127, 127, -128, -128], [127, -128, 127, -128, 0, 1, 0, 0]]
    assert result.overflows == {"image": 5}
    assert result.frac_bits == 1
    assert result.trace is None


@pytest.mark.parametrize("engine", ENGINES)
def test_progress_is_called_after_each_batch(engine: str) -> None:
    calls: list[tuple[int, int]] = []
    simulate(
        tiny(), np.zeros((7, 2, 3, 3)), engine, batch_size=3, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(3, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize("engine", ENGINES)
def test_trace_holds_every_node_in_order(engine: str) -> None:
    trace = simulate(tiny(), np.ones((5, 2, 3, 3)), engine, trace=True, batch_size=2).trace
    assert trace is not None
    assert {name: tensor.shape for name, tensor in trace.items()} == {
        "image": (5, 2, 3, 3),
        "top": (5, 2, 1, 1),
        "out": (5, 2, 1, 1),
    }


LAYOUTS_IN_MEMORY: list[tuple[str, Callable[[NDArray[np.float64]], Any]]] = [
    ("reversed", lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1]),
    ("fortran", np.asfortranarray),
    ("list", lambda x: x.tolist()),
    ("big-endian", lambda x: x.astype(">f8")),
    ("read-only", lambda x: np.frombuffer(x.tobytes()).reshape(x.shape)),
    ("broadcast", lambda x: np.broadcast_to(x[:1], x.shape)),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("kind", "change"), LAYOUTS_IN_MEMORY, ids=[kind for kind, _ in LAYOUTS_IN_MEMORY])
def test_images_may_lie_in_memory_in_any_way(engine: str, kind: str, change: Callable[[Any], Any]) -> None:
    images = np.random.default_rng(0).normal(size=(5, 2, 3, 3))
    changed = change(images)
    expected = simulate(tiny(), np.array(changed, dtype=np.float64, order="C"), engine)
    np.testing.assert_array_equal(simulate(tiny(), changed, engine, batch_size=2).outputs, expected.outputs)
    if kind == "read-only":
        assert not changed.flags.writeable


@pytest.mark.parametrize("engine", ENGINES)
def test_float32_and_integer_images_are_taken(engine: str) -> None:
    images = np.random.default_rng(0).integers(-9, 9, (3, 2, 3, 3))
    results = [simulate(tiny(), images.astype(t), engine).outputs for t in (np.int64, np.uint8, np.float32, np.float64)]
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[0], results[3])


def test_a_read_only_network_runs() -> None:
    network = random_network(3)
    for node in network.nodes:
        for array in [getattr(node, "weight", None), getattr(node, "bias", None)]:
            if array is not None:
                array.flags.writeable = False
    both(network, random_images(network, 3))


def marked(value: float) -> NDArray[np.float64]:
    images = np.zeros((3, 2, 3, 3))
    images[1, 0, 2, 1] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (marked(np.nan), "images must be finite, got nan at index (1, 0, 2, 1)"),
        (marked(np.inf), "images must be finite, got inf at index (1, 0, 2, 1)"),
        (marked(-np.inf), "images must be finite, got -inf at index (1, 0, 2, 1)"),
        (np.zeros((0, 2, 3, 3)), "images must have shape (N, 2, 3, 3) with N > 0, got (0, 2, 3, 3)"),
        (np.zeros((2, 3, 3)), "images must have shape (N, 2, 3, 3) with N > 0, got (2, 3, 3)"),
        (np.zeros((5, 2, 3, 4)), "images must have shape (N, 2, 3, 3) with N > 0, got (5, 2, 3, 4)"),
        (1.0, "images must have shape (N, 2, 3, 3) with N > 0, got ()"),
        ([], "images must have shape (N, 2, 3, 3) with N > 0, got (0,)"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_bad_images_are_refused(engine: str, images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        simulate(tiny(), images, engine)


def test_bad_options_are_refused() -> None:
    images = np.zeros((1, 2, 3, 3))
    with pytest.raises(
        ValueError, match=r"unknown engine 'tensors'; did you mean 'tensor'\? \(known: reference, tensor\)"
    ):
        simulate(tiny(), images, "tensors")
    for batch_size in (0, -1):
        with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
            simulate(tiny(), images, batch_size=batch_size)

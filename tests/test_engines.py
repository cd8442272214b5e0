"""The engines against each other and against plain Python integers, equal in every tensor and every count."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import engine_checks
import numpy as np
import plain_engine
import pytest
from engine_checks import assert_equal, both
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import random_images, random_network

from hwsim.engines import ENGINES, Simulation, simulate
from hwsim.engines.proof import prove, saturation_excluded
from hwsim.formats import FORMATS
from hwsim.multipliers import MULTIPLIERS
from hwsim.network import Datapath, Network
from hwsim.nodes import NODES, Conv, Input, MaxPool, Quantize, Relu, Rescale

strict_torch = engine_checks.strict_torch


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
@pytest.mark.parametrize("start", range(1000, 2000, 250))
def test_engines_agree_on_many_random_networks(start: int) -> None:
    for seed in range(start, start + 250):
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
    for seed in range(150):
        network = random_network(seed)
        seen.update(next(kind for kind, cls in NODES.items() if type(node) is cls) for node in network.nodes)
        seen[f"{network.datapath.bits} bits"] += 1
        for layer in network.layers:
            proof = prove(layer)
            circuit = layer.multiplier
            seen.update([layer.accumulator.overflow, str(proof.dtype), circuit.name, str(circuit.activation.signed)])
            seen.update([f"{circuit.weight.name} weights", f"{circuit.activation.name} activations"])
            seen["without zero"] += circuit.activation.zero_code is None
            seen.update([getattr(circuit, "layout", "no layout"), f"excluded {saturation_excluded(layer)}"])
            if isinstance(layer, Conv):
                seen["depthwise"] += layer.groups > 1 and layer.weight.shape[1] == 1
                seen["grouped"] += layer.groups > 1 and layer.weight.shape[1] > 1
                seen["strided"] += layer.stride != (1, 1)
                seen["dilated"] += layer.dilation != (1, 1)
                seen["oblong padding"] += layer.padding[0] != layer.padding[1]
                seen["padding by another code than 0"] += any(layer.padding) and circuit.activation.zero_code != 0
        images = random_images(network, seed, 5)
        seen.update(f"{name.rstrip('0123456789')} overflows" for name in simulate(network, images).overflows)
        seen.update(n.requantizer.rounding for n in network.nodes if isinstance(n, Rescale | Quantize))
        seen["offset"] += any(n.offset != 0 for n in network.nodes_of(Quantize))
    wanted = [
        *NODES,
        "error",
        "wrap",
        "saturate",
        "float32",
        "float64",
        "None",
        "True",
        "False",
    ]
    wanted += [*MULTIPLIERS, *(f"{name} weights" for name in FORMATS if name != "offset"), "offset", "without zero"]
    wanted += [f"{name} activations" for name in FORMATS if name not in ("pot", "post")]
    wanted += [
        "shared",
        "full",
        "depthwise",
        "grouped",
        "strided",
        "dilated",
        "oblong padding",
        "excluded True",
        "padding by another code than 0",
    ]
    wanted += ["excluded False", "half_up", "half_even", "floor", "toward_zero", "16 bits", "48 bits", "8 bits"]
    wanted += [f"{name} overflows" for name in ("image", "conv", "linear", "rescale", "add", "average", "adapted")]
    assert not [name for name in wanted if seen[name] < 2]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(8))
def test_batch_size_changes_nothing(engine: str, seed: int) -> None:
    network = random_network(seed)
    images = random_images(network, seed, 7)
    whole = simulate(network, images, engine, trace=True)
    for batch_size in (1, 3, 7, 100):
        assert_equal(simulate(network, images, engine, trace=True, batch_size=batch_size), whole)


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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch_size", [2, 5])
def test_trace_of_some_nodes_is_theirs_and_the_output(engine: str, batch_size: int) -> None:
    images = np.random.default_rng(0).normal(size=(5, 2, 3, 3))
    whole, some = (
        simulate(tiny(), images, engine, trace=names, batch_size=batch_size).trace for names in (True, ["image"])
    )
    assert whole is not None
    assert some is not None
    assert list(some) == ["image", "out"]
    for name, tensor in some.items():
        np.testing.assert_array_equal(tensor, whole[name])


def test_a_node_to_trace_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="unknown node to trace 'imag'; did you mean 'image'"):
        simulate(tiny(), np.ones((1, 2, 3, 3)), trace=["imag"])


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
        ValueError, match=r"unknown engine 'tensors'; did you mean 'tensor'\? \(known: reference, compiled, .*cuda\)"
    ):
        simulate(tiny(), images, "tensors")
    for batch_size in (0, -1):
        with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
            simulate(tiny(), images, batch_size=batch_size)

"""The device engine's operations, run on the CPU, against the reference engine: every tensor, every count."""

from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import strict_torch  # noqa: F401
from random_networks import random_images, random_network

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.engines import device, device_layers, simulate
from hwsim.formats import PowerOfTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import Conv, Input, Linear, Quantize, Rescale

CPU = torch.device("cpu")


def assert_exact(network: Network, images: Any) -> device.DeviceEngine:
    reference = simulate(network, images, "reference", trace=True)
    engine = device.prepare(network, [node.name for node in network.nodes], "cpu")
    run = engine.run(images)
    assert reference.trace is not None
    for name, tensor in reference.trace.items():
        result = engine.to_numpy(run.values[name])
        assert result.dtype == np.int64
        np.testing.assert_array_equal(result, tensor, err_msg=name)
    assert {name: count for name, count in run.overflows.items() if count} == reference.overflows
    output = network.output.name
    lean = device.prepare(network, [output], "cpu").run(images)
    np.testing.assert_array_equal(engine.to_numpy(lean.values[output]), reference.outputs)
    assert set(lean.values) == {output}
    return engine


@pytest.mark.parametrize("seed", range(120))
def test_random_networks_agree_with_the_reference(seed: int) -> None:
    network = random_network(seed)
    if any("cannot run" in reason for reason in refusals(network)):
        pytest.skip("a layer is refused, as the next test checks")
    assert_exact(network, random_images(network, seed))


def refusals(network: Network) -> list[str]:
    try:
        device.prepare(network, [], "cpu")
    except ValueError as error:
        return [str(error)]
    return []


def layer(weight: Any, multiplier: Any, accumulator: Accumulator) -> Network:
    codes = np.array(weight, np.int64)
    nodes = (
        Input("image", (), (codes.shape[1],)),
        Quantize("codes", ("image",), format=multiplier.activation, requantizer=Requantizer(np.array(1), np.array(0))),
        Linear("layer", ("codes",), weight=codes, multiplier=multiplier, accumulator=accumulator),
        Rescale("out", ("layer",), requantizer=Requantizer(np.array(0), np.array(0)), bias=np.zeros(len(codes), int)),
    )
    return Network(nodes, Datapath(32, 0))


def test_what_has_no_exact_path_is_refused_by_name() -> None:
    multiplier = multiplier_for(PowerOfTwo(8, exponents=50), Uniform(9, signed=False))
    network = layer([[1, 50]], multiplier, Accumulator(40, "saturate"))
    message = "node 'layer' cannot run on cpu: the accumulator can saturate, so the order of additions matters"
    assert refusals(network) == [message]


@pytest.mark.parametrize(
    ("exponents", "ways"),
    [
        (range(11), device_layers.WAYS),
        ([11], device_layers.WAYS),
        ([12], device_layers.WAYS[1:]),  # 2^12 has few bits, but the limit is a magnitude
        ([23, 23], device_layers.WAYS[1:]),
        ([24, 0], ("float64",)),
        ([53], ("float64",)),
    ],
)
def test_ways_follow_from_the_bound(exponents: Any, ways: tuple[str, ...]) -> None:
    multiplier = multiplier_for(PowerOfTwo(8, exponents=56), Uniform(1, signed=False))
    network = layer([[e + 1 for e in exponents]], multiplier, Accumulator(63))
    engine = assert_exact(network, np.ones((2, len(exponents))))
    float_layer = engine.layers["layer"]
    assert isinstance(float_layer, device_layers.FloatLayer)
    assert float_layer.ways == ways


def test_a_way_that_rounds_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution that is off by one in one sum of the trial, as a transform would be, is dropped for float64."""
    convolve = torch.nn.functional.conv2d

    def rounding(image: torch.Tensor, *rest: Any) -> torch.Tensor:
        sums = convolve(image, *rest)
        if image.dtype == torch.float32:
            sums.view(-1)[-1] += 1
        return sums

    monkeypatch.setattr(torch.nn.functional, "conv2d", rounding)
    multiplier = multiplier_for(Uniform(4), Uniform(4, signed=False))
    engine = assert_exact(layer([[7, 3], [1, 15]], multiplier, Accumulator(32)), np.array([[3.0, 15.0]]))
    chosen = engine.layers["layer"].chosen  # type: ignore[attr-defined]
    assert [way for way, *_ in chosen.values()] == ["float64"]


@pytest.mark.parametrize("weight", [(4, 3, 3, 3), (2, 512, 3, 3), (1, 1, 1, 1)])
def test_trials_use_large_odd_operands_below_the_bound(weight: tuple[int, ...]) -> None:
    weights, images = device_layers.odd_operands(weight, (2, weight[1], 5, 5))
    taps = weight[1] * weight[2] * weight[3]
    assert ((weights % 2).abs() == 1).all()
    assert (images % 2 == 1).all()
    bound = float(weights.abs().max() * images.max()) * taps
    assert min(2**22, 2**19 * taps) < bound <= 2**24 or taps == 1
    assert float(images.max()) <= 2**11


def test_settings_are_restored() -> None:
    cudnn: Any = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision
    with device_layers.exact_settings("tf32"):
        assert (cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision) == (False, True, "tf32")
    with device_layers.exact_settings("float32"):
        assert cudnn.conv.fp32_precision == "ieee"
    assert (cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision) == before


@pytest.mark.parametrize("groups", [1, 2])
def test_saturation_follows_the_order_of_the_loop_nest(groups: int) -> None:
    rng = np.random.default_rng(groups)
    multiplier = multiplier_for(Uniform(4), Uniform(3))
    options: Any = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": groups}
    weight = rng.choice(16, (4, 4 // groups, 3, 2))
    nodes = (
        Input("image", (), (4, 7, 6)),
        Quantize("q", ("image",), format=Uniform(3), requantizer=Requantizer(np.array(1), np.array(0))),
        Conv("conv", ("q",), weight=weight, multiplier=multiplier, accumulator=Accumulator(6, "saturate"), **options),
        Rescale("out", ("conv",), requantizer=Requantizer(np.array(1), np.array(0)), bias=np.zeros(4, np.int64)),
    )
    images = rng.integers(-4, 4, (3, 4, 7, 6)).astype(np.float64)
    engine = assert_exact(Network(nodes, Datapath(16, 0)), images)
    assert engine.paths["conv"].startswith("products one at a time on cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_cuda_device_is_said() -> None:
    with pytest.raises(ValueError, match="the cuda engine needs a CUDA device, and torch sees none"):
        simulate(random_network(0), random_images(random_network(0), 0), "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("seed", range(20))
def test_the_gpu_agrees(seed: int) -> None:
    network = random_network(seed)
    if not refusals(network):
        images = random_images(network, seed)
        result, expected = (simulate(network, images, engine) for engine in ("cuda", "reference"))
        np.testing.assert_array_equal(result.outputs, expected.outputs)
        assert result.overflows == expected.overflows

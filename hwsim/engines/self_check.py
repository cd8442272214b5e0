"""A quick check that the engines agree on this machine: a small network with every kind of circuit and accumulator."""

from collections.abc import Iterator, Mapping

import numpy as np

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.engines.simulate import ENGINES, WITH_TORCH, Simulation, simulate
from hwsim.errors import CheckFailedError
from hwsim.extras import is_installed
from hwsim.formats import Apot, Codebook, Format, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Network
from hwsim.nodes import Conv, Input, Node, Quantize, Rescale

CHANNELS, SIZE, IMAGES = 16, 8, 4  #: As many channels as vector kernels begin with.
WRAP, SATURATE = Accumulator(9, "wrap"), Accumulator(9, "saturate")  #: So narrow that sums overflow.

#: Layer -> format of the weights, bits of the activations, accumulator.
LAYERS: Mapping[str, tuple[Format, int, Accumulator]] = {
    "uniform, 8 bits": (Uniform(8), 8, Accumulator(32)),
    "uniform, 4 bits, wrapping": (Uniform(4), 4, WRAP),
    "uniform, 4 bits, saturating": (Uniform(4), 4, SATURATE),
    "pot, 4 bits": (PowerOfTwo(4), 4, Accumulator(32)),
    "post, 4 bits": (PowerOfSqrtTwo(4), 4, Accumulator(32)),
    "apot, 4 bits, saturating": (Apot(4), 4, SATURATE),
    "codebook, 3 bits": (Codebook(3, (-9, -5, -2, -1, 0, 1, 4, 9)), 4, Accumulator(32)),
}


def check_network() -> Network:
    """Return the network that the engines are checked with: a convolution of each kind in `LAYERS`, in a row."""
    rng = np.random.default_rng(0)
    nodes: list[Node] = [Input("image", (), (CHANNELS, SIZE, SIZE))]
    for name, (weights, act_bits, accumulator) in LAYERS.items():
        activation = Uniform(act_bits, signed=False)
        multiplier = multiplier_for(weights, activation)
        codes = rng.choice(weights.codes, (CHANNELS, CHANNELS, 3, 3)).astype(np.int64)
        step = Requantizer.from_scale(2.0 ** (act_bits - 16))
        quantize = Quantize(f"codes of {name}", (nodes[-1].name,), format=activation, requantizer=step)
        options = {"weight": codes, "multiplier": multiplier, "accumulator": accumulator, "padding": (1, 1)}
        conv = Conv(name, (quantize.name,), **options)  # type: ignore[arg-type]
        gain = Requantizer.from_scale(np.full(CHANNELS, 2.0**17 / conv.largest_sum))
        bias = rng.integers(0, 1 << 15, CHANNELS)
        nodes += [quantize, conv, Rescale(f"values of {name}", (name,), requantizer=gain, bias=bias)]
    return Network(tuple(nodes), name="self-check")


def present_engines() -> Iterator[str]:
    """Yield the engines for the CPU whose packages are installed, the reference engine apart."""
    yield from (name for name in ENGINES if name != "reference" and (name not in WITH_TORCH or is_installed("torch")))


def check_engine(engine: str) -> Simulation:
    """Run the network on an engine and compare every tensor and every count of overflows with the reference engine.

    Raises:
        CheckFailedError: one differs; the message names the node.
        ValueError: the engine is unknown, or its device is missing.
    """
    network = check_network()
    images = np.random.default_rng(1).normal(size=(IMAGES, *network.input.shape))
    expected = simulate(network, images, "reference", trace=True)
    found = simulate(network, images, engine, trace=True)
    for name, values in (expected.trace or {}).items():
        if not np.array_equal(values, (found.trace or {})[name]):
            raise CheckFailedError(f"the {engine} engine differs from the reference engine in {name!r}")
    if found.overflows != expected.overflows:
        raise CheckFailedError(f"the {engine} engine counts other overflows than the reference engine")
    return found

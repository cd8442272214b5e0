"""The last 3 x 3 convolution of ResNet-18 on a systolic array in RTL simulation: cycles per second, and all equal?

512 to 512 channels, 7 x 7 positions, 115.6 M MACs: random POST codes of 4 bits, random activations, an accumulator for
any sum. Amaranth's own simulator would take more than an hour; give it fewer channels.

    python benchmarks/rtl_layer.py
    python benchmarks/rtl_layer.py --simulator amaranth --channels 8
"""

import argparse
import time

import numpy as np

from hwsim.accumulator import Accumulator, exact_bits
from hwsim.arithmetic import Requantizer
from hwsim.formats import PowerOfSqrtTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import Conv, Input, Quantize, Rescale
from hwsim.rtl.verify_layer import ArrayChoice, verify_layer

SIDE = 7


def layer(channels: int) -> Network:
    """Return the convolution as a network of its own."""
    rng = np.random.default_rng(0)
    activation = Uniform(4, signed=False)
    multiplier = multiplier_for(PowerOfSqrtTwo(4), activation, 2, "shared")
    conv = Conv(
        "conv",
        ("codes",),
        weight=rng.choice(multiplier.weight.codes, (channels, channels, 3, 3)),
        multiplier=multiplier,
        accumulator=Accumulator(exact_bits(multiplier, channels * 9), "error"),
        padding=(1, 1),
    )
    scale = Requantizer(rng.integers(1 << 14, 1 << 15, channels), np.full(channels, 12))
    nodes = (
        Input("image", (), (channels, SIDE, SIDE)),
        Quantize("codes", ("image",), format=activation, requantizer=Requantizer(np.array(1), np.array(0))),
        conv,
        Rescale("rescale", ("conv",), requantizer=scale, bias=rng.integers(-999, 999, channels)),
    )
    return Network(nodes, Datapath(48, 0))


def main() -> None:
    """Run the layer and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulator", default="cxxrtl")
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--array", type=int, default=16, help="rows, and columns")
    options = parser.parse_args()
    network = layer(options.channels)
    shape = (1, options.channels, SIDE, SIDE)
    image = np.random.default_rng(1).integers(0, 16, shape).astype(np.float64)
    began = time.perf_counter()
    choice = ArrayChoice(options.array, options.array, "os", options.simulator)
    check = verify_layer(network, "conv", image, None, choice)
    seconds = time.perf_counter() - began
    verdict = "equal" if check.passed else "DIFFERENT"
    print(f"{options.simulator}: M, K, N = {check.size}, {check.cycles} cycles, {seconds:.1f} s, {verdict}")


if __name__ == "__main__":
    main()

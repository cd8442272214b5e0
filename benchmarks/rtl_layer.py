"""A layer of ResNet-18 on a systolic array in RTL simulation: cycles per second, and whether all is equal.

The last 3 x 3 convolution (512 to 512 channels, 7 x 7 positions, 115.6 M MACs) with random POST codes of 4 bits, random
activations and an accumulator for any sum. Amaranth's simulator runs only some positions, CXXRTL the whole layer.

    python benchmarks/rtl_layer.py --rows 16 --columns 16
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

CHANNELS, SIDE = 512, 7


def layer() -> Network:
    """Return the convolution as a network of its own."""
    rng = np.random.default_rng(0)
    activation = Uniform(4, signed=False)
    multiplier = multiplier_for(PowerOfSqrtTwo(4), activation, 2, "shared")
    conv = Conv(
        "conv",
        ("codes",),
        weight=rng.choice(multiplier.weight.codes, (CHANNELS, CHANNELS, 3, 3)),
        multiplier=multiplier,
        accumulator=Accumulator(exact_bits(multiplier, CHANNELS * 9), "error"),
        padding=(1, 1),
    )
    scale = Requantizer(rng.integers(1 << 14, 1 << 15, CHANNELS), np.full(CHANNELS, 12))
    nodes = (
        Input("image", (), (CHANNELS, SIDE, SIDE)),
        Quantize("codes", ("image",), format=activation, requantizer=Requantizer(np.array(1), np.array(0))),
        conv,
        Rescale("rescale", ("conv",), requantizer=scale, bias=rng.integers(-999, 999, CHANNELS)),
    )
    return Network(nodes, Datapath(48, 0))


def main() -> None:
    """Run the layer by both simulators and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--columns", type=int, default=16)
    options = parser.parse_args()
    network = layer()
    image = np.random.default_rng(1).integers(0, 16, (1, CHANNELS, SIDE, SIDE)).astype(np.float64)
    for simulator, positions in (("cxxrtl", None),):
        began = time.perf_counter()
        choice = ArrayChoice(options.rows, options.columns, "os", simulator)
        check = verify_layer(network, "conv", image, positions, choice)
        seconds = time.perf_counter() - began
        print(
            f"{simulator}: M, K, N = {check.size}, {check.cycles} cycles, {seconds:.1f} s",
            "equal" if check.passed else "DIFFERENT",
        )


if __name__ == "__main__":
    main()

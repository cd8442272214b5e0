"""Rescaling and requantizing at the edge of 63 bits, and datapaths."""

import re
from typing import Any

import numpy as np
import pytest

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import Requantizer
from hwsim.engines import ENGINES, simulate
from hwsim.formats import PowerOfTwo, Uniform
from hwsim.multipliers import multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import (
    Input,
    Linear,
    Quantize,
    Rescale,
)


def scale(multiplier: Any = 1, shift: Any = 0) -> Requantizer:
    return Requantizer(np.array(multiplier, np.int64), np.broadcast_to(np.array(shift, np.int64), np.shape(multiplier)))


def one_layer(largest: int, requantizer: Requantizer, constant: int, datapath: Datapath | None = None) -> Network:
    """Return a network whose one sum reaches exactly `largest`, a power of two."""
    multiplier = multiplier_for(PowerOfTwo(8, exponents=60), Uniform(1, signed=False))
    nodes = (
        Input("image", (), (1,)),
        Quantize("codes", ("image",), format=multiplier.activation, requantizer=scale()),
        Linear(
            "sums",
            ("codes",),
            weight=np.array([[largest.bit_length()]]),
            multiplier=multiplier,
            accumulator=Accumulator(62),
        ),
        Rescale("out", ("sums",), requantizer=requantizer, bias=np.array([constant])),
    )
    return Network(nodes, datapath or Datapath(48, 0))


@pytest.mark.parametrize("engine", ENGINES)
def test_rescaling_is_exact_up_to_63_bits_and_refused_beyond(engine: str) -> None:
    top = 2**47 - 1
    for requantizer, constant, result in [
        (scale(2**31 - 1, 20), 0, (2**31 - 1) << 11),
        (scale(3, 0), 2**62 - 1, top),
        (scale(-(2**31) + 1, 0), -(2**62) + 1, -top - 1),
        (scale(2**31 - 1, 31), -5, 2**31 - 1 - 5),
    ]:
        largest = 2**31
        got = simulate(one_layer(largest, requantizer, constant), [[1.0]], engine).outputs.tolist()
        assert got == [[result]]
    with pytest.raises(
        ValueError, match=f"node 'out': values up to {2**33} times the multiplier {2**30} exceed 63 bits"
    ):
        one_layer(2**33, scale(2**30), 0)
    one_layer(2**32, scale(2**30, 0), 2**62 - 1)
    with pytest.raises(ValueError, match=f"node 'out': rescaled sums up to {3 * 2**61} plus the bias exceed 63 bits"):
        one_layer(2**32, scale(3 * 2**29, 0), 2**61)
    one_layer(2**32, scale(3 * 2**29, 0), 2**61 - 1)
    one_layer(2**32, scale(3 * 2**29, 1), 2**61)
    for constant in (2**62, -(2**62), -(2**63)):
        with pytest.raises(ValueError, match="node 'out' has a bias beyond 62 bits"):
            one_layer(1, scale(), constant)


@pytest.mark.parametrize(
    ("bits", "frac_bits", "message"),
    [
        (1, 0, "datapath bits must be an integer in 2..48, got 1"),
        (49, 0, "datapath bits must be an integer in 2..48, got 49"),
        (16.0, 0, "datapath bits must be an integer in 2..48, got 16.0"),
        (16, 17, "datapath frac_bits must be an integer in 0..16, got 17"),
        (16, -1, "datapath frac_bits must be an integer in 0..16, got -1"),
    ],
)
def test_datapaths_outside_the_rules_are_refused(bits: Any, frac_bits: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Datapath(bits, frac_bits)


def test_datapaths_at_the_edges() -> None:
    assert Datapath(2, 2).range == (-2, 1)
    assert Datapath(48, 48).range == (-(2**47), 2**47 - 1)

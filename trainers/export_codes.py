"""From fixed point to a quantizer's codes: by one multiplication where levels are consecutive, else by comparisons."""

import math
from fractions import Fraction

import numpy as np

from hwsim.arithmetic import IntArray
from hwsim.formats import IntegerFormat, Offset, Uniform
from hwsim.network import Datapath
from hwsim.nodes import Encode, Quantize, Threshold
from trainers.export_config import ExportConfig
from trainers.quantizers import Quantizer


def encode_node(name: str, inputs: tuple[str, ...], quantizer: Quantizer, config: ExportConfig) -> Encode:
    """Return the node that makes the codes of an activation quantizer.

    Consecutive levels: the offset is rounded to the datapath, the step becomes a multiplier and a shift. Other levels:
    the thresholds are rounded up to the datapath, so a value that the datapath holds gets the level that exact
    arithmetic gives it.

    Raises:
        ValueError: the levels are not integers, so no multiplier takes them, or a scale or an offset is out of reach.
    """
    fmt = integer_format(quantizer)
    step, offset = float(quantizer.input_scale), float(quantizer.input_offset)
    if not isinstance(fmt, Uniform | Offset):
        return Threshold(name, inputs, format=fmt, thresholds=thresholds_on(config.datapath, fmt, step, offset))
    unit, largest = 2.0**-config.datapath.frac_bits, -config.datapath.range[0]
    start = round(offset / unit)
    if abs(start) > largest:
        raise ValueError(f"an offset of {offset} is beyond the datapath of {config.datapath.bits} bits")
    requantizer = config.requantizer(np.array(unit / step), largest + abs(start))
    return Quantize(name, inputs, format=fmt, requantizer=requantizer, offset=start)


def integer_format(quantizer: Quantizer) -> IntegerFormat:
    """Return the format of an activation quantizer's codes.

    Raises:
        ValueError: its levels are not integers.
    """
    fmt = quantizer.format
    if not isinstance(fmt, IntegerFormat):
        raise ValueError(f"activations of {fmt.name} levels; the multipliers take integer ones")
    return fmt


def thresholds_on(datapath: Datapath, fmt: IntegerFormat, step: float, offset: float) -> IntArray:
    """Return the smallest integers on the datapath that get the next level; beyond its range, just above it."""
    low, high = datapath.range
    exact = (Fraction(t) * Fraction(step) + Fraction(offset) for t in fmt.thresholds.tolist())
    return np.array([min(max(math.ceil(t * 2**datapath.frac_bits), low), high + 1) for t in exact], dtype=np.int64)

"""ASQ's adapter to integers: 8-bit weights, 8-bit codes between its layers, beta in fixed point.

Codes span the peaks that the adapter saw at the end of training; weights span their largest magnitude, one scale per
layer. The quantizer's and the rescaling's multipliers keep all their bits, since beta divides or multiplies them.
"""

import math
from typing import Any

import numpy as np
from torch import nn

from hwsim.adapter import HIDDEN_BITS, AdapterLayer
from hwsim.arithmetic import IntArray
from hwsim.formats import IntegerFormat, Uniform
from hwsim.nodes import Adapter, AdaptiveQuantize, AdaptiveRescale, Shape
from trainers.export_config import ExportConfig
from trainers.folding import FloatArray, to_numpy
from trainers.quantizers.asq import AsqQuantizer

BETA_BITS = 16
BETA_FRAC_BITS = 12  #: Beta reaches from 2^-12 to almost 16.
FEWEST_BITS = 20  #: The quantizer's multiplier needs: 12 for beta = 1, and 8 more than that.
LARGEST_BIAS = 2**30


def adapter_node(
    name: str, inputs: tuple[str, ...], quantizer: AsqQuantizer, shape: Shape, config: ExportConfig
) -> Adapter:
    """Return the node that makes the betas of a layer's input, shape (C, ...).

    Raises:
        ValueError: a weight is not finite.
    """
    adapter = quantizer.adapter
    codes = Uniform(HIDDEN_BITS, signed=quantizer.format.signed)
    tops = [codes.max_level, *[2.0**HIDDEN_BITS - 1] * (len(adapter.layers) - 1)]
    peaks = [peak if peak > 0 else 1.0 for peak in to_numpy(adapter.peaks)]
    scales = [*(peak / top for peak, top in zip(peaks, tops, strict=True)), 2.0**-BETA_FRAC_BITS]
    linears = [layer for layer in adapter.layers if isinstance(layer, nn.Linear)]
    positions, unit = math.prod(shape[1:]), 2.0**-config.datapath.frac_bits
    largest = -config.datapath.range[0] * positions
    return Adapter(
        name,
        inputs,
        format=codes,
        requantizer=config.requantizer(np.array(unit / (positions * scales[0])), largest),
        layers=tuple(_layer(name, *parts, config) for parts in zip(linears, scales[:-1], scales[1:], strict=True)),
        bits=BETA_BITS,
        frac_bits=BETA_FRAC_BITS,
    )


def _layer(name: str, linear: nn.Linear, scale_in: float, scale_out: float, config: ExportConfig) -> AdapterLayer:
    weight, bias = to_numpy(linear.weight), to_numpy(linear.bias)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ValueError(f"{name}: a weight or bias of the adapter is not finite")
    highest = 2 ** (HIDDEN_BITS - 1) - 1
    step = max(np.abs(weight).max() / highest, np.abs(bias).max() / scale_in / LARGEST_BIAS) or 1.0
    integers = np.rint(weight / step).astype(np.int64)
    offsets: IntArray = np.rint(bias / (step * scale_in)).astype(np.int64)
    largest = int(np.abs(integers).sum(axis=1).max() << HIDDEN_BITS) + int(np.abs(offsets).max())
    return AdapterLayer(integers, offsets, config.requantizer(np.array(step * scale_in / scale_out), largest))


def adaptive_quantize(
    name: str, inputs: tuple[str, ...], format: IntegerFormat, scale: FloatArray, config: ExportConfig
) -> AdaptiveQuantize:
    """Return the quantizer that divides by beta, the last input; `scale` is that for beta = 1.

    Raises:
        ValueError: the datapath is so wide that the divided multiplier would keep too few bits.
    """
    largest = -config.datapath.range[0]
    bits = min(31, 63 - largest.bit_length())
    if bits < FEWEST_BITS:
        raise ValueError(
            f"{name}: a datapath of {config.datapath.bits} bits leaves {bits} bits for multipliers that beta divides; "
            f"they need {FEWEST_BITS}, so at most {63 - FEWEST_BITS} bits of datapath"
        )
    requantizer = config.requantizer(scale * 2.0**BETA_FRAC_BITS, largest).widened(bits)
    return AdaptiveQuantize(name, inputs, format=format, requantizer=requantizer)


def adaptive_rescale(
    name: str, inputs: tuple[str, ...], scale: FloatArray, largest: int, config: ExportConfig, **fields: Any
) -> AdaptiveRescale:
    """Return the rescaling that multiplies by beta, the last input; `scale` is that for beta = 1."""
    bits = min(config.multiplier_bits, 63 - largest.bit_length())
    requantizer = config.requantizer(scale * 2.0 ** (BETA_BITS - BETA_FRAC_BITS), largest).widened(bits)
    return AdaptiveRescale(name, inputs, requantizer=requantizer, beta_bits=BETA_BITS, **fields)

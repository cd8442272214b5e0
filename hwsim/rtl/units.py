"""The circuits that can be written as Verilog by name."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwsim.accumulator import Accumulator
from hwsim.errors import unknown_name
from hwsim.formats import IntegerFormat, Offset, Uniform
from hwsim.multipliers import Multiplier
from hwsim.rtl.adapter import AdapterCircuit
from hwsim.rtl.beta_product import BetaProductCircuit
from hwsim.rtl.dot_product import DotProduct
from hwsim.rtl.multipliers import circuit_for
from hwsim.rtl.processing_element import ProcessingElement
from hwsim.rtl.quantizer import QuantizerCircuit
from hwsim.rtl.reciprocal import ReciprocalCircuit
from hwsim.rtl.requantizer import RequantizerCircuit
from hwsim.rtl.systolic import systolic_array
from hwsim.rtl.thresholds import ThresholdCircuit
from hwsim.rtl.unit import Unit


@dataclass(frozen=True)
class Choices:
    """What the circuits are made from; each takes what it needs."""

    multiplier: Multiplier
    accumulator: Accumulator
    style: str | None = None  #: Of the multiplier.
    terms: int = 16  #: Of the dot product.
    datapath_bits: int = 32
    frac_bits: int = 8  #: Of the datapath, for thresholds.
    rounding: str = "half_up"
    array: tuple[int, int, str] = (4, 4, "os")  #: Rows, columns and dataflow of the systolic array.
    adapter: AdapterCircuit | None = None  #: Of a layer of a trained network.

    @property
    def activation(self) -> IntegerFormat:
        """The format of the codes that quantizers make."""
        return self.multiplier.activation


def make_unit(name: str, choices: Choices) -> Unit:
    """Return one of `UNITS`.

    Raises:
        ValueError: an unknown name, or choices that the circuit refuses.
    """
    if name not in UNITS:
        raise unknown_name("unit", name, UNITS)
    return UNITS[name](choices)


def _quantizer(choices: Choices) -> Unit:
    if not isinstance(choices.activation, Uniform | Offset):
        raise ValueError(f"the quantizer makes uniform or offset codes; thresholds make {choices.activation}")
    return QuantizerCircuit(choices.activation, choices.datapath_bits, 0, choices.rounding)


def _thresholds(choices: Choices) -> Unit:
    thresholds = np.ceil(np.ldexp(choices.activation.thresholds, choices.frac_bits)).astype(np.int64)
    return ThresholdCircuit(choices.activation, thresholds, choices.datapath_bits)


def _adapter(choices: Choices) -> Unit:
    if choices.adapter is None:
        raise ValueError("an adapter holds a trained network's constants: name the network's file and a layer with ASQ")
    return choices.adapter


WITH_ACCUMULATOR = ("pe", "array", "requantizer")
UNITS: dict[str, Callable[[Choices], Unit]] = {
    "multiplier": lambda choices: circuit_for(choices.multiplier, choices.style),
    "pe": lambda choices: ProcessingElement(choices.multiplier, choices.accumulator, choices.style),
    "dot": lambda choices: DotProduct(choices.multiplier, choices.terms, choices.style),
    "array": lambda choices: systolic_array(choices.multiplier, choices.accumulator, *choices.array, choices.style),
    "requantizer": lambda choices: RequantizerCircuit(
        choices.accumulator.bits, choices.datapath_bits, rounding=choices.rounding
    ),
    "quantizer": _quantizer,
    "thresholds": _thresholds,
    "reciprocal": lambda choices: ReciprocalCircuit(),
    "beta_product": lambda choices: BetaProductCircuit(),
    "adapter": _adapter,
}

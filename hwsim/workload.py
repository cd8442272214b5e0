"""What a network asks of hardware, without weights: layers as loop nests, with the formats of their operands."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hwsim.errors import unknown_name
from hwsim.formats import Format
from hwsim.multipliers import Multiplier

if TYPE_CHECKING:
    from hwsim.network import Network

MAC_KINDS = ("conv", "conv_transpose", "linear", "matmul")

#: Every kind of layer, with what it computes per output element (or, where said, per layer).
KINDS = {
    "conv": "sum of C/groups * FY * FX products",
    "conv_transpose": "each input pixel adds K/groups * FY * FX products to the output",
    "linear": "sum of C products, for each of OX tokens",
    "matmul": "sum of C/groups products of two activations, for OX rows, groups matrices (attention heads)",
    "embedding": "one of C rows of K values, for each of OX tokens",
    "add": "sum of two tensors",
    "multiply": "product of two tensors",
    "relu": "one comparison",
    "clip": "two comparisons (ReLU6, hard tanh)",
    "nonlinear": "one evaluation of a function such as GELU or the sigmoid",
    "max_pool": "largest of FY * FX values",
    "avg_pool": "mean of FY * FX values",
    "batch_norm": "multiplication and addition by constants per channel",
    "rescale": "fixed-point multiplication, shift and addition per channel",
    "quantize": "fixed-point multiplication, shift and clipping to codes",
    "threshold": "comparisons with all thresholds between the levels of the output's format",
    "reciprocal": "one reciprocal",
    "norm": "mean, variance and affine map over K values (layer, group and RMS norm)",
    "softmax": "exponentials and their sum over K values",
    "reshape": "no arithmetic (flatten, concatenate, pad, subsample, permute)",
    "constant": "no arithmetic: C parameters that some operator reads",
    "unknown": "an operator that is not known; `op` names it",
}

SIZES = ("N", "K", "C", "OY", "OX", "IY", "IX", "FY", "FX", "groups")

FLOAT_BITS = 32  #: Width of an operand without a format.


class WorkloadError(ValueError):
    """A layer or a workload that cannot be; the message names the layer and the rule."""


@dataclass(frozen=True)
class WeightFacts:
    """What is known of a layer's weight codes beyond their shape.

    operations: (kind, count) of one pass over all codes, e.g. (("shift", 30), ("table_read", 12)).
    nonzero: codes whose level is not zero.
    enclosed_bits: sum over codes of the bits between the first and the last set bit of the integer weight.
    """

    operations: tuple[tuple[str, int], ...]
    nonzero: int
    enclosed_bits: int


@dataclass(frozen=True)
class Layer:
    """One layer as the hardware sees it: a loop nest over N, K, C, OY, OX, FY, FX, in `groups` independent parts.

    K and C count all output and input channels, over all groups. A linear layer has one output pixel, or one per token
    (OX). A product of two activations (`matmul`, or any kind without `has_weight`) has no parameters. Layers without
    products use the same letters: N*C*IY*IX elements in, N*K*OY*OX out.

    Raises:
        WorkloadError: an unknown kind, a size below 1, groups that do not divide the channels, an output size that the
            input size contradicts, or a multiplier for other formats.
    """

    name: str
    kind: str
    N: int = 1
    K: int = 1
    C: int = 1
    OY: int = 1
    OX: int = 1
    IY: int = 1
    IX: int = 1
    FY: int = 1
    FX: int = 1
    groups: int = 1
    strides: tuple[int, int] = (1, 1)  #: (y, x)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  #: (top, left, bottom, right)
    dilation: tuple[int, int] = (1, 1)  #: (y, x)
    has_weight: bool = False
    has_bias: bool = False
    shared: bool = False  #: The parameters belong to an earlier layer, which counts them.
    weight: Format | None = None  #: None is 32-bit float.
    activation: Format | None = None  #: Format of the input, of the output for `quantize`; None is 32-bit float.
    multiplier: Multiplier | None = None
    facts: WeightFacts | None = None
    accumulator_bits: int | None = None  #: Width of the register that sums the products, where one was chosen.
    scales: int = 0  #: Stored scale factors: quantization steps, fixed-point multipliers with their shifts.
    scale_bits: int = FLOAT_BITS  #: Bits that store one scale factor.
    bias_bits: int = FLOAT_BITS  #: Bits that store one bias.
    inputs: tuple[str, ...] = ()  #: Keys of the layers it reads; "input" is the network's input.
    part: str = ""  #: Which helper of the layer `name` this is, e.g. "quantizer"; empty for the layer itself.
    op: str = ""  #: The operator's name in the framework it came from.

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise WorkloadError(f"layer {self.key}: {unknown_name('kind', self.kind, KINDS)}")
        sizes = [(letter, getattr(self, letter), 1) for letter in SIZES]
        sizes += [("strides", size, 1) for size in self.strides] + [("dilation", size, 1) for size in self.dilation]
        for what, size, low in sizes + [("padding", size, 0) for size in self.padding]:
            if type(size) is not int or size < low:  # a bool is no size
                raise WorkloadError(f"layer {self.key}: {what} must be an integer of at least {low}, got {size!r}")
        if self.kind in MAC_KINDS and (self.C % self.groups or self.K % self.groups):
            raise WorkloadError(f"layer {self.key}: groups={self.groups} must divide C={self.C} and K={self.K}")
        if self.kind in ("conv", "conv_transpose"):
            _check_geometry(self)
        formats = (self.weight, self.activation)
        if self.multiplier and (self.multiplier.weight, self.multiplier.activation) != formats:
            raise WorkloadError(f"layer {self.key}: the multiplier's formats are not the layer's")

    @property
    def key(self) -> str:
        """The layer's unique name: `name`, or `name/part`."""
        return f"{self.name}/{self.part}" if self.part else self.name

    @property
    def terms(self) -> int:
        """Products that are summed into one output."""
        return self.C // self.groups * self.FY * self.FX

    @property
    def outputs(self) -> int:
        """Elements of the output."""
        return self.N * self.K * self.OY * self.OX

    @property
    def elements_in(self) -> int:
        """Elements of the (first) input."""
        return self.N * self.C * self.IY * self.IX

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with padding included; 0 for a kind without products."""
        if self.kind == "conv_transpose":
            return self.elements_in * (self.K // self.groups) * self.FY * self.FX
        return self.outputs * self.terms if self.kind in MAC_KINDS else 0

    @property
    def operand_elements(self) -> int:
        """Elements of the second operand of the products: weights, or the other activation of a `matmul`."""
        return self.K * self.terms if self.kind in MAC_KINDS else 0

    @property
    def weights(self) -> int:
        """Parameters apart from the bias, 0 where an earlier layer owns them."""
        if self.shared or not self.has_weight:
            return 0
        if self.kind in MAC_KINDS:
            return self.operand_elements
        return {"embedding": self.C * self.K, "constant": self.C}.get(self.kind, self.K)

    @property
    def biases(self) -> int:
        """Bias parameters, 0 where an earlier layer owns them."""
        return self.K if self.has_bias and not self.shared else 0

    @property
    def parameters(self) -> int:
        """Parameters, biases and scale factors included."""
        return self.weights + self.biases + self.scales

    @property
    def sum_bits(self) -> int:
        """Width of the sum of products: as chosen, else what always suffices for that many products."""
        if self.accumulator_bits:
            return self.accumulator_bits
        return self.multiplier.product_bits + (self.terms - 1).bit_length() if self.multiplier else FLOAT_BITS

    @property
    def weight_bits(self) -> int:
        """Bits that store one weight."""
        return self.weight.code_bits if self.weight else FLOAT_BITS

    @property
    def activation_bits(self) -> int:
        """Bits that store one element of the input (of the output for `quantize`)."""
        return self.activation.code_bits if self.activation else FLOAT_BITS


@dataclass(frozen=True)
class Workload:
    """A network as its layers, in the order in which they run.

    Raises:
        WorkloadError: no layers, two layers of one key, or an input that no earlier layer produces.
    """

    name: str
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise WorkloadError(f"workload {self.name} has no layers")
        known = {"input"}
        for layer in self.layers:
            if layer.key in known:
                raise WorkloadError(f"workload {self.name}: two layers are called {layer.key}")
            missing = [key for key in layer.inputs if key not in known]
            if missing:
                raise WorkloadError(f"layer {layer.key}: no earlier layer is called {missing[0]}")
            known.add(layer.key)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    @cached_property
    def mac_layers(self) -> tuple[Layer, ...]:
        """The layers that multiply and accumulate."""
        return tuple(layer for layer in self.layers if layer.kind in MAC_KINDS)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Parameters of all layers."""
        return sum(layer.parameters for layer in self.layers)

    def layer(self, key: str) -> Layer:
        """Return the layer of that key.

        Raises:
            WorkloadError: there is none; the nearest known key is suggested.
        """
        for layer in self.layers:
            if layer.key == key:
                return layer
        raise WorkloadError(str(unknown_name("layer", key, (layer.key for layer in self.layers))))

    def with_layers(self, layers: Iterable[Layer], suffix: str = "") -> "Workload":
        """Return a workload with other layers, its name extended by the suffix."""
        return Workload(self.name + suffix, tuple(layers))

    @staticmethod
    def from_network(network: "Network") -> "Workload":
        """Return the workload of an integer network, one layer per node, with what its weight codes tell."""
        from hwsim.workloads.from_network import workload_from_network

        return workload_from_network(network)


def _check_geometry(layer: Layer) -> None:
    for axis, letter in enumerate("YX"):
        inner, outer = getattr(layer, f"I{letter}"), getattr(layer, f"O{letter}")
        if layer.kind == "conv_transpose":
            inner, outer = outer, inner
        extent = layer.dilation[axis] * (getattr(layer, f"F{letter}") - 1) + 1
        padded = inner + layer.padding[axis] + layer.padding[axis + 2]
        expected = (padded - extent) // layer.strides[axis] + 1 if padded >= extent else 0
        if expected != outer:
            raise WorkloadError(
                f"layer {layer.key}: a window of {extent} with stride {layer.strides[axis]} over {padded} padded "
                f"positions along {letter} gives {expected} positions, got {outer}"
            )

"""Which operations a layer performs: kind, number and widths. Counts and energies are both read off this list."""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from hwsim.multipliers import Multiplier
from hwsim.workload import FLOAT_BITS, MAC_KINDS, Layer, Workload

#: Operations per output element of the layers without products.
PER_OUTPUT: dict[str, dict[str, int]] = {
    "add": {"add": 1},
    "multiply": {"multiply": 1},
    "relu": {"compare": 1},
    "clip": {"compare": 2},
    "nonlinear": {"nonlinear": 1},
    "batch_norm": {"multiply": 1, "add": 1},
    "rescale": {"multiply": 1, "shift": 1, "add": 1},
    "quantize": {"multiply": 1, "shift": 1, "compare": 2},
    "reciprocal": {"reciprocal": 1},
    "norm": {"multiply": 3, "add": 4},  # mean 1 add; centre 1; variance 1 + 1; scale 1; affine map 1 + 1
    "softmax": {"compare": 1, "add": 2, "nonlinear": 1, "multiply": 1},  # maximum, difference, exp, sum, scale
    "embedding": {},
    "reshape": {},
    "constant": {},
    "unknown": {},
}

#: Kinds that need one reciprocal for each window of FY * FX elements.
RECIPROCAL_PER_WINDOW = ("norm", "softmax")

FLOATING = "floating-point operations"
EXACT = "operations of the weight codes themselves"
EXPECTED = "operations expected if all weight codes are equally likely"


class Operation(NamedTuple):
    """`number` operations of one kind, on operands of `bits` and (a multiplication's second) `other_bits`."""

    part: str
    kind: str
    number: int | Fraction
    bits: int
    other_bits: int


def operations(layer: Layer) -> Iterator[Operation]:
    """Yield the layer's operations.

    A sum of n products takes n - 1 additions, the bias one more. Positions of the padding are multiplied like others;
    a sign costs nothing (the accumulator subtracts).
    """
    if layer.kind in MAC_KINDS:
        yield from _products(layer)
        yield from _sums(layer)
    elif layer.kind in ("max_pool", "avg_pool"):
        yield from _pooling(layer)
    else:
        yield from _elementwise(layer)


def convention(workload: Workload) -> str:
    """Return how the products of this workload are counted: as they are, from real codes, or as an expectation."""
    if not any(layer.multiplier or layer.activation for layer in workload):
        return FLOATING
    known = all(layer.facts or not layer.weight for layer in workload.mac_layers)
    return EXACT if known else EXPECTED


@lru_cache(maxsize=1024)
def _share_of_codes(multiplier: Multiplier) -> tuple[tuple[str, Fraction], ...]:
    counts = multiplier.operations(multiplier.weight.codes)
    return tuple((kind, Fraction(count, multiplier.weight.count)) for kind, count in counts.items())


def _products(layer: Layer) -> Iterator[Operation]:
    widths = layer.activation_bits, layer.weight_bits
    if layer.multiplier is None:
        yield Operation("products", "multiply", layer.macs, *widths)
    elif layer.facts:
        reuse = layer.macs // layer.operand_elements
        for kind, count in layer.facts.operations:
            yield _product(layer.multiplier, kind, count * reuse, *widths)
    else:
        for kind, share in _share_of_codes(layer.multiplier):
            yield _product(layer.multiplier, kind, share * layer.macs, *widths)


def _product(
    multiplier: Multiplier, kind: str, count: int | Fraction, activation_bits: int, weight_bits: int
) -> Operation:
    widths = {
        "table_read": (multiplier.read_bits, activation_bits),
        "shift": (multiplier.product_bits, weight_bits),
        "add": (multiplier.add_bits, multiplier.add_bits),
        "multiply": multiplier.operand_bits,
    }
    return Operation("products", kind, count, *widths[kind])


def _sums(layer: Layer) -> Iterator[Operation]:
    sums = layer.outputs if layer.kind != "conv_transpose" else 0
    additions = layer.macs - sums
    yield Operation("accumulate", "add", additions, layer.sum_bits, layer.sum_bits)
    if layer.has_bias:
        yield Operation("bias", "add", layer.outputs, layer.sum_bits, layer.sum_bits)


def _pooling(layer: Layer) -> Iterator[Operation]:
    combine = "compare" if layer.kind == "max_pool" else "add"
    part = layer.kind
    yield Operation(part, combine, layer.outputs * (layer.FY * layer.FX - 1), FLOAT_BITS, FLOAT_BITS)
    if layer.kind == "avg_pool":
        yield Operation(part, "multiply", layer.outputs, FLOAT_BITS, layer.scale_bits)
        if layer.scales:  # in fixed point
            yield Operation(part, "shift", layer.outputs, FLOAT_BITS, FLOAT_BITS)


def _per_output(layer: Layer) -> dict[str, int]:
    if layer.kind == "threshold":  # a bank: each element is compared with every threshold
        return {"compare": layer.activation.count - 1 if layer.activation else 0}
    return PER_OUTPUT[layer.kind]


def _elementwise(layer: Layer) -> Iterator[Operation]:
    for kind, count in _per_output(layer).items():
        yield Operation(layer.kind, kind, layer.outputs * count, FLOAT_BITS, FLOAT_BITS)
    if layer.kind in RECIPROCAL_PER_WINDOW:
        windows = layer.outputs // (layer.FY * layer.FX)
        yield Operation(layer.kind, "reciprocal", windows, FLOAT_BITS, FLOAT_BITS)

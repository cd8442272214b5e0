"""Random integer networks from a seed: every node kind, circuit, accumulator and shape option; and images for them."""

import numpy as np
from numpy.typing import NDArray

from hwsim.accumulator import Accumulator, required_bits
from hwsim.adapter import AdapterLayer
from hwsim.arithmetic import ROUNDINGS, Requantizer
from hwsim.formats import Apot, Codebook, IntegerFormat, Offset, PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import LAYOUTS, Multiplier, multiplier_for
from hwsim.network import Datapath, Network
from hwsim.nodes import (
    Adapter,
    AdaptiveQuantize,
    AdaptiveRescale,
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Encode,
    Flatten,
    Input,
    Linear,
    Matmul,
    MaxPool,
    Node,
    PadChannels,
    Pair,
    Quantize,
    Relu,
    Rescale,
    Shape,
    Threshold,
)

DATAPATHS = (Datapath(32, 16), Datapath(16, 8), Datapath(12, 5), Datapath(8, 0), Datapath(48, 30))


def random_network(seed: int, blocks: int = 3) -> Network:
    """Return a well-formed network with some convolution blocks and a linear head."""
    return Grower(seed).network(blocks)


def random_images(network: Network, seed: int, count: int = 5) -> NDArray[np.float64]:
    """Return images that fill the datapath, and now and then exceed it."""
    rng = np.random.default_rng(seed)
    largest = 2.0 ** (network.datapath.bits - 1 - network.datapath.frac_bits)
    spread = rng.choice([0.1, 0.4], (count, 1, 1, 1))
    return np.asarray(rng.normal(size=(count, *network.input.shape)) * largest * spread)


class Grower:
    """Grows a network node by node; `shapes` are the shapes so far."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.datapath = DATAPATHS[self.rng.integers(len(DATAPATHS))]
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self.beta: str | None = None
        self.beta_bits = 0

    def network(self, blocks: int) -> Network:
        """Return the grown network."""
        size = self.integer(1, 4), self.integer(4, 9), self.integer(4, 9)
        tip = self.add(Input("image", (), size))
        for _ in range(blocks):
            tip = self.join(tip, self.block(tip))
            tip = self.activation(self.pool(tip))
        if self.chance(0.7):
            tip = self.average(tip, (self.shapes[tip][1], self.shapes[tip][2]), (1, 1), (0, 0))
        tip = self.rescale(self.linear(self.quantize(self.add(Flatten(self.name("flatten"), (tip,))))))
        return Network(tuple(self.nodes), self.datapath, "random", {"blocks": blocks})

    def add(self, node: Node) -> str:
        """Append a node and return its name."""
        self.shapes[node.name] = node.output_shape(*(self.shapes[name] for name in node.inputs))
        self.nodes.append(node)
        return node.name

    def name(self, kind: str) -> str:
        """Return a fresh name."""
        return f"{kind}{len(self.nodes)}"

    def chance(self, probability: float) -> bool:
        """Return true with that probability."""
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """Return an integer in low .. high."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, *options: str) -> str:
        """Return one of the options."""
        return options[self.integer(0, len(options) - 1)]

    def block(self, tip: str) -> str:
        """Return convolution and rescaling behind the tip."""
        return self.rescale(self.convolve(self.quantize(tip)))

    def join(self, tip: str, new: str) -> str:
        """Return the new branch alone, or joined with its input by Concat or, made to fit, by Add."""
        before, after = self.shapes[tip], self.shapes[new]
        if before[1:] != after[1:] or self.chance(0.3):
            return new
        if self.chance(0.3):
            return self.add(Concat(self.name("concat"), (tip, new)))
        missing = after[0] - before[0]
        if missing > 0:
            front = self.integer(0, missing)
            tip = self.add(PadChannels(self.name("pad"), (tip,), before=front, after=missing - front))
        elif missing < 0:
            new = self.add(PadChannels(self.name("pad"), (new,), before=-missing, after=0))
        return self.add(Add(self.name("add"), (new, tip)))

    def activation(self, tip: str) -> str:
        """Return the tip, a ReLU or a Clip."""
        match self.pick("none", "relu", "clip"):
            case "relu":
                return self.add(Relu(self.name("relu"), (tip,)))
            case "clip":
                top = self.datapath.range[1]
                low, high = sorted((self.integer(-top, top), self.integer(-top, top)))
                return self.add(Clip(self.name("clip"), (tip,), low=low, high=high))
        return tip

    def pool(self, tip: str) -> str:
        """Return the tip, or a pooling of it."""
        kernel = self.integer(1, 3), self.integer(1, 3)
        stride = self.integer(1, 2), self.integer(1, 2)
        padding = self.integer(0, kernel[0] // 2), self.integer(0, kernel[1] // 2)
        if min(self.shapes[tip][1:]) < 3:
            return tip
        match self.pick("none", "max", "average"):
            case "max":
                return self.add(MaxPool(self.name("max"), (tip,), kernel=kernel, stride=stride, padding=padding))
            case "average":
                return self.average(tip, kernel, stride, padding)
        return tip

    def average(self, tip: str, kernel: Pair, stride: Pair, padding: Pair) -> str:
        """Return an average pooling."""
        room = 63 - self.datapath.bits - (kernel[0] * kernel[1]).bit_length()
        gain = 1.5 if self.chance(0.1) else 1.0  # so that some overflow
        scale = np.full(self.shapes[tip][0] if self.chance(0.3) else (), gain / (kernel[0] * kernel[1]))
        requantizer = Requantizer.from_scale(scale, min(room, 16), self.pick(*ROUNDINGS))
        options = {"kernel": kernel, "stride": stride, "padding": padding}
        return self.add(AvgPool(self.name("average"), (tip,), requantizer=requantizer, **options))

    def quantize(self, tip: str) -> str:
        """Return codes of a random format that the datapath's range overshoots a little."""
        self.beta = None
        if self.chance(0.3):
            return self.compare(tip)
        bits = self.integer(1, 8)
        fmt: IntegerFormat = Uniform(bits, self.chance(0.5))
        if bits > 1 and self.chance(0.2):
            fmt = Uniform(bits, narrow=True)
        elif self.chance(0.3):
            fmt = Offset(bits, self.integer(0, 2**bits - 1))
        scale = 2.0 ** (bits - self.datapath.bits) * self.rng.uniform(0.5, 8, self.channels(tip))
        requantizer = Requantizer.from_scale(scale, min(24, 63 - self.datapath.bits), self.pick(*ROUNDINGS))
        self.beta = self.adapter(tip) if self.chance(0.3) else None
        if self.beta is not None:
            scale = np.minimum(scale * 2.0**self.beta_bits, 2.0**16)
            requantizer = Requantizer.from_scale(scale, min(24, 64 - self.datapath.bits), self.pick(*ROUNDINGS))
            parts = {"format": fmt, "requantizer": requantizer}
            return self.add(AdaptiveQuantize(self.name("adaptive"), (tip, self.beta), **parts))  # type: ignore[arg-type]
        top = self.datapath.range[1]
        offset = self.integer(-top, top) // self.integer(1, 8) if self.chance(0.3) else 0
        parts = {"format": fmt, "requantizer": requantizer}
        return self.add(Quantize(self.name("quantize"), (tip,), offset=offset, **parts))  # type: ignore[arg-type]

    def compare(self, tip: str) -> str:
        """Return codes of any format by random thresholds, some of them equal or out of reach."""
        fmt = self.unequal(self.integer(1, 6), signed=self.chance(0.5))
        if self.chance(0.2):
            fmt = Uniform(self.integer(1, 5), self.chance(0.5))
        top = self.datapath.range[1]
        thresholds = np.sort(self.rng.integers(-top - 1, top + 1, fmt.count - 1, endpoint=True))
        if self.chance(0.3):
            thresholds = thresholds // 4
        return self.add(Threshold(self.name("threshold"), (tip,), format=fmt, thresholds=thresholds))

    def unequal(self, bits: int, signed: bool) -> IntegerFormat:
        """Return APoT or a codebook, now and then one without zero or with unused codes."""
        if bits > 1 and self.chance(0.5):
            return Apot(bits, signed)
        count, largest = self.integer(1, 2**bits), self.pick("10", "200", "5000")
        levels = {int(level) for level in self.rng.integers(-int(largest) if signed else 0, int(largest), count)}
        keeps_zero = len(levels) == 1 or self.chance(0.8)
        return Codebook(bits, tuple(sorted({*sorted(levels)[1:], 0} if keeps_zero else levels)))

    def adapter(self, tip: str) -> str:
        """Return an adapter of one or two layers, whose betas spread over their range and sometimes leave it."""
        channels, *size = self.shapes[tip]
        room = 63 - self.datapath.bits - int(np.prod(size)).bit_length()
        fmt, self.beta_bits = Uniform(self.integer(2, 8), self.chance(0.5)), self.integer(2, 16)
        scale = 2.0 ** (fmt.bits - self.datapath.bits) / np.prod(size) * self.rng.uniform(0.5, 8, self.channels(tip))
        requantizer = Requantizer.from_scale(scale, max(1, min(16, room)), self.pick(*ROUNDINGS))
        widths = [channels, *([self.integer(1, 4)] if self.chance(0.5) else []), 1]
        tops = [8] * (len(widths) - 2) + [self.beta_bits]
        layers = tuple(self.adapter_layer(j, c, top) for c, j, top in zip(widths, widths[1:], tops, strict=False))
        parts = {"format": fmt, "requantizer": requantizer, "layers": layers, "bits": self.beta_bits}
        return self.add(Adapter(self.name("adapter"), (tip,), **parts, frac_bits=2))  # type: ignore[arg-type]

    def adapter_layer(self, outputs: int, inputs: int, bits: int) -> AdapterLayer:
        """Return one linear layer of an adapter."""
        weight = self.rng.integers(-128, 128, (outputs, inputs))
        bias = self.rng.integers(0, 10000, outputs)
        scale = 2.0 ** (bits - 14) * self.rng.uniform(0.5, 2, outputs if self.chance(0.3) else ())
        return AdapterLayer(weight, bias, Requantizer.from_scale(scale, 16, self.pick(*ROUNDINGS)))

    def channels(self, tip: str) -> tuple[int, ...]:
        """Return the shape of a requantizer: one for all, or one per channel."""
        return (self.shapes[tip][0],) if self.chance(0.5) else ()

    def source(self, codes: str) -> Encode:
        """Return the node that makes these codes."""
        source = next(node for node in self.nodes if node.name == codes)
        assert isinstance(source, Encode)
        return source

    def circuit(self, codes: str) -> Multiplier:
        """Return a random multiplier for a node that makes codes."""
        source = self.source(codes)
        extended = self.chance(0.2)
        bits, few = self.integer(2, 8), self.integer(1, 4)
        fraction_bits, layout = self.integer(0, 12), self.pick(*LAYOUTS)
        exponents = few if bits < 5 else self.integer(1, 20)
        exponents = min(exponents, 2 ** (bits - 1) - 1)
        match self.pick("uniform", "uniform", "pot", "post", "unequal"):
            case "unequal":
                return multiplier_for(self.unequal(min(bits, 6), signed=self.chance(0.8)), source.format)
            case "pot":
                return multiplier_for(PowerOfTwo(bits, exponents, extended), source.format)
            case "post":
                return multiplier_for(PowerOfSqrtTwo(bits, exponents, extended), source.format, fraction_bits, layout)
        return multiplier_for(Uniform(bits, narrow=self.chance(0.3)), source.format)

    def convolve(self, codes: str) -> str:
        """Return a convolution of codes, dense, grouped or depthwise."""
        depth, rows, columns = self.shapes[codes]
        divisors = [d for d in range(1, depth + 1) if depth % d == 0]
        groups = divisors[self.integer(0, len(divisors) - 1)]
        can_pad = self.source(codes).format.zero_code is not None
        kernel, stride, padding, dilation = (
            self.same_window() if can_pad and self.chance(0.5) else self.window(rows, columns, can_pad)
        )
        shape = (groups * self.integer(1, 3), depth // groups, *kernel)
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return self.add(Conv(self.name("conv"), (codes,), **self.operands(codes, shape), **options))  # type: ignore[arg-type]

    def same_window(self) -> tuple[Pair, Pair, Pair, Pair]:
        """Return (kernel, stride, padding, dilation) that keep the image's size."""
        half = self.integer(0, 1), self.integer(0, 1)
        dilation = self.integer(1, 2), self.integer(1, 2)
        return (2 * half[0] + 1, 2 * half[1] + 1), (1, 1), (half[0] * dilation[0], half[1] * dilation[1]), dilation

    def window(self, rows: int, columns: int, can_pad: bool) -> tuple[Pair, Pair, Pair, Pair]:
        """Return (kernel, stride, padding, dilation) that fit the image."""
        padding = (self.integer(0, 2), self.integer(0, 2)) if can_pad else (0, 0)
        dilation = self.integer(1, 2), self.integer(1, 2)
        fits = ((rows + 2 * padding[0] - 1) // dilation[0] + 1, (columns + 2 * padding[1] - 1) // dilation[1] + 1)
        kernel = self.integer(1, min(3, fits[0])), self.integer(1, min(3, fits[1]))
        return kernel, (self.integer(1, 2), self.integer(1, 2)), padding, dilation

    def linear(self, codes: str) -> str:
        """Return a linear layer of codes."""
        shape = (self.integer(1, 6), self.shapes[codes][0])
        return self.add(Linear(self.name("linear"), (codes,), **self.operands(codes, shape)))  # type: ignore[arg-type]

    def operands(self, codes: str, shape: Shape) -> dict[str, object]:
        """Return weights, their circuit, and an accumulator that often is too narrow."""
        multiplier = self.circuit(codes)
        weight = self.rng.choice(multiplier.weight.codes, shape)
        need = required_bits(multiplier, weight)
        match self.pick("error", "wrap", "saturate"):
            case "error":
                accumulator = Accumulator(need + self.integer(0, 3))
            case mode:
                accumulator = Accumulator(max(2, need - self.integer(-1, 6)), mode)
        return {"weight": weight, "multiplier": multiplier, "accumulator": accumulator}

    def rescale(self, sums: str) -> str:
        """Return sums brought to the datapath's range, sometimes beyond it; some channels negative, some dead."""
        source = self.nodes[-1]
        assert isinstance(source, Matmul)
        kernels, largest = len(source.weight), max(source.largest_sum, 1)
        shape = (kernels,) if self.chance(0.7) else ()
        scale = 2.0 ** (self.datapath.bits - largest.bit_length()) * self.rng.uniform(0.1, 2, shape)
        scale *= self.rng.choice([-1, 0, 1, 1, 1, 1] if shape else [-1, 1], shape)
        multiplier_bits = max(1, min(24, 62 - largest.bit_length()))
        requantizer = Requantizer.from_scale(
            np.clip(scale, -(2.0**24), 2.0**24), multiplier_bits, self.pick(*ROUNDINGS)
        )
        top = self.datapath.range[1] // 4
        bias = self.rng.integers(-top, top, kernels, endpoint=True)
        if self.beta is not None and self.chance(0.7):
            adaptive = {"requantizer": requantizer, "bias": bias, "beta_bits": self.beta_bits}
            return self.add(AdaptiveRescale(self.name("adapted"), (sums, self.beta), **adaptive))  # type: ignore[arg-type]
        return self.add(Rescale(self.name("rescale"), (sums,), requantizer=requantizer, bias=bias))

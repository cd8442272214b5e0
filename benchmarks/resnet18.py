"""ResNet-18 (He et al., arXiv:1512.03385) for 224 x 224 images: an integer network of random weights, and torch."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from hwsim.accumulator import Accumulator, required_bits
from hwsim.arithmetic import Requantizer
from hwsim.multipliers import Multiplier
from hwsim.network import Network
from hwsim.nodes import Add, AvgPool, Conv, Flatten, Input, Linear, MaxPool, Node, Quantize, Relu, Rescale

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  #: Channels and stride of each pair of blocks.
CLASSES = 1000


@dataclass
class Builder:
    """The nodes so far; every layer has the same multiplier and random weight codes."""

    multiplier: Multiplier
    accumulator: Accumulator | None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    nodes: list[Node] = field(default_factory=list)

    def emit(self, node: Node) -> str:
        """Append a node and return its name."""
        self.nodes.append(node)
        return node.name

    def quantize(self, source: str, name: str) -> str:
        """Append what turns fixed point into codes, for values of about 0 to 1."""
        fmt = self.multiplier.activation
        scale = Requantizer.from_scale(np.array(1.37 * fmt.max_level / 2**16))
        return self.emit(Quantize(f"{name}.quantize", (source,), format=fmt, requantizer=scale))

    def convolution(self, source: str, name: str, shape: tuple[int, int, int], stride: int) -> str:
        """Append quantize, convolution and rescale: shape is (K, C, F)."""
        kernels, depth, taps = shape
        weight = self._codes((kernels, depth, taps, taps))
        sums = Conv(
            name,
            (self.quantize(source, name),),
            weight=weight,
            multiplier=self.multiplier,
            accumulator=self._accumulator(weight),
            stride=(stride, stride),
            padding=(taps // 2, taps // 2),
        )
        return self.rescale(self.emit(sums), weight)

    def rescale(self, source: str, weight: np.ndarray) -> str:
        """Append a rescaling that brings sums to about -1 to 1, per channel as a folded batch norm does."""
        spread = np.abs(self.multiplier.table()).mean() * np.sqrt(weight[0].size)
        scale = self.rng.uniform(0.5, 1.5, len(weight)) * 2**16 / spread
        bias = self.rng.integers(-(2**14), 2**14, len(weight))
        return self.emit(Rescale(f"{source}.rescale", (source,), requantizer=Requantizer.from_scale(scale), bias=bias))

    def block(self, source: str, name: str, depth: int, kernels: int, stride: int) -> str:
        """Append a basic block."""
        first = self.convolution(source, f"{name}.conv1", (kernels, depth, 3), stride)
        hidden = self.emit(Relu(f"{name}.relu1", (first,)))
        second = self.convolution(hidden, f"{name}.conv2", (kernels, kernels, 3), 1)
        shortcut = source
        if stride != 1 or depth != kernels:
            shortcut = self.convolution(source, f"{name}.shortcut", (kernels, depth, 1), stride)
        return self.emit(Relu(f"{name}.relu2", (self.emit(Add(f"{name}.add", (second, shortcut))),)))

    def _codes(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.choice(self.multiplier.weight.codes, shape)

    def _accumulator(self, weight: np.ndarray) -> Accumulator:
        return self.accumulator or Accumulator(required_bits(self.multiplier, weight), "error")


def resnet18(multiplier: Multiplier, accumulator: Accumulator | None = None, size: int = 224) -> Network:
    """Return the integer network; accumulator: of every layer, None for each layer's narrowest safe one."""
    builder = Builder(multiplier, accumulator)
    image = builder.emit(Input("image", (), shape=(3, size, size)))
    stem = builder.emit(Relu("stem.relu", (builder.convolution(image, "stem", (64, 3, 7), 2),)))
    value = builder.emit(MaxPool("stem.pool", (stem,), kernel=(3, 3), stride=(2, 2), padding=(1, 1)))
    depth = 64
    for stage, (kernels, stride) in enumerate(STAGES):
        value = builder.block(value, f"stage{stage}.0", depth, kernels, stride)
        value = builder.block(value, f"stage{stage}.1", kernels, kernels, 1)
        depth = kernels
    window = (size // 32, size // 32)
    scale = Requantizer.from_scale(np.array(1 / window[0] ** 2))
    pooled = builder.emit(AvgPool("pool", (value,), kernel=window, stride=window, requantizer=scale))
    flat = builder.quantize(builder.emit(Flatten("flatten", (pooled,))), "classifier")
    weight = builder._codes((CLASSES, depth))
    accumulator = builder._accumulator(weight)
    layer = Linear("classifier", (flat,), weight=weight, multiplier=multiplier, accumulator=accumulator)
    builder.rescale(builder.emit(layer), weight)
    return Network(tuple(builder.nodes), name="resnet18")


class Block(nn.Module):
    """A basic block in float."""

    def __init__(self, depth: int, kernels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(depth, kernels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(kernels)
        self.conv2 = nn.Conv2d(kernels, kernels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(kernels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or depth != kernels:
            conv = nn.Conv2d(depth, kernels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(kernels))

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + shortcut(x))."""
        hidden = self.relu(self.norm1(self.conv1(x)))
        result: Tensor = self.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))
        return result


def float_resnet18() -> nn.Module:
    """Return the float network in eval mode."""
    stem = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
    blocks: list[nn.Module] = []
    depth = 64
    for kernels, stride in STAGES:
        blocks += [Block(depth, kernels, stride), Block(kernels, kernels, 1)]
        depth = kernels
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(depth, CLASSES)).eval()

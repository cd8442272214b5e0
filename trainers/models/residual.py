"""Residual networks for small images, after He et al., "Deep Residual Learning", arXiv:1512.03385, section 4.2.

Every step is a module or a plain `+`, so that `torch.fx` sees the whole network as a short program.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

SHORTCUTS = ("A", "B")


class ZeroPadShortcut(nn.Module):
    """The parameter-free shortcut (option A): every `stride`-th pixel, with zero channels put before and after."""

    def __init__(self, stride: int, before: int, after: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = before
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, before + C + after, ceil(H / stride), ceil(W / stride)]`."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """Show the arguments in the module's text."""
        return f"stride={self.stride}, before={self.before}, after={self.after}"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = make_shortcut(inputs, outputs, stride, shortcut)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs, ceil(H / stride), ceil(W / stride)]`."""
        hidden = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.relu2(self.bn2(self.conv2(hidden)) + self.shortcut(x))
        return out


class ResidualNetwork(nn.Module):
    """A first convolution, stages of basic blocks, global average pooling and one linear layer.

    Stages after the first halve the image. State-dict names: `conv1, bn1, layerN.M.convK, layerN.M.bnK, linear`.

    Raises:
        ValueError: the shortcut is not "A" or "B", or a width or the number of blocks is not positive.
    """

    def __init__(self, widths: Sequence[int], blocks: int, channels: int, classes: int, shortcut: str) -> None:
        super().__init__()
        _check(widths, blocks, shortcut)
        self.conv1 = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu1 = nn.ReLU()
        self.stages = tuple(f"layer{i}" for i in range(1, len(widths) + 1))
        before = widths[0]
        for name, width in zip(self.stages, widths, strict=True):
            stride = 1 if name == "layer1" else 2
            self.add_module(name, make_stage(before, width, blocks, stride, shortcut))
            before = width
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(before, classes)
        self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[N, classes]`."""
        x = self.relu1(self.bn1(self.conv1(x)))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.linear(self.flatten(self.pool(x)))
        return logits


def make_stage(inputs: int, outputs: int, blocks: int, stride: int, shortcut: str) -> nn.Sequential:
    """Return `blocks` basic blocks of one width; only the first changes width and image size."""
    first = BasicBlock(inputs, outputs, stride, shortcut)
    rest = (BasicBlock(outputs, outputs, 1, shortcut) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


def make_shortcut(inputs: int, outputs: int, stride: int, option: str) -> nn.Module:
    """Return what stands on the other side of the `+`: nothing where shapes agree, else option A or B."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    if option == "A":
        before = max(outputs - inputs, 0) // 2
        return ZeroPadShortcut(stride, before, outputs - inputs - before)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def initialize(module: nn.Module) -> None:
    """Draw weights as He et al., arXiv:1502.01852, do; biases start at PyTorch's default."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)


def _check(widths: Sequence[int], blocks: int, shortcut: str) -> None:
    if shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut must be one of {', '.join(SHORTCUTS)}, got {shortcut!r}")
    if blocks < 1:
        raise ValueError(f"blocks must be at least 1, got {blocks}")
    if not widths or min(widths) < 1 or list(widths) != sorted(widths):
        raise ValueError(f"widths must be positive and not decrease, got {list(widths)}")

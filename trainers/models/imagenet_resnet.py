"""ResNet-18, -34 and -50 for ImageNet (He et al., arXiv:1512.03385, table 1), in torchvision's names.

ResNet-50 has its stride in the 3x3 convolution, as torchvision's does ("v1.5"); the paper has it in the first 1x1.
"""

from collections.abc import Sequence

from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = make_shortcut(inputs, width, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, width, ceil(H / stride), ceil(W / stride)]`."""
        hidden = self.relu1(self.bn1(self.conv1(x)))
        result: Tensor = self.relu2(self.bn2(self.conv2(hidden)) + self.downsample(x))
        return result


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with batch norm, added to a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = make_shortcut(inputs, 4 * width, stride)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, 4 * width, ceil(H / stride), ceil(W / stride)]`."""
        hidden = self.relu1(self.bn1(self.conv1(x)))
        hidden = self.relu2(self.bn2(self.conv2(hidden)))
        result: Tensor = self.relu3(self.bn3(self.conv3(hidden)) + self.downsample(x))
        return result


class ImageNetResNet(nn.Module):
    """A 7x7 convolution, max pooling, four stages of blocks, global average pooling and one linear layer."""

    def __init__(
        self, block: type[BasicBlock | Bottleneck], depths: Sequence[int], channels: int, classes: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.stages = tuple(f"layer{i + 1}" for i in range(len(WIDTHS)))
        before = 64
        for i, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True)):
            after = width * block.expansion
            first = block(before, width, 1 if i == 0 else 2)
            rest = (block(after, width, 1) for _ in range(depth - 1))
            self.add_module(self.stages[i], nn.Sequential(first, *rest))
            before = after
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(before, classes)
        self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[N, classes]`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.fc(self.flatten(self.avgpool(x)))
        return logits


def make_shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Return what stands on the other side of the `+`: nothing where shapes agree, else a 1x1 convolution."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def initialize(module: nn.Module) -> None:
    """Draw convolution weights as He et al., arXiv:1502.01852, do, over the outputs."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet18(channels: int = 3, classes: int = 1000) -> ImageNetResNet:
    """Return ResNet-18; 11,689,512 parameters."""
    return ImageNetResNet(BasicBlock, (2, 2, 2, 2), channels, classes)


def resnet34(channels: int = 3, classes: int = 1000) -> ImageNetResNet:
    """Return ResNet-34; 21,797,672 parameters."""
    return ImageNetResNet(BasicBlock, (3, 4, 6, 3), channels, classes)


def resnet50(channels: int = 3, classes: int = 1000) -> ImageNetResNet:
    """Return ResNet-50; 25,557,032 parameters."""
    return ImageNetResNet(Bottleneck, (3, 4, 6, 3), channels, classes)

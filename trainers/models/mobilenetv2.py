"""MobileNetV2 (Sandler et al., arXiv:1801.04381, table 2), in torchvision's names."""

from itertools import accumulate

from torch import Tensor, nn

#: Expansion, output channels, blocks and stride of the first block, per stage: the paper's t, c, n, s.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM = 32
HEAD = 1280


def conv_bn_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU6 that keeps the image's size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise convolution and linear 1x1 projection, added to the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [conv_bn_relu6(inputs, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs, ceil(H / stride), ceil(W / stride)]`."""
        hidden: Tensor = self.conv(x)
        return x + hidden if self.residual else hidden


class MobileNetV2(nn.Module):
    """A 3x3 convolution, seven stages of inverted residuals, a 1x1 convolution, average pooling, one linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_bn_relu6(channels, STEM, 3, stride=2)]
        self.stages = stage_ends()
        before = STEM
        for expansion, width, depth, stride in STAGES:
            for i in range(depth):
                blocks.append(InvertedResidual(before, width, stride if i == 0 else 1, expansion))
                before = width
        blocks.append(conv_bn_relu6(before, HEAD, 1))
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(HEAD, classes))
        self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[N, classes]`."""
        logits: Tensor = self.classifier(self.flatten(self.pool(self.features(x))))
        return logits


def stage_ends() -> tuple[str, ...]:
    """Return the names of the last blocks at each size of the image."""
    ends = list(accumulate(depth for *_, depth, _ in STAGES))
    halving = [stride == 2 for *_, stride in STAGES[1:]]
    return tuple(f"features.{end}" for end, is_last in zip(ends, [*halving, True], strict=True) if is_last)


def initialize(module: nn.Module) -> None:
    """Draw convolution weights as He et al., arXiv:1502.01852, do, over the outputs; linear ones from N(0, 0.01^2)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def mobilenetv2(channels: int = 3, classes: int = 1000) -> MobileNetV2:
    """Return MobileNetV2 of width 1; 3,504,872 parameters."""
    return MobileNetV2(channels, classes)

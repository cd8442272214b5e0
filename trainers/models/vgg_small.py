"""VGG-Small for 32x32 images, used by LQ-Nets (Zhang et al., arXiv:1807.10029) and APoT (Li et al., arXiv:1909.13144).

The papers name the layers only; batch norm follows each convolution here, then ReLU, then the pooling of every second.
No state-dict names are usual; these are torchvision's way of writing a VGG with batch norm.
"""

from torch import Tensor, nn

from trainers.models.vgg import initialize

WIDTHS = (128, 256, 512)  #: Two 3x3 convolutions each, then a 2x2 max pooling.
SIZE = 32  #: Pixels of an image's side.


class VGGSmall(nn.Module):
    """Six 3x3 convolutions with batch norm and one linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        ends: list[int] = []
        before = channels
        for width in WIDTHS:
            for inputs in (before, width):
                convolution = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
            layers.append(nn.MaxPool2d(2, 2))
            ends.append(len(layers) - 1)
            before = width
        self.stages = tuple(f"features.{end}" for end in ends)
        self.features = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(before * (SIZE >> len(WIDTHS)) ** 2, classes)
        self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[N, classes]`; `x` is `[N, channels, 32, 32]`."""
        logits: Tensor = self.classifier(self.flatten(self.features(x)))
        return logits


def vgg_small(channels: int = 3, classes: int = 10) -> VGGSmall:
    """Return VGG-Small; 4,660,106 parameters."""
    return VGGSmall(channels, classes)

"""VGG-16 (Simonyan and Zisserman, arXiv:1409.1556, table 1, column D), in torchvision's names."""

from torch import Tensor, nn

#: Output channels of the 3x3 convolutions, stage by stage; a 2x2 max pooling ends each stage.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """Five stages of 3x3 convolutions and three linear layers, for images of 32 pixels or more."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        ends: list[int] = []
        before = channels
        for stage in STAGES:
            for width in stage:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2, 2))
            ends.append(len(layers) - 1)
        self.stages = tuple(f"features.{end}" for end in ends)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.flatten = nn.Flatten()
        hidden = (nn.Linear(before * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout())
        self.classifier = nn.Sequential(*hidden, nn.Linear(4096, classes))
        self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[N, classes]`."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(x))))
        return logits


def initialize(module: nn.Module) -> None:
    """Draw convolution weights as He et al., arXiv:1502.01852, do, over the outputs; linear ones from N(0, 0.01^2)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def vgg16(channels: int = 3, classes: int = 1000) -> VGG:
    """Return VGG-16; 138,357,544 parameters."""
    return VGG(channels, classes)

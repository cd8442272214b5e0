"""ResNet-20 for 32x32 images (He et al., arXiv:1512.03385, section 4.2)."""

from trainers.models.residual import ResidualNetwork


def resnet20(channels: int = 3, classes: int = 10, shortcut: str = "A") -> ResidualNetwork:
    """Return three stages of three basic blocks with 16, 32 and 64 channels; 269,722 parameters with shortcut A."""
    return ResidualNetwork((16, 32, 64), 3, channels, classes, shortcut)

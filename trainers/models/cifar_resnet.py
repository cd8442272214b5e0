"""ResNet-20, -32, -44 and -56 for 32x32 images (He et al., arXiv:1512.03385, section 4.2).

Three stages of 3, 5, 7 or 9 basic blocks with 16, 32 and 64 channels. Shortcut A is the paper's for CIFAR; many public
checkpoints have B, 1x1 convolutions with batch norm. Parameters: 269,722, 464,154, 658,586 and 853,018 with A; 2,752
more with B.
"""

from trainers.models.residual import ResidualNetwork

WIDTHS = (16, 32, 64)


def resnet20(channels: int = 3, classes: int = 10, shortcut: str = "A") -> ResidualNetwork:
    """Return ResNet-20."""
    return ResidualNetwork(WIDTHS, 3, channels, classes, shortcut)


def resnet32(channels: int = 3, classes: int = 10, shortcut: str = "A") -> ResidualNetwork:
    """Return ResNet-32."""
    return ResidualNetwork(WIDTHS, 5, channels, classes, shortcut)


def resnet44(channels: int = 3, classes: int = 10, shortcut: str = "A") -> ResidualNetwork:
    """Return ResNet-44."""
    return ResidualNetwork(WIDTHS, 7, channels, classes, shortcut)


def resnet56(channels: int = 3, classes: int = 10, shortcut: str = "A") -> ResidualNetwork:
    """Return ResNet-56."""
    return ResidualNetwork(WIDTHS, 9, channels, classes, shortcut)

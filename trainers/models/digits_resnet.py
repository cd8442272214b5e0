"""A residual network for 8x8 images, small enough that precision matters."""

from collections.abc import Sequence

from trainers.models.residual import ResidualNetwork


def digits_resnet(
    widths: Sequence[int] = (2, 4, 8), blocks: int = 1, channels: int = 1, classes: int = 10, shortcut: str = "A"
) -> ResidualNetwork:
    """Return three stages of `blocks` basic blocks with 2, 4 and 8 channels; 1,320 parameters by default."""
    return ResidualNetwork(widths, blocks, channels, classes, shortcut)

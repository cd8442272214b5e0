"""Random changes of training images, by name."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from trainers.shard import shard_of

CROP_PADDING = 4


def unchanged(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images as they are."""
    return images


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return crops of the images padded by 4 black pixels, half of them mirrored: the usual choice for CIFAR.

    As in He et al., arXiv:1512.03385, section 4.2. Shape, type and device stay; random numbers are the CPU's.
    """
    count, _, height, width = images.shape
    shard = shard_of(images)
    padded = functional.pad(images, [CROP_PADDING] * 4)
    shifts = shard.own(torch.randint(0, 2 * CROP_PADDING + 1, (2, shard.total, 1), generator=generator), dim=1)
    mirrored = shard.own(torch.rand(shard.total, 1, generator=generator)) < 0.5
    rows = shifts[0] + torch.arange(height)
    columns = shifts[1] + torch.arange(width)
    columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = (places.to(images.device, non_blocking=True) for places in (rows, columns))
    chosen = torch.arange(count, device=images.device)[:, None, None]
    pixels = padded[chosen, :, rows[:, :, None], columns[:, None, :]]
    return pixels.permute(0, 3, 1, 2).contiguous()


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {"none": unchanged, "crop_flip": crop_flip}

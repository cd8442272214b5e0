"""The type every data set is loaded into."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Part = tuple[int, int]  #: Place p and number n of those who share batches: of every n batches they take the p-th.
WHOLE: Part = (0, 1)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split once and for all into a training and a test part.

    Images are `[N, C, H, W]`, either float32 that a network takes as they are or uint8 pixels in 0..255; labels
    are `int64[N]` in 0..classes-1. `mean` and `std`, one number per channel, are in units of the pixel range
    0..1.
    """

    name: str
    train_images: Images = field(repr=False)
    train_labels: npt.NDArray[np.int64] = field(repr=False)
    test_images: Images = field(repr=False)
    test_labels: npt.NDArray[np.int64] = field(repr=False)
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...] = ()  #: One for each class, if they have names.

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Channels, height and width of one image."""
        return tuple(self.train_images.shape[1:])

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over shape, type and bytes of the four arrays: what a run record names its data by."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(f"{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def train_batches(
        self, batches: Iterable[npt.NDArray[np.int64]], seed: int, epoch: int
    ) -> Iterator[tuple[Images, npt.NDArray[np.int64]]]:
        """Yield the raw training images at each batch's places, and their labels; seed and epoch are not used."""
        yield from ((self.train_images[places], self.train_labels[places]) for places in batches)

    def test_batches(self, size: int, part: Part = WHOLE) -> Iterator[tuple[Images, npt.NDArray[np.int64]]]:
        """Yield the raw test images in order, `size` at a time, and their labels: all, or a part of the batches."""
        for start in range(part[0] * size, len(self.test_labels), part[1] * size):
            chosen = slice(start, start + size)
            yield self.test_images[chosen], self.test_labels[chosen]

    def normalized(self, images: Images) -> npt.NDArray[np.float32]:
        """Return images of the data set as a network sees them, float32."""
        return normalized(images, self.mean, self.std)


def normalized(images: Images, mean: tuple[float, ...], std: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Return images as a network sees them, float32: pixels as 0..1, then `(x - mean) / std` per channel.

    The operations and their order are those of `trainers.evaluate.as_inputs`, so both give the same bits.
    """
    unit = images.astype(np.float32)
    if images.dtype == np.uint8:
        unit /= np.float32(255)
    inputs: npt.NDArray[np.float32] = (unit - per_channel(mean)) / per_channel(std)
    return inputs


def per_channel(values: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Return one number per channel as `float32[C, 1, 1]`."""
    column: npt.NDArray[Any] = np.asarray(values, np.float32).reshape(-1, 1, 1)
    return column

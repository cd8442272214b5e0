"""Drawings of one to three straight strokes: 1,200 images of 8x8 pixels that are drawn, not downloaded.

They stand for data that are not the task's: of the size and the greys of the digits, but without their shapes. The
class is the number of strokes less one.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainers.data.dataset import Dataset

IMAGES, TRAINING, SIZE, STROKES = 1200, 1000, 8, 3
POINTS = 33  #: Points that a stroke is drawn with.
INK = 8  #: Points that make a pixel white.


def load_strokes(data_dir: Path | None = None) -> Dataset:
    """Return the strokes as float32 in 0..1 in sixteenths, 1,000 to train on and 200 to test.

    `data_dir` is not used. The numbers come from the bits of a fixed generator by exact arithmetic, so the images are
    the same everywhere.
    """
    numbers = np.random.PCG64(0).random_raw(IMAGES * STROKES * 4).reshape(IMAGES, STROKES, 2, 2)
    ends = (numbers % (4 * (SIZE - 1) + 1)).astype(np.float64) / 4  # x and y, in quarters of a pixel
    labels = np.arange(IMAGES, dtype=np.int64) % STROKES
    images = np.stack([draw(ends[index, : label + 1]) for index, label in enumerate(labels)])
    return Dataset(
        name="strokes",
        train_images=images[:TRAINING],
        train_labels=labels[:TRAINING],
        test_images=images[TRAINING:],
        test_labels=labels[TRAINING:],
        classes=STROKES,
        mean=(0.0,),
        std=(1.0,),
    )


def draw(ends: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the image, float32[1, 8, 8], of strokes between `ends`, [strokes, 2, 2]: each point inks four pixels."""
    shares = np.linspace(0, 1, POINTS)[:, None]
    image = np.zeros((SIZE + 1, SIZE + 1))
    for start, end in ends:
        points = start + (end - start) * shares
        corner = np.floor(points).astype(np.int64)
        x, y = (points - corner).T
        column, row = corner.T
        for dx, dy, part in ((0, 0, (1 - x) * (1 - y)), (1, 0, x * (1 - y)), (0, 1, (1 - x) * y), (1, 1, x * y)):
            np.add.at(image, (row + dy, column + dx), part)
    grey = np.floor(np.minimum(image[:SIZE, :SIZE] / INK, 1) * 16) / 16
    pixels: npt.NDArray[np.float32] = grey[None].astype(np.float32)
    return pixels

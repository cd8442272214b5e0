"""Handwritten digits that come with scikit-learn: 1,797 images of 8x8 pixels, real and free of downloads.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
1998 (its test part).
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainers.data.dataset import Dataset

TEST_EVERY = 4  # of each class, every fourth image in the original order is a test image


def load_digits(data_dir: Path | None = None) -> Dataset:
    """Return the digits as float32 in 0..1 (pixel / 16, exact in 4 fraction bits), 1,346 to train on and 451 to test.

    `data_dir` is not used: scikit-learn carries the files. The split takes no random numbers, so it is the same
    everywhere.
    """
    from sklearn.datasets import load_digits as read_digits

    raw = read_digits()
    images = (raw.images / 16).astype(np.float32)[:, None]
    labels = raw.target.astype(np.int64)
    test = is_test_image(labels)
    return Dataset(
        name="digits",
        train_images=images[~test],
        train_labels=labels[~test],
        test_images=images[test],
        test_labels=labels[test],
        classes=10,
        mean=(0.0,),
        std=(1.0,),
        class_names=tuple("0123456789"),
    )


def is_test_image(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return `bool[N]`: which images are for testing, every fourth of each class, so that classes keep their shares."""
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[1::TEST_EVERY]] = True
    return mask

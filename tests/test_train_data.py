"""Data sets in memory: the digits' split, the strokes, normalization and hashes."""

import numpy as np
import pytest
import torch

from trainers.data import Dataset, load_dataset
from trainers.data.dataset import Images
from trainers.data.strokes import draw
from trainers.evaluate import as_inputs


def test_digits_are_split_by_class_without_chance() -> None:
    digits = load_dataset("digits")
    assert digits.train_images.shape == (1346, 1, 8, 8)
    assert digits.test_images.shape == (451, 1, 8, 8)
    assert np.bincount(digits.test_labels).tolist() == [45, 46, 44, 46, 45, 46, 45, 45, 44, 45]
    assert np.bincount(digits.train_labels).tolist() == [133, 136, 133, 137, 136, 136, 136, 134, 130, 135]
    assert digits.sha256 == "dc688bee23d2064399762cf0b75fcaf38407c06f0b4d45389d4cefb03493c66e"


def test_digits_are_exact_in_four_fraction_bits() -> None:
    digits = load_dataset("digits")
    for images in (digits.train_images, digits.test_images):
        assert images.dtype == np.float32
        assert (images.min(), images.max()) == (0, 1)
        np.testing.assert_array_equal(images * 16, np.rint(images * 16))
        np.testing.assert_array_equal(digits.normalized(images), images)


def test_strokes_are_the_same_everywhere() -> None:
    strokes = load_dataset("strokes")
    assert strokes.train_images.shape == (1000, 1, 8, 8)
    assert strokes.test_images.shape == (200, 1, 8, 8)
    assert np.bincount(strokes.train_labels).tolist() == [334, 333, 333]
    assert strokes.train_images.dtype == np.float32
    assert (strokes.train_images.min(), strokes.train_images.max()) == (0, 1)
    np.testing.assert_array_equal(strokes.train_images * 16, np.rint(strokes.train_images * 16))
    assert strokes.sha256 == "addf518b2a27be7dc002a1cff22a9b4fd618f55b1d8ea3cac4ef732e0fa77343"


def test_a_stroke_inks_the_pixels_between_its_ends() -> None:
    image = draw(np.array([[[1.0, 2.0], [5.0, 2.0]]]))[0]
    expected = np.zeros((8, 8), np.float32)
    expected[2, 1:6] = [0.5625, 1, 1, 1, 0.5625]  # eight points a pixel; at the ends 1 + 7/8 + ... + 1/8 = 4.5 of them
    np.testing.assert_array_equal(image, expected)


def small_dataset(images: Images) -> Dataset:
    labels = np.zeros(len(images), np.int64)
    return Dataset("small", images, labels, images, labels, 10, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_normalization_is_the_same_in_numpy_and_torch() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 4), np.uint8)
    dataset = small_dataset(pixels)
    normalized = dataset.normalized(pixels)
    np.testing.assert_array_equal(normalized, as_inputs(torch.from_numpy(pixels), dataset).numpy())
    assert normalized.dtype == np.float32
    assert float(normalized[0, 2, 0, 0]) == pytest.approx((pixels[0, 2, 0, 0] / 255 - 0.406) / 0.225, rel=1e-5)


def test_hash_sees_every_array() -> None:
    pixels = np.zeros((4, 3, 2, 2), np.uint8)
    changed = pixels.copy()
    changed[3, 2, 1, 1] = 1
    assert small_dataset(pixels).sha256 == small_dataset(pixels.copy()).sha256
    assert small_dataset(pixels).sha256 != small_dataset(changed).sha256


def test_unknown_data_set_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="unknown data set 'digit'; did you mean 'digits'"):
        load_dataset("digit")

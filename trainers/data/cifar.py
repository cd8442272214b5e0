"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32x32 pixels in 10 or 100 classes.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Checksums: those of the archives
are published with them; those of the python batches are torchvision's, those of the binary files Apache MXNet's.
"""

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from trainers.data.dataset import Dataset
from trainers.data.official import Layout, Official, Part, load_official

SHAPE = (3, 32, 32)
FINE_CLASSES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
TEST_FILES = ("test_batch", "test_batch.bin", "test", "test.bin")


def parts(contents: Mapping[str, bytes], parse: Callable[[bytes], Part]) -> tuple[Part, Part]:
    """Return the training part, all files but one in turn, and the test part."""
    batches = {name: parse(content) for name, content in contents.items()}
    test = batches.pop(next(name for name in contents if name in TEST_FILES))
    images, labels = zip(*batches.values(), strict=True)
    return (np.concatenate(images), np.concatenate(labels)), test


def python_batch(content: bytes, labels: bytes) -> Part:
    """Return a pickled batch; `labels` is the name of its labels. The content must have been verified."""
    batch = pickle.loads(content, encoding="bytes")
    return np.asarray(batch[b"data"], np.uint8).reshape(-1, *SHAPE), np.asarray(batch[labels], np.int64)


def binary_batch(content: bytes, label_bytes: int) -> Part:
    """Return a binary batch: for each image its labels, the last of which counts, and its pixels."""
    rows = np.frombuffer(content, np.uint8).reshape(-1, label_bytes + 3072)
    return np.ascontiguousarray(rows[:, label_bytes:]).reshape(-1, *SHAPE), rows[:, label_bytes - 1].astype(np.int64)


CIFAR10 = Official(
    name="cifar10",
    title="CIFAR-10",
    layouts=(
        Layout(
            folder="cifar-10-batches-py",
            checksums={
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                "test_batch": "40351d587109b95175f43aff81a1287e",
            },
            read=partial(parts, parse=partial(python_batch, labels=b"labels")),
            archive="cifar-10-python.tar.gz",
            archive_checksum="c58f30108f718f92721af3b95e74349a",
        ),
        Layout(
            folder="cifar-10-batches-bin",
            checksums={
                "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
                "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
                "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
                "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
                "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
                "test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c",
            },
            read=partial(parts, parse=partial(binary_batch, label_bytes=1)),
            archive="cifar-10-binary.tar.gz",
            archive_checksum="c32a1d4ab5d03f1284b67883e8d87530",
        ),
    ),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    # The ImageNet statistics that the public CIFAR ResNet-20 checkpoints were trained with, not CIFAR's own.
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)

CIFAR100 = Official(
    name="cifar100",
    title="CIFAR-100",
    layouts=(
        Layout(
            folder="cifar-100-python",
            checksums={"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
            read=partial(parts, parse=partial(python_batch, labels=b"fine_labels")),
            archive="cifar-100-python.tar.gz",
            archive_checksum="eb9058c3a382ffc7106e4002c42a8d85",
        ),
        Layout(
            folder="cifar-100-binary",
            checksums={
                "train.bin": "e207cd2e05b73b1393c74c7f5e7bea451d63e08e",
                "test.bin": "8fb6623e830365ff53cf14adec797474f5478006",
            },
            read=partial(parts, parse=partial(binary_batch, label_bytes=2)),
            archive="cifar-100-binary.tar.gz",
            archive_checksum="03b5dce01913d631647c71ecec9e9cb8",
        ),
    ),
    class_names=tuple(FINE_CLASSES.split()),
    # Of the training images' pixels.
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)


def load_cifar10(data_dir: Path | None) -> Dataset:
    """Return CIFAR-10: 50,000 images to train on and 10,000 to test. Raises what `load_official` does."""
    return load_official(CIFAR10, data_dir)


def load_cifar100(data_dir: Path | None) -> Dataset:
    """Return CIFAR-100 with its fine labels, split as CIFAR-10. Raises what `load_official` does."""
    return load_official(CIFAR100, data_dir)

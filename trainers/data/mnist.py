"""MNIST and Fashion-MNIST: 70,000 grey images of 28x28 pixels in 10 classes.

Sources: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998; H. Xiao, K. Rasul and
R. Vollgraf, arXiv:1708.07747. The checksums of the .gz files are torchvision's, those of the unpacked files follow from
them and are widely quoted.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainers.data.dataset import Dataset
from trainers.data.idx import parse_idx
from trainers.data.official import Layout, Official, Part, load_official

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def read(contents: Mapping[str, bytes]) -> tuple[Part, Part]:
    """Return the training and the test part; the contents are those of `FILES`, in this order.

    Raises:
        ValueError: a file is not IDX, or has other sizes than the one that belongs to it.
    """
    arrays = {name: parse_idx(content, name) for name, content in contents.items()}
    (train_file, train), (_, train_labels), (test_file, test), (_, test_labels) = arrays.items()
    return part(train_file, train, train_labels), part(test_file, test, test_labels)


def part(name: str, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> Part:
    """Return images `uint8[N, 1, H, W]` and labels `int64[N]`.

    Raises:
        ValueError: they do not belong together.
    """
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(f"{name} must hold N images of HxW for N labels, got {images.shape} and {labels.shape}")
    return images[:, None], labels.astype(np.int64)


def layouts(folder: str, packed: tuple[str, ...], unpacked: tuple[str, ...]) -> tuple[Layout, ...]:
    """Return the two layouts: .gz files with the checksums `packed`, and unpacked ones."""
    gzipped = {f"{name}.gz": checksum for name, checksum in zip(FILES, packed, strict=True)}
    return Layout(folder, gzipped, read), Layout(folder, dict(zip(FILES, unpacked, strict=True)), read)


MNIST = Official(
    name="mnist",
    title="MNIST",
    layouts=layouts(
        "MNIST/raw",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    class_names=tuple("0123456789"),
    mean=(0.1307,),
    std=(0.3081,),
)

FASHION_MNIST = Official(
    name="fashion_mnist",
    title="Fashion-MNIST",
    layouts=layouts(
        "FashionMNIST/raw",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        (
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
    ),
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    mean=(0.2860,),
    std=(0.3530,),
)


def load_mnist(data_dir: Path | None) -> Dataset:
    """Return MNIST: 60,000 images to train on and 10,000 to test. Raises what `load_official` does."""
    return load_official(MNIST, data_dir)


def load_fashion_mnist(data_dir: Path | None) -> Dataset:
    """Return Fashion-MNIST, split as MNIST. Raises what `load_official` does."""
    return load_official(FASHION_MNIST, data_dir)

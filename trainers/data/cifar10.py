"""CIFAR-10 from its official python batches: 60,000 colour images of 32x32 pixels, 10 classes.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The checksums are those
published with the batches.
"""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainers.data.dataset import Dataset

FOLDER = "cifar-10-batches-py"
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
# The ImageNet statistics that the public CIFAR ResNet-20 checkpoints were trained with, not CIFAR's own.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Part = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def load_cifar10(data_dir: Path | None) -> Dataset:
    """Return CIFAR-10 as uint8 images: 50,000 to train on, 10,000 to test.

    `data_dir` is the folder `cifar-10-batches-py` or the one that holds it.

    Raises:
        ValueError: no folder is given, or a batch is not the official file (its MD5 is compared before it is
            unpickled).
        FileNotFoundError: a batch is missing; the message names it and says where to put it.
    """
    if data_dir is None:
        raise ValueError(f"cifar10 is read from disk: give the folder that holds {FOLDER} as data_dir (--data-dir)")
    parts = {name: read_batch(batch_path(data_dir, name), md5) for name, md5 in MD5.items()}
    train = [part for name, part in parts.items() if name != "test_batch"]
    return Dataset(
        name="cifar10",
        train_images=np.concatenate([images for images, _ in train]),
        train_labels=np.concatenate([labels for _, labels in train]),
        test_images=parts["test_batch"][0],
        test_labels=parts["test_batch"][1],
        classes=10,
        mean=MEAN,
        std=STD,
    )


def batch_path(data_dir: Path, name: str) -> Path:
    """Return where the batch `name` lies: in `data_dir` itself or in its subfolder with the official name.

    Raises:
        FileNotFoundError: it lies in neither.
    """
    inside = data_dir / FOLDER / name
    for path in (data_dir / name, inside):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"CIFAR-10's file {name} is missing: unpack cifar-10-python.tar.gz (from the CIFAR-10 home page) "
        f"so that {inside} exists"
    )


def read_batch(path: Path, md5: str) -> Part:
    """Return images `uint8[N, 3, 32, 32]` and labels `int64[N]` of one batch.

    Raises:
        ValueError: the file's MD5 differs from `md5`; nothing was unpickled.
    """
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(f"{path} is not the official file: its MD5 is {found}, not {md5}; fetch it again")
    batch = pickle.loads(content, encoding="bytes")
    images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32)
    return images, np.asarray(batch[b"labels"], np.int64)

"""Data sets, one file each, by name."""

from collections.abc import Callable
from pathlib import Path

from hwsim.errors import unknown_name
from trainers.data.cifar import load_cifar10, load_cifar100
from trainers.data.dataset import Dataset
from trainers.data.digits import load_digits
from trainers.data.image_folder import ImageFolder, load_image_folder
from trainers.data.mnist import load_fashion_mnist, load_mnist
from trainers.data.strokes import load_strokes

__all__ = ["DATASETS", "IMAGE_FOLDER", "Data", "Dataset", "ImageFolder", "load_dataset", "open_data"]

Data = Dataset | ImageFolder  #: What can be trained on.
IMAGE_FOLDER = "imagefolder"

DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": load_digits,
    "mnist": load_mnist,
    "fashion_mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "strokes": load_strokes,
}


def load_dataset(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Return the data set `name`, read from `data_dir` if it is not part of an installed library.

    Raises:
        ValueError: the name is unknown, a folder is needed but not given, or a file has another content than
            the official one.
        FileNotFoundError: a file is missing; the message says which, and where it belongs.
    """
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    return DATASETS[name](Path(data_dir) if data_dir else None)


def open_data(name: str, data_dir: str | Path | None = None, skip_broken: bool = False) -> Data:
    """Return the data set `name`, or the folder of images `data_dir` if the name is "imagefolder".

    skip_broken: leave out a folder's images that do not decode, rather than raise an error when one is met.

    Raises:
        ValueError, FileNotFoundError: as `load_dataset` and `load_image_folder`.
    """
    if name == IMAGE_FOLDER:
        return load_image_folder(Path(data_dir) if data_dir else None, skip_broken=skip_broken)
    if name not in DATASETS:
        raise unknown_name("data set", name, (*DATASETS, IMAGE_FOLDER))
    return load_dataset(name, data_dir)

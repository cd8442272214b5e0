"""The images that a command runs a network on."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwsim.network import Network


class Pixels(Protocol):
    """What is known of images before they are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> "NDArray[Any]":
        """Return some of the images."""


@dataclass(frozen=True)
class Source:
    """Where images come from: a data set's test images, or a .npy file."""

    data: str | None = None
    data_dir: str | None = None
    images: str | None = None

    def open(self) -> "tuple[Pixels, NDArray[Any] | None, str | None]":
        """Return images as the network takes them, (N, C, H, W), and of a data set their labels and its SHA-256.

        Images of a file or a folder stay on disk until they are read.

        Raises:
            ValueError, OSError: the data set or the file is not in order.
        """
        if self.images is not None:
            return load_npy(Path(self.images), "biuf"), None, None
        from trainers.data import Dataset, open_data
        from trainers.data.folder_images import FolderImages

        dataset = open_data(str(self.data), self.data_dir)
        if not isinstance(dataset, Dataset):
            return FolderImages(dataset), dataset.test_labels, dataset.sha256
        return dataset.normalized(dataset.test_images), dataset.test_labels, dataset.sha256


@dataclass(frozen=True, eq=False)
class LoadedImages:
    """Images as a network takes them, (N, C, H, W); their classes, (N,), where they are known."""

    source: Source
    pixels: "Pixels"
    labels: "NDArray[Any] | None"
    sha256: str | None  #: Of the data set; None for a file.


def load_images(
    network: "Network", data: str | None, data_dir: Path | None, images: Path | None, labels: Path | None
) -> LoadedImages:
    """Return what the options of a command name; without any, the test images that the network was made for.

    Raises:
        ValueError: options that exclude each other, images or classes that do not fit the network.
        OSError: a file cannot be read.
    """
    from hwsim.engines.simulate import check_shape

    if labels is not None and images is None:
        raise ValueError("--labels belong to --images; a data set brings its own")
    source = _source(network, data, data_dir, images)
    pixels, truth, sha256 = source.open()
    check_shape(pixels.shape, network.input.shape)
    if labels is not None:
        truth = load_labels(labels, len(pixels), network.shapes[network.output.name][0])
    return LoadedImages(source, pixels, truth, sha256)


def _source(network: "Network", data: str | None, data_dir: Path | None, images: Path | None) -> Source:
    if images is not None:
        if data is not None or data_dir is not None:
            raise ValueError("give either --images or --data and --data-dir, not both")
        return Source(images=str(images))
    name = data or network.metadata.get("data")
    if name is None:
        raise ValueError(f"network {network.name!r} does not say which data it was made for: give --data or --images")
    return Source(str(name), None if data_dir is None else str(data_dir))


def load_labels(path: Path, count: int, classes: int) -> "NDArray[Any]":
    """Return the classes in a file, shape (count,).

    Raises:
        ValueError, OSError: there are no such classes.
    """
    labels = load_npy(path, "iu")
    if labels.shape != (count,):
        raise ValueError(f"{path} must hold one label per image, shape ({count},), got {labels.shape}")
    if count and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"{path}: labels must be in 0..{classes - 1}, got {labels.min()}..{labels.max()}")
    return labels


def load_npy(path: Path, kinds: str) -> "NDArray[Any]":
    """Return the array in a file, of one of numpy's kinds of numbers; it stays on disk until it is read.

    Raises:
        ValueError, OSError: there is no such array.
    """
    import numpy as np
    from numpy.lib.format import open_memmap

    try:
        array: NDArray[Any] = np.atleast_1d(open_memmap(path, mode="r"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no .npy file at {path}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not a .npy file of numbers: {error}") from error
    if array.dtype.kind not in kinds:
        raise ValueError(f"{path} must hold {'integers' if kinds == 'iu' else 'real numbers'}, got {array.dtype}")
    return array

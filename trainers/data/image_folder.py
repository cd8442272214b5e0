"""Folders of images in ImageNet's layout: `train/<class>/*` and `val/<class>/*`, decoded batch by batch as needed."""

import hashlib
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwsim.executor import worker_pool
from trainers.data.dataset import WHOLE, Part
from trainers.data.decode import Pixels, Request, decode_batch

SUFFIXES = (".jpeg", ".jpg", ".png")
AHEAD = 2  #: Batches per process that are decoded before their turn.

Labels = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]
Batch = tuple[Pixels, Labels]


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Labelled images that stay on disk until a batch needs them; what is asked of them is what `Dataset` answers.

    A training image is a random crop, resized and perhaps mirrored, that depends on seed, epoch and the image's place
    only, not on the number of worker processes. A test image is resized to 256 pixels for 224, and cropped to its
    middle. Grey, CMYK and palette images are converted to RGB.
    """

    name: str
    train_paths: tuple[Path, ...] = field(repr=False)
    train_labels: Labels = field(repr=False)
    test_paths: tuple[Path, ...] = field(repr=False)
    test_labels: Labels = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    root: Path
    size: int = 224
    workers: int = 0  #: Processes that decode; 0: this one does.
    skip_broken: bool = False  #: Leave out images that do not decode, rather than raise an error.
    broken: set[Path] = field(default_factory=set)  #: Those that were left out so far.
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Channels, height and width of one image."""
        return 3, self.size, self.size

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the files' names, relative to the folder, and sizes; their content is not read."""
        digest = hashlib.sha256()
        for path in (*self.train_paths, *self.test_paths):
            digest.update(f"{path.relative_to(self.root).as_posix()}\0{path.stat().st_size}\n".encode())
        return digest.hexdigest()

    @property
    def broken_names(self) -> list[str]:
        """Names of the images left out so far, relative to the folder, sorted."""
        return sorted(path.relative_to(self.root).as_posix() for path in self.broken)

    def train_batches(self, batches: Iterable[Places], seed: int, epoch: int) -> Generator[Batch, None, None]:
        """Yield the training images at each batch's places, uint8[N, 3, size, size], and their labels.

        Raises:
            ValueError: an image does not decode; the message names it.
            ChildProcessError: a worker process was killed.
        """
        paths, labels = self.train_paths, self.train_labels.tolist()
        requests = ([Request(paths[i], labels[i], (seed, epoch, i)) for i in batch.tolist()] for batch in batches)
        yield from self._decoded(requests)

    def test_batches(self, size: int, part: Part = WHOLE) -> Generator[Batch, None, None]:
        """Yield the test images in order, `size` at a time, and their labels: all, or a part of the batches.

        Raises what `train_batches` does.
        """
        requests = [Request(*pair) for pair in zip(self.test_paths, self.test_labels.tolist(), strict=True)]
        yield from self._decoded(requests[i : i + size] for i in range(part[0] * size, len(requests), part[1] * size))

    def _decoded(self, batches: Iterator[list[Request]]) -> Generator[Batch, None, None]:
        for requests, (images, kept) in self._run(batches):
            self.broken.update({request.path for request in requests} - {requests[place].path for place in kept})
            yield images, np.array([requests[place].label for place in kept], np.int64)

    def _run(self, batches: Iterator[list[Request]]) -> Iterator[tuple[list[Request], tuple[Pixels, list[int]]]]:
        """Yield each batch with its decoded images and the places of those, in the batches' order."""
        if not self.workers:
            yield from ((requests, decode_batch(requests, self.size, self.skip_broken)) for requests in batches)
            return
        with worker_pool(self.workers, 1) as pool:
            try:
                yield from self._handed_out(batches, pool)
            finally:  # a process that is ended while it sends its images would block the pool
                pool.shutdown(cancel_futures=True)

    def _handed_out(
        self, batches: Iterator[list[Request]], pool: ProcessPoolExecutor
    ) -> Iterator[tuple[list[Request], tuple[Pixels, list[int]]]]:
        waiting: deque[tuple[list[Request], Future[tuple[Pixels, list[int]]]]] = deque()
        while True:
            for requests in islice(batches, AHEAD * self.workers - len(waiting)):
                waiting.append((requests, pool.submit(decode_batch, requests, self.size, self.skip_broken)))
            if not waiting:
                return
            requests, future = waiting.popleft()
            yield requests, future.result()


def load_image_folder(
    data_dir: Path | None, size: int = 224, workers: int | None = None, skip_broken: bool = False
) -> ImageFolder:
    """Return the images below `data_dir`; classes are the folders of `train`, in the order of their names.

    workers: processes that decode; None: as many as there are processor cores.

    Raises:
        ValueError: no folder is given, a class of `val` is none of `train`, one of `train` has no images, or there is
            no image to train or to test on.
        FileNotFoundError: `train` or `val` is missing.
    """
    if data_dir is None:
        raise ValueError("imagefolder is read from disk: give the folder that holds train and val as data_dir")
    train_files, test_files = images_by_class(data_dir / "train"), images_by_class(data_dir / "val")
    names = tuple(train_files)
    for name, files in (*train_files.items(), *((name, ()) for name in test_files if name not in train_files)):
        if not files:
            raise ValueError(f"class {name!r} of {data_dir} has no training images ({', '.join(SUFFIXES)})")
    for part, classes in (("train", train_files), ("val", test_files)):
        if not any(classes.values()):
            raise ValueError(f"{data_dir / part} has no images: it holds a folder of {', '.join(SUFFIXES)} per class")
    train, test = ([(path, names.index(name)) for name, files in part.items() for path in files]
                   for part in (train_files, test_files))  # fmt: skip
    return ImageFolder(
        name="imagefolder",
        train_paths=tuple(path for path, _ in train),
        train_labels=np.array([label for _, label in train], np.int64),
        test_paths=tuple(path for path, _ in test),
        test_labels=np.array([label for _, label in test], np.int64),
        class_names=names,
        root=data_dir,
        size=size,
        workers=len(os.sched_getaffinity(0)) if workers is None else workers,
        skip_broken=skip_broken,
    )


def images_by_class(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the image files of each class folder; classes and files in the order of their names.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: it holds a folder of images for each class")
    return {
        place.name: tuple(sorted(Path(entry) for entry in os.scandir(place) if is_image(entry)))
        for place in sorted(folder.iterdir())
        if place.is_dir()
    }


def is_image(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry of a folder is a file with the name of an image."""
    return Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file()

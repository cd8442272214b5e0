"""Published data sets as files on disk: found, and compared with their checksums, before anything reads them."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainers.data.dataset import Dataset

#: Name of a checksum's algorithm, by the number of its hexadecimal digits.
ALGORITHMS = {32: "md5", 40: "sha1"}

Part = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]  #: Images, uint8[N, C, H, W], and labels, int64[N].
Read = Callable[[Mapping[str, bytes]], tuple[Part, Part]]  #: Contents by file name -> training and test part.


@dataclass(frozen=True)
class Layout:
    """One way in which a data set is published: some files in a folder, or the archive of that folder."""

    folder: str  #: Where the files lie below the data folder, unless they lie in the data folder itself.
    checksums: Mapping[str, str]  #: MD5 or SHA-1 of each file.
    read: Read
    archive: str | None = None  #: Name of a .tar.gz that holds the folder.
    archive_checksum: str = ""

    def contents(self, data_dir: Path) -> dict[str, bytes] | None:
        """Return the verified content of every file, or None if this layout is not what lies in `data_dir`.

        Raises:
            ValueError: a file is not the official one.
            FileNotFoundError: some of the files are there, but one is missing.
        """
        for place in (data_dir, data_dir / self.folder):
            if any((place / name).is_file() for name in self.checksums):
                return {name: self.verified_file(place / name) for name in self.checksums}
        if self.archive is not None and (data_dir / self.archive).is_file():
            return self.members(data_dir / self.archive)
        return None

    def verified_file(self, path: Path) -> bytes:
        """Return the content of one file.

        Raises:
            ValueError: it is not the official one.
            FileNotFoundError: it is missing.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing beside the other files of {self.folder}; put it there")
        return verified(path.read_bytes(), self.checksums[path.name], path)

    def members(self, archive: Path) -> dict[str, bytes]:
        """Return the content of every file in the archive, which is unpacked in memory only.

        Raises:
            ValueError: the archive or a file in it is not the official one.
        """
        content = verified(archive.read_bytes(), self.archive_checksum, archive)
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            return {name: self._member(tar, name, archive) for name in self.checksums}

    def _member(self, tar: tarfile.TarFile, name: str, archive: Path) -> bytes:
        file = tar.extractfile(f"{self.folder}/{name}")
        assert file is not None  # a verified archive holds files of these names
        return verified(file.read(), self.checksums[name], f"{archive}: {name}")


@dataclass(frozen=True)
class Official:
    """A published data set: how it lies on disk, and what its classes and its pixels' statistics are."""

    name: str
    title: str  #: As people write it, such as "CIFAR-10".
    layouts: tuple[Layout, ...]  #: Tried in turn.
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_official(official: Official, data_dir: Path | None) -> Dataset:
    """Return a published data set whose files lie in `data_dir`, in any of its layouts.

    Raises:
        ValueError: no folder is given, or a file is not the official one: its checksum is compared first.
        FileNotFoundError: a file is missing; the message names it and says where to put it.
    """
    if data_dir is None:
        holds = official.layouts[0].folder
        rule = f"give the folder that holds {holds} as data_dir (--data-dir)"
        raise ValueError(f"{official.name} is read from disk: {rule}")
    for layout in official.layouts:
        contents = layout.contents(data_dir)
        if contents is not None:
            return as_dataset(official, *layout.read(contents))
    raise FileNotFoundError(missing(official, data_dir))


def as_dataset(official: Official, train: Part, test: Part) -> Dataset:
    """Return the two parts as a data set.

    Raises:
        ValueError: a label is beyond the classes.
    """
    for part, labels in (("training", train[1]), ("test", test[1])):
        check_labels(labels, len(official.class_names), f"{official.title}'s {part} part")
    return Dataset(
        name=official.name,
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        classes=len(official.class_names),
        mean=official.mean,
        std=official.std,
        class_names=official.class_names,
    )


def check_labels(labels: npt.NDArray[np.int64], classes: int, where: str) -> None:
    """Raise a ValueError unless all labels are in 0..classes-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise ValueError(f"labels of {where} must be in 0..{classes - 1}, image {wrong[0]} has {labels[wrong[0]]}")


def verified(content: bytes, checksum: str, where: object) -> bytes:
    """Return `content` if it has the checksum, an MD5 or SHA-1 in hexadecimal digits.

    Raises:
        ValueError: it has another one; the message names both.
    """
    algorithm = ALGORITHMS[len(checksum)]
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != checksum:
        raise ValueError(
            f"{where} is not the official file: its {algorithm.upper()} is {found}, not {checksum}; fetch it again"
        )
    return content


def missing(official: Official, data_dir: Path) -> str:
    """Return what to say if no layout has a file in `data_dir`: what is missing, and where it would be looked for."""
    first = official.layouts[0]
    places = [
        str(data_dir / name)
        for layout in official.layouts
        for name in (f"{layout.folder}/{next(iter(layout.checksums))}", layout.archive)
        if name is not None
    ]
    return (
        f"{official.title}'s file {next(iter(first.checksums))} is missing: looked for {', '.join(places)}; "
        f"put one of these there, with the files that belong to it (docs/data.md lists them)"
    )

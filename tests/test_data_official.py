"""Published data sets: both layouts, archives, checksums, and what is said of missing, swapped and damaged files."""

import gzip
import hashlib
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command import error

from trainers.data import cifar, load_dataset, mnist
from trainers.data.idx import parse_idx
from trainers.data.official import Layout, Official, load_official, verified

IMAGES = 5  # in each file of the small stand-ins
RNG = np.random.default_rng(0)
PIXELS = {name: RNG.integers(0, 256, (IMAGES, 3072), np.uint8) for name in ("train", "test", *"12345")}
CLASSES = {"cifar10": 10, "cifar100": 100}


def labels_of(part: str, classes: int) -> list[int]:
    return [(index * 7 + sum(part.encode())) % classes for index in range(IMAGES)]


def part_of(name: str) -> str:
    """Return the key of PIXELS for a CIFAR file."""
    stem = name.removesuffix(".bin")
    return stem[-1] if stem[-1].isdigit() else stem.removesuffix("_batch")


def python_file(name: str, classes: int) -> bytes:
    key = b"labels" if classes == 10 else b"fine_labels"
    return pickle.dumps({b"data": PIXELS[part_of(name)], key: labels_of(part_of(name), classes)})


def binary_file(name: str, classes: int) -> bytes:
    labels = np.array(labels_of(part_of(name), classes), np.uint8)[:, None]
    coarse = [] if classes == 10 else [labels // 5]
    return np.concatenate([*coarse, labels, PIXELS[part_of(name)]], axis=1).tobytes()


def write_folder(layout: Layout, folder: Path, make: Callable[[str], bytes]) -> Layout:
    """Write small files in the place of a layout's and return the layout with their checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for name, official in layout.checksums.items():
        (folder / name).write_bytes(make(name))
        checksums[name] = hashlib.new("md5" if len(official) == 32 else "sha1", make(name)).hexdigest()
    return replace(layout, checksums=checksums)


def write_archive(layout: Layout, data_dir: Path) -> Layout:
    """Pack a layout's folder into its archive, which takes the folder's place."""
    path = data_dir / str(layout.archive)
    with tarfile.open(path, "w:gz") as tar:
        tar.add(data_dir / layout.folder, layout.folder)
    for name in layout.checksums:
        (data_dir / layout.folder / name).unlink()
    return replace(layout, archive_checksum=hashlib.md5(path.read_bytes()).hexdigest())


def small(name: str, data_dir: Path) -> Official:
    """Write both layouts of a CIFAR below `python` and `binary`, and return the data set with their checksums."""
    official, classes, made = {"cifar10": cifar.CIFAR10, "cifar100": cifar.CIFAR100}[name], CLASSES[name], []
    for layout, file in zip(official.layouts, (python_file, binary_file), strict=True):
        place = data_dir / file.__name__.removesuffix("_file") / layout.folder
        made.append(write_folder(layout, place, partial(file, classes=classes)))
    return replace(official, layouts=tuple(made))


@pytest.mark.parametrize("name", CLASSES)
def test_cifar_is_the_same_in_every_layout(name: str, tmp_path: Path) -> None:
    official, classes = small(name, tmp_path), CLASSES[name]
    train = "12345" if classes == 10 else ["train"]
    python = load_official(official, tmp_path / "python")
    np.testing.assert_array_equal(python.train_images.reshape(-1, 3072), np.concatenate([PIXELS[p] for p in train]))
    np.testing.assert_array_equal(python.test_images.reshape(-1, 3072), PIXELS["test"])
    assert python.train_images.shape == (IMAGES * len(train), 3, 32, 32)
    assert python.train_labels.tolist() == [label for p in train for label in labels_of(p, classes)]
    assert python.test_labels.tolist() == labels_of("test", classes)
    assert (python.classes, len(set(python.class_names))) == (classes, classes)
    inner = load_official(official, tmp_path / "python" / official.layouts[0].folder)
    binary = load_official(official, tmp_path / "binary")
    packed = tuple(
        write_archive(layout, tmp_path / part)
        for layout, part in zip(official.layouts, ("python", "binary"), strict=True)
    )
    archives = [load_official(replace(official, layouts=packed), tmp_path / part) for part in ("python", "binary")]
    assert {data.sha256 for data in (inner, binary, *archives)} == {python.sha256}


def test_class_names_are_in_the_order_of_the_labels() -> None:
    for official in (cifar.CIFAR100, cifar.CIFAR10):
        assert list(official.class_names) == sorted(official.class_names)
    assert len(cifar.CIFAR100.class_names) == 100


@pytest.mark.parametrize("changed", ["missing", "swapped", "truncated"])
def test_bad_files_are_named_with_the_expected_checksum(changed: str, tmp_path: Path) -> None:
    official = small("cifar10", tmp_path)
    folder = tmp_path / "python" / official.layouts[0].folder
    path, other = folder / "data_batch_3", folder / "data_batch_4"
    content, swapped = path.read_bytes(), other.read_bytes()
    if changed == "missing":
        path.unlink()
        with pytest.raises(FileNotFoundError, match="data_batch_3 is missing beside the other files of cifar-10"):
            load_official(official, tmp_path / "python")
        return
    path.write_bytes(swapped if changed == "swapped" else content[:-1])
    wanted = official.layouts[0].checksums["data_batch_3"]
    with pytest.raises(ValueError, match=f"data_batch_3 is not the official file: its MD5 is .*, not {wanted}"):
        load_official(official, tmp_path / "python")


def test_a_damaged_archive_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    official = small("cifar10", tmp_path)
    packed = write_archive(official.layouts[0], tmp_path / "python")
    path = tmp_path / "python" / str(packed.archive)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"cifar-10-python.tar.gz is not .*, not {packed.archive_checksum}"):
        load_official(replace(official, layouts=(packed,)), tmp_path / "python")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_nothing_is_unpickled_when_its_checksum_differs(tmp_path: Path) -> None:
    official, trace = small("cifar10", tmp_path), tmp_path / "unpickled"
    path = tmp_path / "python" / official.layouts[0].folder / "data_batch_2"
    path.write_bytes(pickle.dumps(Bomb(trace)))
    found = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=f"data_batch_2 is not the official file: its MD5 is {found}"):
        load_official(official, tmp_path / "python")
    assert not trace.exists()


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    official = small("cifar100", tmp_path)
    few = replace(official, class_names=official.class_names[:50])
    with pytest.raises(ValueError, match=r"labels of CIFAR-100's training part must be in 0\.\.49, image \d has \d\d"):
        load_official(few, tmp_path / "python")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("fashion_mnist", "FashionMNIST/raw/train-images-idx3-ubyte.gz"),
        ("cifar10", "cifar-10-batches-py/data_batch_1"),
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("cifar100", "cifar-100-python/train"),
    ],
)
def test_an_empty_or_no_folder_is_told_what_belongs_there(name: str, first: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is missing: looked for") as caught:
        load_dataset(name, tmp_path)
    assert str(tmp_path / first) in str(caught.value)
    with pytest.raises(ValueError, match=f"{name} is read from disk: give the folder that holds"):
        load_dataset(name)


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "train").write_bytes(b"not a batch")
    arguments = ("train", "--data", "cifar100", "--data-dir", tmp_path, "--out", tmp_path / "runs")
    assert f"{tmp_path / 'train'} is not the official file: its MD5 is " in error(*arguments)
    assert "MNIST's file train-images-idx3-ubyte.gz is missing" in error(
        "train", "--data", "mnist", "--data-dir", tmp_path, "--out", tmp_path / "runs"
    )


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def mnist_file(name: str) -> bytes:
    """Return a small file: six images of 2x3 to train on, four to test."""
    count = 6 if name.startswith("train") else 4
    images = np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3)
    content = idx(images if "images" in name else np.arange(count, dtype=np.uint8))
    return gzip.compress(content, mtime=0) if name.endswith(".gz") else content


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_reads_packed_and_unpacked_files(packed: bool, tmp_path: Path) -> None:
    layout = write_folder(mnist.MNIST.layouts[0 if packed else 1], tmp_path, mnist_file)
    assert all(name.endswith(".gz") is packed for name in layout.checksums)
    dataset = load_official(replace(mnist.MNIST, layouts=(layout,)), tmp_path)
    assert dataset.train_images.shape == (6, 1, 2, 3)
    assert dataset.train_images.flags.writeable  # torch warns of arrays that are not
    assert dataset.train_images.ravel().tolist() == list(range(36))
    assert dataset.test_images.ravel().tolist() == list(range(24))
    assert dataset.train_labels.tolist() == list(range(6))
    assert dataset.test_labels.tolist() == list(range(4))


def test_images_and_labels_must_belong_together() -> None:
    contents = {name: mnist_file(name) for name in mnist.FILES}
    contents["train-labels-idx1-ubyte"] = contents["t10k-labels-idx1-ubyte"]
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte must hold N images .*, got \(6, 2, 3\) and \(4,\)"):
        mnist.read(contents)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", r"must begin with the bytes 0, 0, 8 .*, got \[\]"),
        (b"PNG", r"must begin with the bytes 0, 0, 8 .*, got \[80, 78, 71\]"),
        (bytes((0, 0, 13, 1, 0, 0, 0, 0)), r"must begin .*, got \[0, 0, 13\]"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 4, 1, 2, 3)), r"must hold 4 bytes of data for the sizes \[4\], got 3"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 2, 1, 2, 3)), "must hold 2 bytes .*, got 3"),
        (bytes((0, 0, 8, 3, 0, 0)), "must hold 3 sizes of 4 bytes, but ends after 6 bytes"),
        (gzip.compress(b"abc" * 50)[:-12], "is not a whole gzip file"),
    ],
)
def test_what_is_not_idx_is_refused(content: bytes, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^labels {rule}"):
        parse_idx(content, "labels")


def test_checksums_are_md5_or_sha1() -> None:
    assert verified(b"abc", hashlib.md5(b"abc").hexdigest(), "x") == b"abc"
    assert verified(b"abc", hashlib.sha1(b"abc").hexdigest(), "x") == b"abc"
    with pytest.raises(ValueError, match=r"^x is not the official file: its SHA1 is "):
        verified(b"abcd", hashlib.sha1(b"abc").hexdigest(), "x")


@pytest.mark.slow
def test_official_cifar10_in_both_layouts(cifar10_folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset("cifar10", cifar10_folder)
    assert dataset.train_images.shape == (50_000, 3, 32, 32)
    assert np.bincount(dataset.train_labels).tolist() == [5_000] * 10
    assert np.bincount(dataset.test_labels).tolist() == [1_000] * 10
    pixels, labels = dataset.test_images.reshape(-1, 3072), dataset.test_labels.astype(np.uint8)[:, None]
    content = np.concatenate([labels, pixels], axis=1).tobytes()
    verified(content, cifar.CIFAR10.layouts[1].checksums["test_batch.bin"], "test_batch.bin")


def test_the_documented_checksums_are_those_compared() -> None:
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text()
    for official in (mnist.MNIST, mnist.FASHION_MNIST, cifar.CIFAR10, cifar.CIFAR100):
        for layout in official.layouts:
            for name, checksum in layout.checksums.items():
                assert f"| {official.title} | `{layout.folder}` | `{name}` | `{checksum}` |" in text

"""Folders of images: decoding, crops that any number of workers repeats, broken images, and other colour modes."""

import json
import os
import shutil
import signal
from collections import deque
from contextlib import closing
from dataclasses import replace
from itertools import repeat
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
from command import error, read_csv, run
from PIL import Image

from hwsim.cli.images import Source
from trainers.config import TrainConfig
from trainers.data.decode import Request, decode, decode_batch, middle, random_box
from trainers.data.folder_images import FolderImages
from trainers.data.image_folder import ImageFolder, load_image_folder
from trainers.evaluate import evaluation_batches
from trainers.importance import learn_importance
from trainers.loop import calibration_batch
from trainers.processes import own_shard
from trainers.quantizers_only import in_memory, training_data

SIZE = 32


def gradient(width: int, height: int, red: int) -> Image.Image:
    """Return an image whose green grows to the right and whose blue grows downwards."""
    pixels = np.full((height, width, 3), red, np.uint8)
    pixels[..., 1] = np.linspace(0, 255, width)
    pixels[..., 2] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, six images to train on and three to test; nothing may be changed in it."""
    root = tmp_path_factory.mktemp("images")
    for part, count in (("train", 3), ("val", 2)):
        for red, name in ((40, "cat"), (200, "dog")):
            (root / part / name).mkdir(parents=True)
            for i in range(count if name == "cat" else count - (part == "val")):
                gradient(90 + 10 * i, 70, red).save(root / part / name / f"{i}.JPEG", quality=95)
    (root / "train" / "dog" / "readme.txt").write_text("no image")
    return root


def every(folder: ImageFolder, seed: int = 0, epoch: int = 1) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    batches = [np.array([4, 0, 2]), np.array([5, 1, 3])]
    return [pixels for pixels, _ in folder.train_batches(batches, seed, epoch)]


def test_classes_and_labels_follow_the_folders(images: Path) -> None:
    folder = load_image_folder(images, SIZE, workers=0)
    assert (folder.class_names, folder.classes, folder.image_shape) == (("cat", "dog"), 2, (3, SIZE, SIZE))
    assert folder.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert [path.name for path in folder.test_paths] == ["0.JPEG", "1.JPEG", "0.JPEG"]
    got = list(folder.test_batches(2))
    assert [labels.tolist() for _, labels in got] == [[0, 0], [1]]
    assert [pixels.shape for pixels, _ in got] == [(2, 3, SIZE, SIZE), (1, 3, SIZE, SIZE)]
    reds = [int(pixels[:, 0].mean().round()) for pixels, _ in got]
    np.testing.assert_allclose(reds, [40, 200], atol=2)  # JPEG's own error


def test_the_middle_is_that_of_resize_and_centre_crop(images: Path) -> None:
    request = Request(images / "val" / "cat" / "1.JPEG", 0)
    pixels = decode(request, 224).astype(int)
    with Image.open(request.path) as image:
        usual = image.resize((round(256 * 100 / 70), 256), Image.Resampling.BILINEAR)
    left, upper = (usual.width - 224) // 2, (usual.height - 224) // 2
    expected = np.asarray(usual.crop((left, upper, left + 224, upper + 224))).astype(int)
    assert np.abs(pixels - expected).max() <= 2  # both round to whole pixels, once and twice


def test_crops_depend_on_seed_epoch_and_image_only(images: Path) -> None:
    serial = every(load_image_folder(images, SIZE, workers=0))
    parallel = every(load_image_folder(images, SIZE, workers=2))
    for one, other in zip(serial, parallel, strict=True):
        np.testing.assert_array_equal(one, other)
    alone = next(load_image_folder(images, SIZE, workers=0).train_batches([np.array([2])], 0, 1))[0]
    np.testing.assert_array_equal(alone[0], serial[0][2])
    for seed, epoch in ((1, 1), (0, 2)):
        assert not np.array_equal(every(load_image_folder(images, SIZE, workers=0), seed, epoch)[0], serial[0])


def test_crops_are_inside_and_of_the_usual_areas_and_ratios() -> None:
    boxes = [random_box(400, 300, np.random.default_rng(seed)) for seed in range(500)]
    for left, upper, right, lower in boxes:
        assert 0 <= left < right <= 400
        assert 0 <= upper < lower <= 300
    areas = np.array([(r - x) * (b - y) / 120_000 for x, y, r, b in boxes])
    ratios = np.array([(r - x) / (b - y) for x, y, r, b in boxes])
    assert 0.075 < areas.min() < 0.12
    assert 0.9 < areas.max() <= 1
    assert 0.74 < ratios.min() < 0.8
    assert 1.27 < ratios.max() < 1.35
    assert random_box(1000, 10, np.random.default_rng(0)) == (493, 0, 506, 10)  # nothing fits: ratio 4/3, in the middle
    assert middle(512, 256) == (144, 16, 368, 240)


def test_half_of_the_training_images_are_mirrored(images: Path) -> None:
    path = images / "train" / "cat" / "0.JPEG"
    slopes = [np.diff(decode(Request(path, 0, (0, 1, i)), 8).astype(int)[..., 1], axis=1).mean() for i in range(60)]
    assert 15 <= sum(slope < 0 for slope in slopes) <= 45


def test_large_jpegs_are_decoded_small(tmp_path: Path) -> None:
    gradient(1600, 1200, 99).save(tmp_path / "large.jpg", quality=95)
    gradient(1600, 1200, 99).save(tmp_path / "large.png")
    small, exact = (decode(Request(tmp_path / name, 0), SIZE).astype(int) for name in ("large.jpg", "large.png"))
    assert np.abs(small - exact).max() <= 6  # a step of the gradient at 1/8 of the size, and JPEG's own error


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
def test_other_colour_modes_become_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("image.jpg" if mode in ("L", "CMYK") else "image.png")
    gradient(64, 64, 128).convert(mode).save(path)
    pixels = decode(Request(path, 0), 16)
    assert pixels.shape == (16, 16, 3)
    assert mode not in ("L", "1") or np.array_equal(pixels[..., 0], pixels[..., 1])


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_16_bit_grey_is_scaled(mode: str, tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, 0)
    suffix = {"I;16": "PNG", "I": "TIFF"}[mode]
    Image.fromarray(deep if mode == "I;16" else deep.astype(np.int32)).save(tmp_path / "deep.png", suffix)
    Image.fromarray(np.rint(deep / 257).astype(np.uint8)).save(tmp_path / "grey.png")
    with Image.open(tmp_path / "deep.png") as image:
        assert image.mode == mode
    scaled, expected = (decode(Request(tmp_path / name, 0), 16) for name in ("deep.png", "grey.png"))
    np.testing.assert_array_equal(scaled, expected)


@pytest.mark.parametrize(("value", "kind"), [(0.5, np.float32), (65536, np.int32), (-1, np.int32)])
def test_grey_of_an_unknown_range_does_not_decode(value: float, kind: type, tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), value, kind)).save(tmp_path / "grey.png", "TIFF")
    with pytest.raises(
        ValueError, match=r"grey\.png does not decode: grey of mode [IF] must be integers in 0\.\.65535"
    ):
        decode_batch([Request(tmp_path / "grey.png", 0)], 8, skip_broken=False)


def test_a_batch_of_broken_images_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no image of a training batch, .*decodes"):
        own_shard(torch.empty(0))
    shutil.copytree(images, tmp_path / "copy")
    for path in (tmp_path / "copy" / "train").glob("*/*.JPEG"):
        path.write_bytes(b"no image")
    folder = load_image_folder(tmp_path / "copy", SIZE, 0, skip_broken=True)
    with pytest.raises(ValueError, match="none of the 6 training images that the scales start from decodes"):
        calibration_batch(TrainConfig(), folder)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_does_not_decode_is_named_or_skipped(
    damage: str, workers: int, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "copy")
    path = tmp_path / "copy" / "train" / "cat" / "1.JPEG"
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"no image"}[damage])
    folder = load_image_folder(tmp_path / "copy", SIZE, workers)
    with pytest.raises(ValueError, match=r"train/cat/1\.JPEG does not decode: "):
        every(folder)
    tolerant = load_image_folder(tmp_path / "copy", SIZE, workers, skip_broken=True)
    got = list(tolerant.train_batches([np.array([0, 1, 2]), np.array([3, 4])], 0, 1))
    assert [labels.tolist() for _, labels in got] == [[0, 0], [1, 1]]
    np.testing.assert_array_equal(got[0][0][1], every(load_image_folder(images, SIZE, 0))[0][2])
    assert tolerant.broken == {path}


def test_folders_that_are_not_whole_are_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="imagefolder is read from disk: give the folder that holds train and val"):
        load_image_folder(None)
    with pytest.raises(FileNotFoundError, match="train is missing: it holds a folder of images for each class"):
        load_image_folder(tmp_path)
    shutil.copytree(images, tmp_path / "copy")
    (tmp_path / "copy" / "val" / "cow").mkdir()
    with pytest.raises(ValueError, match=r"class 'cow' of .*copy has no training images"):
        load_image_folder(tmp_path / "copy")
    (tmp_path / "copy" / "train" / "cow").mkdir()
    with pytest.raises(ValueError, match=r"class 'cow' of .*copy has no training images"):
        load_image_folder(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "val")
    with pytest.raises(FileNotFoundError, match="val is missing"):
        load_image_folder(tmp_path / "copy")


@pytest.mark.parametrize("part", ["train", "val"])
def test_parts_without_images_are_refused(part: str, images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / part)
    (tmp_path / "copy" / part).mkdir()
    if part == "train":
        shutil.rmtree(tmp_path / "copy" / "val")
        (tmp_path / "copy" / "val").mkdir()
    with pytest.raises(ValueError, match=rf"copy/{part} has no images"):
        load_image_folder(tmp_path / "copy")


def test_a_folder_with_the_name_of_an_image_is_none(images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "copy")
    (tmp_path / "copy" / "train" / "cat" / "x.jpg").mkdir()
    assert load_image_folder(tmp_path / "copy").sha256 == load_image_folder(images).sha256


def test_the_hash_sees_names_and_sizes(images: Path, tmp_path: Path) -> None:
    first = load_image_folder(images).sha256
    shutil.copytree(images, tmp_path / "copy")
    assert load_image_folder(tmp_path / "copy").sha256 == first
    path = tmp_path / "copy" / "val" / "cat" / "0.JPEG"
    path.rename(path.with_name("9.JPEG"))
    renamed = load_image_folder(tmp_path / "copy").sha256
    path.with_name("9.JPEG").write_bytes(path.with_name("9.JPEG").read_bytes() + b"\0")
    assert len({first, renamed, load_image_folder(tmp_path / "copy").sha256}) == 3


def test_a_stream_may_end_early(images: Path) -> None:
    folder = load_image_folder(images, 224, workers=2)
    before = set(active_children())
    with closing(folder.train_batches([np.arange(6)] * 40, 0, 1)) as stream:
        next(stream)
    assert set(active_children()) <= before


def test_a_worker_that_dies_is_reported(images: Path) -> None:
    folder = load_image_folder(images, SIZE, workers=1)
    before = set(active_children())
    stream = folder.train_batches(repeat(np.arange(6)), 0, 1)
    next(stream)
    for worker in set(active_children()) - before:
        os.kill(worker.pid or 0, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match="a worker process was killed"):
        deque(stream, maxlen=0)


def test_a_network_trains_on_a_folder(images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "copy")
    (tmp_path / "copy" / "train" / "cat" / "1.JPEG").write_bytes(b"no image")
    command = ["train", "--data", "imagefolder", "--data-dir", tmp_path / "copy", "--model", "mobilenetv2"]
    command += ["--weights", "float", "--epochs", "1", "--batch-size", "3", "--out", tmp_path / "runs"]
    assert "train/cat/1.JPEG does not decode" in error(*command)
    shutil.rmtree(tmp_path / "runs")
    assert run(*command, "--skip-broken").exit_code == 0
    record = json.loads((tmp_path / "runs" / "imagefolder-mobilenetv2-float-s0" / "record.json").read_text())
    assert record["skipped_images"] == {"count": 1, "names": ["train/cat/1.JPEG"]}
    assert record["counts"]["test_images"] == 3
    assert record["data_sha256"] == load_image_folder(tmp_path / "copy").sha256


def test_test_images_are_decoded_when_they_are_read(images: Path) -> None:
    pixels, labels, sha256 = Source("imagefolder", str(images)).open()
    folder = load_image_folder(images, workers=0)
    assert (pixels.shape, len(pixels)) == ((3, 3, 224, 224), 3)
    assert sha256 == folder.sha256
    np.testing.assert_array_equal(labels, folder.test_labels)
    expected = torch.cat([x for x, _ in evaluation_batches(folder)]).numpy()
    for part in (slice(None), slice(1, 3), slice(2, 9)):
        np.testing.assert_array_equal(pixels[part], expected[part])
    broken = FolderImages(replace(folder, test_paths=(images / "none.JPEG",)))
    with pytest.raises(ValueError, match=r"none\.JPEG does not decode"):
        broken[:]


@pytest.mark.slow
def test_a_network_of_a_folder_is_quantized_and_simulated(images: Path, tmp_path: Path) -> None:
    place = ["--data", "imagefolder", "--data-dir", images]
    command = ["train", *place, "--model", "alexnet", "--init", "none", "--epochs", "1", "--lr", "1e-4"]
    assert run(*command, "--out", tmp_path).exit_code == 0
    folder = tmp_path / "imagefolder-alexnet-uniform-w4a4-s0"
    record = json.loads((folder / "record.json").read_text())
    result = run("simulate", folder / "network.safetensors", "--data-dir", images, "--format", "csv")
    assert read_csv(result.stdout)[0]["correct"] == str(record["counts"]["integer_correct"])


def test_importance_is_not_learned_on_a_folder(images: Path, tmp_path: Path) -> None:
    config = TrainConfig(data="imagefolder", data_dir=str(images), model="mobilenetv2")
    with pytest.raises(ValueError, match="images in memory only, those of imagefolder stay on disk"):
        learn_importance(config, [2, 4], tmp_path)


def test_quantizers_do_not_learn_alone_on_a_folder(images: Path) -> None:
    config = TrainConfig(weights="uniform", quantizers_only=True, data="imagefolder", data_dir=str(images), init="x")
    with pytest.raises(ValueError, match="images in memory only, those of imagefolder stay on disk"):
        in_memory(training_data(config))

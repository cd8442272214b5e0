"""How fast data come: `python data.py folder` decodes a folder of images, `python data.py cifar` prepares batches.

`folder`: random 224x224 crops of 400-pixel JPEGs (quality 90, the spectrum of photographs), images per second over
several worker processes after their start. `cifar`: the share that data take of a float ResNet-20 training step at
batch 128: choosing, cropping, mirroring and normalizing 128 of 50,000 images, against the step itself.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL
import torch
from interleaved import machine, measure, report
from PIL import Image

from trainers.augment import AUGMENTATIONS
from trainers.data import Dataset
from trainers.data.image_folder import load_image_folder
from trainers.evaluate import as_inputs
from trainers.models import make_model
from trainers.objective import TaskObjective
from trainers.optimizer import make_optimizer, set_learning_rate

SIDE, FILES, BATCH = 400, 64, 64
CIFAR_BATCH = 128


def photograph(seed: int) -> Image.Image:
    """Return an image whose spectrum falls as 1/f, as that of photographs does."""
    rng = np.random.default_rng(seed)
    across, down = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    falling = 1 / np.maximum(np.hypot(across, down), 1 / SIDE)
    planes = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(3, SIDE, SIDE))) * falling, s=(SIDE, SIDE))
    grey, colour = planes[0], 0.3 * planes
    pixels = 128 + 50 * (grey + colour) / grey.std()
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def make_folder(root: Path) -> None:
    """Write a folder of one class."""
    for part in ("train", "val"):
        (root / part / "class").mkdir(parents=True)
    for index in range(FILES):
        photograph(index).save(root / "train" / "class" / f"{index}.JPEG", quality=90)


def folder_rows(workers: int, batches: int) -> list[dict[str, object]]:
    """Return the images per second that a folder's training batches come at."""
    with tempfile.TemporaryDirectory() as name:
        make_folder(Path(name))
        folder = load_image_folder(Path(name), workers=workers)
        places = np.arange(BATCH) % FILES
        stream = folder.train_batches(itertools.repeat(places, batches + 4 * workers), seed=0, epoch=1)
        for _ in range(2 * workers):  # what was decoded while the processes started does not count
            next(stream)
        start = time.perf_counter()
        for _ in range(batches):
            next(stream)
        seconds = time.perf_counter() - start
        stream.close()
        file_bytes = np.mean([path.stat().st_size for path in folder.train_paths])
    rate = round(batches * BATCH / seconds)
    return [{"workers": workers, "kB_per_file": round(float(file_bytes) / 1e3, 1), "images_per_s": rate}]


def cifar_rows(rounds: int) -> list[dict[str, object]]:
    """Return the medians of a batch's preparation and of a float step."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (50_000, 3, 32, 32), np.uint8), rng.integers(0, 10, 50_000)
    data = Dataset("cifar10", pixels, labels, pixels[:1], labels[:1], 10, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    images, generator = torch.from_numpy(pixels), torch.Generator().manual_seed(0)
    order = torch.randperm(50_000, generator=generator)[:CIFAR_BATCH]
    model = make_model("resnet20")
    objective, optimizer = TaskObjective(model), make_optimizer(model, momentum=0.9, weight_decay=1e-4)
    set_learning_rate(optimizer, 1e-3)
    x, answers = as_inputs(images[order], data), torch.from_numpy(labels)[order]

    def prepare() -> None:
        as_inputs(AUGMENTATIONS["crop_flip"](images[order], generator), data)

    def step() -> None:
        loss, _ = objective(x, answers)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    times = measure({"data": prepare, "step": step}, rounds, warm=True)
    share = times["data"] / (times["data"] + times["step"])
    return [
        {"data_ms": round(times["data"] * 1e3, 2), "step_ms": round(times["step"] * 1e3), "data_share": f"{share:.2%}"}
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("folder", "cifar"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15, help="batches of the folder, or steps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    where = machine(pillow=PIL.__version__)
    rows = (
        folder_rows(arguments.workers, arguments.rounds) if arguments.what == "folder" else cifar_rows(arguments.rounds)
    )
    report(where, rows, arguments.json)


if __name__ == "__main__":
    main()

"""A network on many images in batches, each a task that any executor runs."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hwsim.cli.images import LoadedImages, Pixels, Source, load_npy
from hwsim.cli.simulate_options import SimulateOptions
from hwsim.executor import Executor, Processes, Serial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwsim.engines.simulate import Engine
    from hwsim.network import Network
    from hwsim.streaming import Totals


def run_batches(
    network: "Network",
    images: LoadedImages,
    options: SimulateOptions,
    progress: Callable[[int], None],
) -> "Totals":
    """Return what the network makes of the images, batch by batch: in this process, in several, or by a queue.

    Raises:
        ValueError: a batch that cannot be run; the message names its images.
        OSError: the queue's folder cannot be written.
    """
    from hwsim.engines.simulate import check_engine
    from hwsim.streaming import collect

    check_engine(options.engine)
    engine, queue = options.engine, options.queue
    with _executor(options.workers, queue) as (executor, folder):
        source, sha256 = images.source, images.sha256
        if source.images is not None and queue is None:
            source = Source(images=str(Path(source.images).absolute()))
        elif source.images is not None:
            source, sha256 = _shared_images(source.images, folder)
        shared = {"network": _shared_network(network, folder), "source": asdict(source), "sha256": sha256}
        shared |= {"engine": engine} if queue is not None else {"engine": engine, "folder": str(folder)}
        items = [{**shared, **batch} for batch in batches(len(images.pixels), options.batch_size)]
        return collect(executor.map(simulate_batch, items), progress)


def batches(count: int, batch_size: int) -> Iterator[dict[str, Any]]:
    """Yield the name and the first image of each batch, and the one after its last.

    Raises:
        ValueError: a batch would hold no image.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    for first in range(0, count, batch_size):
        last = min(first + batch_size, count)
        yield {"name": f"images {first} to {last - 1}", "first": first, "last": last}


@contextmanager
def _executor(workers: int, queue: Path | None) -> Iterator[tuple[Executor, Path]]:
    """Yield what runs the batches, and the folder for their files."""
    from hwsim.job_queue import JobQueue

    if queue is not None:
        yield JobQueue(queue), queue
        return
    with TemporaryDirectory(prefix="hwsim-") as folder:
        yield (Serial() if workers == 1 else Processes(workers)), Path(folder)


def _shared_network(network: "Network", folder: Path) -> str:
    """Write the network into the folder, named by its content, and return its path below the folder."""
    from hwsim.network_file import save_network

    with TemporaryDirectory(prefix="hwsim-") as temporary:
        file = Path(temporary) / "network.safetensors"
        save_network(network, file)
        return _shared(file, folder, "networks")[0]


def _shared_images(path: str, folder: Path) -> tuple[Source, str]:
    name, sha256 = _shared(Path(path), folder, "images")
    return Source(images=name), sha256


def _shared(file: Path, folder: Path, kind: str) -> tuple[str, str]:
    """Copy a file into the folder, unless its content is there; return its path below the folder, and its SHA-256."""
    from hwsim.files import atomic_write

    digest = _sha256(file)
    name = f"{kind}/{digest[:32]}{file.suffix}"
    if not (folder / name).exists():
        with atomic_write(folder / name) as temporary:
            shutil.copyfile(file, temporary)
    return name, digest


def simulate_batch(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return predictions, overflows and paths of images first .. last - 1: a task (`hwsim.tasks`).

    The network and a file of images are paths, absolute or below the item's folder. sha256: of the images; None: they
    are not checked.

    Raises:
        ValueError, OSError: the network or the images are not in order, or not those that the item was made for.
    """
    from hwsim.engines.simulate import checked_images

    folder, source = Path(item["folder"]), Source(**item["source"])
    network, engine = _prepared(str(folder / item["network"]), item["engine"])
    pixels: Pixels = (
        _file(folder / source.images, item["sha256"]) if source.images else _data_set(source, item["sha256"])
    )
    run = engine.run(checked_images(pixels[item["first"] : item["last"]], network.input.shape))
    return {
        "predictions": engine.to_numpy(run.values[network.output.name]).argmax(axis=1).tolist(),
        "overflows": {name: count for name, count in run.overflows.items() if count},
        "paths": dict(engine.paths),
    }


@lru_cache(maxsize=1)
def _prepared(network_file: str, engine: str) -> "tuple[Network, Engine]":
    from hwsim.engines.simulate import prepare_engine
    from hwsim.network_file import load_network

    network = load_network(network_file)
    return network, prepare_engine(network, engine, [network.output.name])


@lru_cache(maxsize=1)
def _data_set(source: Source, sha256: str | None) -> Pixels:
    pixels, _, found = source.open()
    _check_same(str(source.data), sha256, found)
    return pixels


def _file(path: Path, sha256: str | None) -> "NDArray[Any]":
    if sha256 is not None:
        _check_same(str(path), sha256, _sha256_once(path))
    return load_npy(path, "biuf")


def _check_same(name: str, wanted: str | None, found: str | None) -> None:
    if wanted is not None and wanted != found:
        raise ValueError(f"the images of {name} are not those that the job was made for: SHA-256 {found}, not {wanted}")


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_sha256_once = lru_cache(maxsize=1)(_sha256)

"""Running a network on images: checks, batches, results."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.arithmetic import IntArray
from hwsim.errors import unknown_name
from hwsim.extras import install_command, is_installed
from hwsim.network import Network

#: Module of each engine: it has `prepare(network, kept) -> Engine`, kept being the tensors to return.
ENGINES = {
    "reference": "hwsim.engines.reference",
    "compiled": "hwsim.engines.compiled",
    "tensor": "hwsim.engines.tensor",
}
#: Module of each engine that runs on another device than the CPU: it has `prepare(network, kept, device)`.
DEVICES = {"cuda": "hwsim.engines.device"}
WITH_TORCH = ("tensor", "cuda")  #: Engines that need the package torch, which an extra brings.


@dataclass
class Run:
    """What an engine makes of one batch: every tensor by node name, and how many values overflowed where."""

    values: dict[str, Any]
    overflows: Counter[str] = field(default_factory=Counter)


class Engine(Protocol):
    """A prepared network."""

    paths: dict[str, str]  #: How each convolution and linear node is computed, and why.

    def run(self, images: NDArray[np.float64]) -> Run:
        """Return the result of one batch, shape (N, *network.input.shape)."""

    def to_numpy(self, value: Any) -> IntArray:
        """Return one of the run's tensors as int64."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """The result of a network on a set of images.

    outputs: int64, shape (N, ...), on the datapath: real values times 2^frac_bits.
    overflows: per node, how many values overflowed: of an accumulator, the sums that left its range (wrap: the exact
        sum does not fit; saturate: some step was clipped); elsewhere, the values that the datapath saturated.
    paths: per convolution and linear node, how the engine computed it.
    trace: the tensors that were asked for by node name, shape (N, ...); None if none were.
    """

    outputs: IntArray
    frac_bits: int
    overflows: dict[str, int]
    paths: dict[str, str]
    trace: dict[str, IntArray] | None = None

    @property
    def predictions(self) -> IntArray:
        """Class with the highest output, shape (N,); the first one of equals."""
        return np.asarray(self.outputs.argmax(axis=1), dtype=np.int64)


def simulate(
    network: Network,
    images: ArrayLike,
    engine: str = "tensor",
    *,
    trace: bool | Collection[str] = False,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Run the network bit by bit on real-valued images, shape (N, *network.input.shape).

    trace: whether to return every node's tensor, or the names of the nodes whose tensors to return. progress is called
    with (images done, images in all) after each batch.

    Raises:
        ValueError: an unknown engine or node, or images that are empty, of the wrong shape, or not finite.
    """
    pixels = checked_images(images, network.input.shape)
    kept = _kept(network, trace)
    prepared = prepare_engine(network, engine, kept)
    chunks: dict[str, list[IntArray]] = {name: [] for name in kept}
    overflows: Counter[str] = Counter()
    for batch in _batches(pixels, batch_size):
        run = prepared.run(batch)
        overflows.update(run.overflows)
        for name in kept:
            chunks[name].append(prepared.to_numpy(run.values[name]))
        if progress:
            progress(sum(map(len, chunks[network.output.name])), len(pixels))
    tensors = {name: np.concatenate(parts) if len(parts) > 1 else parts[0] for name, parts in chunks.items()}
    frac_bits, counts = network.datapath.frac_bits, {name: n for name, n in overflows.items() if n}
    return Simulation(tensors[network.output.name], frac_bits, counts, prepared.paths, tensors if trace else None)


def _kept(network: Network, trace: bool | Collection[str]) -> list[str]:
    """Return the nodes whose tensors a simulation keeps: those to trace, and the output."""
    names = [node.name for node in network.nodes]
    if isinstance(trace, bool):
        return names if trace else [network.output.name]
    for name in trace:
        if name not in names:
            raise unknown_name("node to trace", name, names)
    return list(dict.fromkeys((*trace, network.output.name)))


def prepare_engine(network: Network, engine: str, kept: Collection[str]) -> Engine:
    """Return an engine that is ready to run batches of images; kept: the nodes whose tensors it returns.

    Raises:
        ValueError: an unknown engine, or one whose device is missing or cannot run a layer.
    """
    check_engine(engine)
    if engine in DEVICES:
        on_device: Engine = import_module(DEVICES[engine]).prepare(network, kept, engine)
        return on_device
    prepared: Engine = import_module(ENGINES[engine]).prepare(network, kept)
    return prepared


def check_engine(engine: str) -> None:
    """Check that there is an engine of that name, and that its package is installed.

    Raises:
        ValueError: there is none, or it is not; the message says which engine runs all the same.
    """
    if engine not in ENGINES | DEVICES:
        raise unknown_name("engine", engine, ENGINES | DEVICES)
    if engine in WITH_TORCH and not is_installed("torch"):
        raise ValueError(
            f"the {engine} engine needs the package torch, which is not installed: {install_command('torch')}; "
            "--engine compiled gives the same integers without it"
        )


def check_shape(found: tuple[int, ...], image: tuple[int, ...]) -> None:
    """Raise a ValueError unless an array of that shape holds images of that shape, (N, *image)."""
    if found[1:] != image or not found[0]:
        raise ValueError(f"images must have shape (N, {', '.join(map(str, image))}) with N > 0, got {found}")


def checked_images(images: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the images as an engine takes them.

    Raises:
        ValueError: they are empty, of another shape than (N, *shape), or not finite.
    """
    pixels = np.asarray(images, dtype=np.float64)
    check_shape(pixels.shape, shape)
    if not np.isfinite(pixels).all():
        position = tuple(int(i) for i in np.argwhere(~np.isfinite(pixels))[0])
        raise ValueError(f"images must be finite, got {pixels[position]} at index {position}")
    return pixels


def _batches(pixels: NDArray[np.float64], batch_size: int) -> Iterator[NDArray[np.float64]]:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    for start in range(0, len(pixels), batch_size):
        yield pixels[start : start + batch_size]

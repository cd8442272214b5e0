"""Several processes that train one network, on one machine or on many, as `torchrun` starts them.

Every batch is cut into as many parts as there are processes, in the order of its images, so that `batch_size` is that
of all processes together. With n_r of the N images of a batch in process r of R, whose objective is L_r, the batch's
is sum_r n_r / N L_r. So each process descends R n_r / N L_r, and DistributedDataParallel takes the mean of the
gradients: shards of unequal size and terms that are no means over images, such as a budget's, come out exactly. What
else looks at a whole batch goes through `trainers.shard`.

All processes see the run's folder, the data and the initial weights. The first one alone writes.
"""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from trainers.data import Data
from trainers.data.dataset import Part
from trainers.data.image_folder import ImageFolder
from trainers.objective import Objective
from trainers.shard import Shard, batch_mean, shard_of

T = TypeVar("T")

PATIENCE = timedelta(hours=24)  #: The others wait as long while the first exports and simulates.
LOST = re.compile("gloo|nccl|connection|socket|timed? ?out", re.IGNORECASE)


@contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes that `torchrun` started until the block ends; nothing happens if it did not.

    Raises:
        ConnectionError: another process ended, or cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    # a gradient in another order in memory than its parameter is copied, which is exact
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    try:
        distributed.init_process_group(timeout=PATIENCE)
        yield
    except RuntimeError as error:
        if not LOST.search(str(error)):
            raise
        raise ConnectionError(
            "another process of this training ended or cannot be reached; what was saved is kept: "
            f"start all of them again to continue ({str(error).splitlines()[0]})"
        ) from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def count() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def place() -> int:
    """Return which of them this is, counted from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def part() -> Part:
    """Return which batches this process takes of those that all of them evaluate."""
    return place(), count()


def is_first() -> bool:
    """Return whether this process is the one that writes."""
    return place() == 0


def on_first(function: Callable[[], T]) -> T:
    """Return in every process what a function returns in the first, where alone it runs; the others wait for it."""
    if count() == 1:
        return function()
    result = [function() if is_first() else None]
    distributed.broadcast_object_list(result)
    return result[0]  # type: ignore[return-value]


def check_same(what: str, value: Any) -> None:
    """Check that a value is the same in every process.

    Raises:
        ValueError: it differs from the first one's; the message says in which way.
    """
    expected = on_first(lambda: value)
    if value != expected:
        raise ValueError(f"process {place()} has {what} {value}, the first one has {expected}: all must see the same")


def own_places(batch: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return this process's part of a batch's places."""
    return np.array_split(batch, count())[place()]


def check_batches(images: int, batch_size: int) -> None:
    """Check that every process gets an image of every batch.

    Raises:
        ValueError: the batches, or the last one of an epoch, have fewer images than there are processes.
    """
    smallest = images % batch_size or batch_size
    if min(smallest, batch_size) < count():
        raise ValueError(
            f"{count()} processes cannot share a batch of {min(smallest, batch_size)} images, "
            f"as {images} images in batches of {batch_size} have one: change the batch size"
        )


def own_shard(labels: Tensor) -> Shard:
    """Return which part of its batch a process's part is, given the labels that all of them read.

    Raises:
        ValueError: a process has none.
    """
    if count() == 1:
        check_images(len(labels))
        return Shard(0, len(labels), len(labels))
    counts = torch.zeros(count(), dtype=torch.int64)
    counts[place()] = len(labels)
    distributed.all_reduce(counts)
    check_images(int(counts.min()))
    return Shard(int(counts[: place()].sum()), len(labels), int(counts.sum()))


def check_images(images: int) -> None:
    """Check that some images of a batch, or of every process's part of it, decoded.

    Raises:
        ValueError: none did.
    """
    if not images:
        raise ValueError("no image of a training batch, or of a process's part of one, decodes: mend the images, "
                         "or use larger batches")  # fmt: skip


def total(value: Tensor) -> Tensor:
    """Return the sum of the processes' tensors."""
    if count() > 1:
        distributed.all_reduce(value)
    return value


def gather_broken(dataset: Data) -> None:
    """Let every process know the images that any of them left out."""
    if count() > 1 and isinstance(dataset, ImageFolder) and dataset.skip_broken:
        found: list[set[Any]] = [set()] * count()
        distributed.all_gather_object(found, dataset.broken)
        dataset.broken.update(*found)


class SharedObjective:
    """An objective of which each process sees its part of the batch; the mean of their losses is the batch's."""

    def __init__(self, objective: Objective, model: nn.Module) -> None:
        """Share the network, whose parameters and buffers are the same in all processes.

        While unused parameters are looked for, buckets of gradients are not rebuilt after the first step, so that the
        order of sums does not depend on when a run was resumed.
        """
        self.objective = objective
        self.step = DistributedDataParallel(_Step(objective, model), find_unused_parameters=True)

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return this process's loss, weighted by its share of the batch, and its logits."""
        shard = shard_of(x)
        loss, logits = self.step(x, labels)
        return loss * (count() * shard.count / shard.total), logits

    def measure(self, dataset: Data) -> dict[str, float]:
        """Return what the objective measures."""
        return self.objective.measure(dataset)


class _Step(nn.Module):
    """The objective as a module with the parameters that learn, and one without use, so that the search finds one."""

    def __init__(self, objective: Objective, model: nn.Module) -> None:
        super().__init__()
        self.objective = objective
        self.learning = nn.ParameterList(value for value in model.parameters() if value.requires_grad)
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.objective(x, labels)


def shared_objective(objective: Objective, model: nn.Module) -> Objective:
    """Return the objective as the processes share it; itself if there is one process only."""
    return SharedObjective(objective, model) if count() > 1 else objective


def batch_results(loss: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss and the number of right answers of the whole batch, given those of this process's part."""
    mean = batch_mean(torch.stack([loss.detach().double(), correct.double()]))
    return mean[0], (mean[1] * count()).round().long()

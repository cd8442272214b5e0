"""What a network sees, and what it answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainers import processes
from trainers.data import Data
from trainers.data.dataset import WHOLE, Images, Part, per_channel
from trainers.device import device_of

EVALUATION_BATCH = 500
CPU = torch.device("cpu")


def as_inputs(images: Tensor, dataset: Data) -> Tensor:
    """Return a batch of the data set's images as network inputs, float32: bit for bit `Dataset.normalized`."""
    unit = images.float() / 255 if images.dtype == torch.uint8 else images
    moments = (torch.from_numpy(per_channel(values)) for values in (dataset.mean, dataset.std))
    mean, std = (values.to(images.device, non_blocking=True) for values in moments)
    return (unit - mean) / std


@torch.no_grad()
def predict(model: nn.Module, dataset: Data, images: Images) -> Tensor:
    """Return the class with the largest logit for each of the data set's raw images, int64; the first wins a tie.

    The model runs in eval mode and is left in the mode it had.
    """
    batches = torch.split(torch.from_numpy(images), EVALUATION_BATCH)
    with evaluating(model):
        return torch.cat([model(as_inputs(batch, dataset)).argmax(1) for batch in batches])


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode until the block ends, then into the mode that it had."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def count_correct(model: nn.Module, dataset: Data, progress: Callable[[int], None] = lambda done: None) -> int:
    """Return how many test images the model classifies correctly; processes that train together share the work.

    progress gets the number of this process's images that are done.
    """
    device = device_of(model)
    correct, done = torch.zeros((), dtype=torch.int64, device=device), 0
    with torch.no_grad(), evaluating(model):
        for x, labels in evaluation_batches(dataset, processes.part(), device):
            correct += (model(x).argmax(1) == labels).sum()
            done += len(labels)
            progress(done)
    return int(processes.total(correct))


def evaluation_batches(
    dataset: Data, part: Part = WHOLE, device: torch.device = CPU, size: int = EVALUATION_BATCH
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the test images as network inputs, `size` at a time, and their labels, int64; or a part of the batches."""
    for images, labels in dataset.test_batches(size, part):
        yield as_inputs(torch.from_numpy(images).to(device), dataset), torch.from_numpy(labels).to(device)

"""What a training step descends."""

from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional

from trainers.data import Dataset


class Objective(Protocol):
    """A loss, and what there is to say about it after an epoch."""

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch of network inputs and int64 labels, a scalar, and the trained network's logits."""

    def measure(self, dataset: Dataset) -> dict[str, float]:
        """Return what the row of an epoch gets besides the usual."""


class TaskObjective:
    """The cross-entropy of a network."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy and the logits."""
        logits = self.model(x)
        return functional.cross_entropy(logits, labels), logits

    def measure(self, dataset: Dataset) -> dict[str, float]:
        """Return nothing."""
        return {}

"""What a training step descends."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.data import Data


class Objective(Protocol):
    """A loss, and what there is to say about it after an epoch."""

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch of network inputs and int64 labels, a scalar, and the trained network's logits."""

    def measure(self, dataset: Data) -> dict[str, float]:
        """Return what the row of an epoch gets besides the usual."""


class Distillation:
    """The divergence of a network's answers from a teacher's, KL(teacher || network) at temperature 1.

    Hinton et al., arXiv:1503.02531, without their cross-entropy with labels. The teacher runs in eval mode.
    """

    def __init__(self, model: nn.Module, teacher: nn.Module) -> None:
        self.model, self.teacher = model, teacher.eval()

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean divergence, which needs no labels, and the logits."""
        with torch.no_grad():
            target = functional.log_softmax(self.teacher(x), dim=1)
        logits = self.model(x)
        found = functional.log_softmax(logits, dim=1)
        return functional.kl_div(found, target, reduction="batchmean", log_target=True), logits

    def measure(self, dataset: Data) -> dict[str, float]:
        """Return nothing."""
        return {}


class TaskObjective:
    """The cross-entropy of a network; a share `smoothing` of each label is spread evenly over all classes."""

    def __init__(self, model: nn.Module, smoothing: float = 0.0) -> None:
        self.model, self.smoothing = model, smoothing

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy and the logits."""
        logits = self.model(x)
        return functional.cross_entropy(logits, labels, label_smoothing=self.smoothing), logits

    def measure(self, dataset: Data) -> dict[str, float]:
        """Return nothing."""
        return {}

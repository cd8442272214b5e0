"""Training batches on the device that computes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.data import Data, Dataset

Places = npt.NDArray[np.int64]


class Feed:
    """Training batches on a device: images in memory are sent there once, as raw as they are, those of files each time.

    Attributes:
        data: the data set that the batches are from.
    """

    def __init__(self, data: Data, device: torch.device) -> None:
        self.data, self.device = data, device
        self.resident: tuple[Tensor, Tensor] | None = None
        if isinstance(data, Dataset):
            self.resident = self._sent(data.train_images), self._sent(data.train_labels)

    def batches(self, parts: Sequence[Places], seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the raw training images at each batch's places and their labels, int64; raises what the data raise."""
        if self.resident is None:
            for images, labels in self.data.train_batches(parts, seed, epoch):
                yield self._sent(images), self._sent(labels)
        elif parts:
            places = torch.split(self._sent(np.concatenate(parts)), [len(part) for part in parts])
            yield from ((self.resident[0][chosen], self.resident[1][chosen]) for chosen in places)

    def _sent(self, values: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)

"""The test images of a folder, decoded when they are read."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.data.dataset import normalized
from trainers.data.decode import Request, decode_batch
from trainers.data.image_folder import ImageFolder


@dataclass(frozen=True)
class FolderImages:
    """What `Dataset.normalized` gives of test images, float32[N, 3, size, size], for slices of them only."""

    folder: ImageFolder

    @property
    def shape(self) -> tuple[int, ...]:
        """Images, channels, height and width."""
        return len(self), *self.folder.image_shape

    def __len__(self) -> int:
        return len(self.folder.test_paths)

    def __getitem__(self, part: slice) -> npt.NDArray[np.float32]:
        """Return some images as a network sees them.

        Raises:
            ValueError: one does not decode; the message names it.
        """
        requests = [Request(path, 0) for path in self.folder.test_paths[part]]
        pixels, _ = decode_batch(requests, self.folder.size, skip_broken=False)
        return normalized(pixels, self.folder.mean, self.folder.std)

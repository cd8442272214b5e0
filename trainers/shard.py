"""The part of a batch that this process has, where several processes share each batch.

What a training step takes from all images of a batch (how many values there are, a sum, a maximum, random numbers per
image) it takes from here, so that the processes together compute what one would compute. Where no batch is shared, a
tensor is the whole batch and nothing is sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Shard:
    """Images `start` to `start + count` of the `total` of a batch."""

    start: int
    count: int
    total: int

    def own(self, whole: Tensor, dim: int = 0) -> Tensor:
        """Return this process's part of a tensor with an entry for each image of the batch."""
        return whole.narrow(dim, self.start, self.count)

    def numel(self, x: Tensor) -> int:
        """Return how many values the batch has of which `x`, not empty, `[count, ...]` is a part."""
        return self.total * x[0].numel()

    def whole(self, x: Tensor) -> Tensor:
        """Return the batch of which `x` is this process's part."""
        if self.count == self.total:
            return x
        batch = x.new_zeros(self.total, *x.shape[1:])
        self.own(batch).copy_(x)
        distributed.all_reduce(batch)  # adds zeros, which is exact
        return batch


_current: list[Shard] = []  # of the step that runs


@contextmanager
def sharing(shard: Shard) -> Iterator[None]:
    """Let the tensors of the block be this part of a batch; all processes of the training enter such a block.

    Of a training by one process the batch is whole.
    """
    if not distributed.is_initialized():
        yield
        return
    _current.append(shard)
    try:
        yield
    finally:
        _current.pop()


def shard_of(x: Tensor) -> Shard:
    """Return which part of its batch the tensor `[N, ...]` is."""
    return _current[-1] if _current else Shard(0, len(x), len(x))


def is_shared() -> bool:
    """Return whether other processes have parts of the batch."""
    return bool(_current)


def batch_sum(x: Tensor) -> Tensor:
    """Return the sum of the processes' tensors, without gradient."""
    return _reduced(x, distributed.ReduceOp.SUM)


def batch_max(x: Tensor) -> Tensor:
    """Return the largest of the processes' values, element by element, without gradient."""
    return _reduced(x, distributed.ReduceOp.MAX)


def batch_mean(x: Tensor) -> Tensor:
    """Return the mean of the processes' tensors, without gradient."""
    return batch_sum(x) / distributed.get_world_size() if is_shared() else x


@torch.no_grad()
def _reduced(x: Tensor, operation: distributed.ReduceOp.RedOpType) -> Tensor:
    if not is_shared():
        return x
    reduced = x.detach().clone()
    distributed.all_reduce(reduced, operation)
    return reduced

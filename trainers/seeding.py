"""Where random numbers come from: each use has its own stream, a function of the seed and of what it is for.

Nothing depends on what ran before, so a resumed run needs no saved generator states to draw the same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def stream(*keys: int) -> int:
    """Return a 63-bit seed that is a well-mixed function of the keys, each at least 0, and of how many there are."""
    return int(np.random.SeedSequence((len(keys), *keys)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def epoch_order(seed: int, epoch: int, count: int) -> Tensor:
    """Return the order of an epoch: a permutation of 0..count-1, int64. Epochs count from 1; 0 is for calibration."""
    generator = torch.Generator().manual_seed(stream(seed, epoch))
    return torch.randperm(count, generator=generator)


def seed_step(seed: int, epoch: int, step: int) -> torch.Generator:
    """Start PyTorch's generators afresh for one training step, and return the CPU's."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed(stream(seed, epoch, step))
    return torch.default_generator.manual_seed(stream(seed, epoch, step))


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed PyTorch, fix its number of threads and allow deterministic kernels only; put everything back at the end.

    The number of threads decides how sums are split, hence the last bits of a result.
    """
    before, was_deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(seed))
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            torch.use_deterministic_algorithms(was_deterministic)

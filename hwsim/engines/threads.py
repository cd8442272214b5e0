"""A few threads that share out a kernel's work: kernels run without the interpreter's lock."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

LEAST_PRODUCTS = 1 << 21


def thread_count() -> int:
    """Return how many threads to use: OMP_NUM_THREADS, or one for each processor that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) else len(os.sched_getaffinity(0))


def share_out(work: Callable[[int, int], None], count: int, products: int) -> None:
    """Call work(first, last) on parts of 0 .. count, one per thread, and wait; few products are not worth sharing."""
    parts = min(thread_count() if products >= LEAST_PRODUCTS else 1, count)
    ends = [count * i // parts for i in range(parts + 1)] if parts else [0]
    others = [_pool(parts).submit(work, ends[i], ends[i + 1]) for i in range(1, parts)]
    if parts:
        work(ends[0], ends[1])
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="hwsim")

"""One function on many items: in this process, or in several. `hwsim.job_queue` has the same interface for machines.

A function takes one item and can be imported by its name. An item is a JSON object, whose "name" stands for it in
messages if it has one; a result is a JSON value: any executor can carry them.
"""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from typing import Any, Protocol

from hwsim.errors import check_integer
from hwsim.extras import missing_package

Item = Mapping[str, Any]
Function = Callable[[Any], Any]

AHEAD = 2  #: Items per process that are handed out before their turn.
MAX_WORKERS = 1024
LAST_SECONDS = 2.0  #: What a process has to clean up in when the one that started it is gone.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class ItemError(ValueError):
    """A function failed on an item, which the message names."""


class Executor(Protocol):
    """Something that runs a function on items."""

    def map(self, function: Function, items: Sequence[Item]) -> Iterator[Any]:
        """Yield the result of each item, in the items' order, as soon as it and those before it are there.

        Results that wait for their turn are few, whatever the number of items. Closing the iterator or interrupting
        it ends what it started.

        Raises:
            ItemError: the function failed on an item.
            ChildProcessError: a process of the executor's was killed.
        """


@dataclass(frozen=True)
class Serial:
    """Runs the items one after the other in this process."""

    def map(self, function: Function, items: Sequence[Item]) -> Iterator[Any]:
        """Yield the result of each item: see `Executor.map`."""
        for item in items:
            with naming(item):
                result = function(item)
            yield result


@dataclass(frozen=True)
class Processes:
    """Runs the items in several fresh processes, which share the processor cores evenly.

    Raises:
        ValueError: workers is no integer in 1..1024.
    """

    workers: int

    def __post_init__(self) -> None:
        check_integer("workers", self.workers, 1, MAX_WORKERS)

    def map(self, function: Function, items: Sequence[Item]) -> Iterator[Any]:
        """Yield the result of each item: see `Executor.map`."""
        rest, waiting = iter(items), deque[tuple[Item, Future[Any]]]()
        with worker_pool(self.workers, max(1, len(os.sched_getaffinity(0)) // self.workers)) as pool:
            while True:
                for item in islice(rest, AHEAD * self.workers - len(waiting)):
                    waiting.append((item, pool.submit(function, item)))
                if not waiting:
                    return
                item, future = waiting.popleft()
                with naming(item):
                    result = future.result()
                yield result


@contextmanager
def naming(item: Item) -> Iterator[None]:
    """Let an error of the block say which item it belongs to.

    Raises:
        ItemError: the block failed.
    """
    try:
        yield
    except BrokenProcessPool:
        raise
    except Exception as error:
        raise ItemError(f"{item_name(item)}: {error_text(error)}") from error


def item_name(item: Item) -> str:
    """Return what messages call an item."""
    return str(item.get("name", dict(item)))


def error_text(error: Exception) -> str:
    """Return what an error says; of a package that is not installed, how to install it; of a defect, its type, too."""
    if isinstance(error, ValueError | OSError):
        return str(error)
    return missing_package(error) or f"{type(error).__name__}: {error}"


@contextmanager
def worker_pool(workers: int, threads: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes that end with what they are doing, or at once if this process is interrupted or ends.

    threads: of each process's arithmetic; None: as many as the libraries choose.

    Raises:
        ChildProcessError: one of them was killed.
    """
    others = set(active_children())
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_process, initargs=(threads,)
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise ChildProcessError("a worker process was killed; run again, with fewer workers") from error
    except (KeyboardInterrupt, GeneratorExit):
        for process in {*active_children()} - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_process(threads: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for the results ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if threads is not None:
        limit_threads(threads)


def _end_with_parent() -> None:
    """Wait for the process that started this one, and end with it however it ends: a signal leaves it no time to.

    By SIGTERM, which what runs may answer with its clean-up; after `LAST_SECONDS` without.
    """
    parent, main = parent_process(), threading.main_thread().ident
    assert parent is not None
    assert main is not None
    parent.join()
    signal.pthread_kill(main, signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(1)


def limit_threads(threads: int) -> None:
    """Let the arithmetic of this process use so many threads, whether its libraries are loaded yet or not."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)

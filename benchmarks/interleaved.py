"""Timing of several things in one process, one after the other in every round, so that all see the same machine."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch


def measure(
    runs: Mapping[str, Callable[[], object]], rounds: int, pause_s: float = 0.0, warm: bool = False
) -> dict[str, float]:
    """Return the median seconds of each run, all of them once per round after one that does not count.

    A pause before each run lets another library's threads stop spinning; a warm run comes directly after one that is
    not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(pause_s)
            if warm:
                run()
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def real_time() -> bool:
    """Ask for real-time scheduling, without which timings mean little on a shared machine; return whether granted.

    The threads that libraries have started so far are asked for too: a step waits for its slowest thread.
    """
    threads = Path("/proc/self/task")
    try:
        for thread in threads.iterdir() if threads.is_dir() else ():
            with suppress(ProcessLookupError):  # it has ended since
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(5))
    except PermissionError:
        return False
    return threads.is_dir()


def machine(**versions: str) -> dict[str, object]:
    """Return what timings depend on; `versions` are those of libraries besides torch. Asks for real-time scheduling."""
    return {
        "real_time": real_time(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, **versions},
    }


def report(where: Mapping[str, object], rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    """Print the rows, at least one, and where they were measured: as JSON, or as a Markdown table."""
    if as_json:
        json.dump({"machine": where, "rows": rows}, sys.stdout, indent=1)
        return
    print(f"{where}\n\n| {' | '.join(rows[0])} |\n| --- |{' ---: |' * (len(rows[0]) - 1)}")
    for row in rows:
        print("| " + " | ".join("" if value is None else str(value) for value in row.values()) + " |")

"""Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 5.0

Advance = Callable[[float, str], None]  #: Takes how much is done, and what is being done.


@contextmanager
def progress(title: str, total: float, unit: str) -> Iterator[Advance]:
    """Yield a function that reports how many of `total` units are done."""
    with (_bar if sys.stderr.isatty() else _lines)(title, total, unit) as advance:
        yield advance


@contextmanager
def _bar(title: str, total: float, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, rate="", note="")

        def advance(done: float, note: str = "") -> None:
            bar.update(task, completed=done, rate=_rate(done, start, unit), note=note)

        yield advance


@contextmanager
def _lines(title: str, total: float, unit: str) -> Iterator[Advance]:
    start = time.monotonic()
    last = start

    def advance(done: float, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES and done < total:
            return
        last = now
        left = (total - done) * (now - start) / done if done else float("nan")
        rate = _rate(done, start, unit)
        print(
            f"{title}: {done:g}/{total:g} {unit}, {rate}, {left:.0f} s left {note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )

    yield advance


def _rate(done: float, start: float, unit: str) -> str:
    seconds = max(time.monotonic() - start, 1e-9)
    return f"{done / seconds:.3g} {unit}/s"

"""Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere.

Work may have been done before, in an earlier attempt, and the first unit takes the start-up besides: the rate counts
from the first report on.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hwsim.cli.verbosity import is_quiet
from hwsim.output import console

SECONDS_BETWEEN_LINES = 5.0

Advance = Callable[[float, str], None]  #: Takes how much is done, and what is being done.


@contextmanager
def progress(title: str, total: float, unit: str) -> Iterator[Advance]:
    """Yield a function that reports how many of `total` units are done; it says nothing if the command is quiet.

    Of processes that `torchrun` started only the first reports.
    """
    if is_quiet() or os.environ.get("RANK", "0") != "0":
        yield lambda done, note: None
        return
    can_redraw = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    with (_bar if can_redraw else _lines)(title, total, unit) as advance:
        yield advance


@contextmanager
def _bar(title: str, total: float, unit: str) -> Iterator[Advance]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=False)),  # the one that gives way
    )
    pace = Pace(unit)
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task(title, total=total, rate="", note="")

        def advance(done: float, note: str = "") -> None:
            bar.update(task, completed=done, rate=pace.text(pace.measured(done)), note=note)

        yield advance


@contextmanager
def _lines(title: str, total: float, unit: str) -> Iterator[Advance]:
    pace = Pace(unit)
    last = time.monotonic()

    def advance(done: float, note: str = "") -> None:
        nonlocal last
        rate = pace.measured(done)
        if time.monotonic() - last < SECONDS_BETWEEN_LINES and done < total:
            return
        last = time.monotonic()
        left = f"{(total - done) / rate:.0f} s left" if rate and done < total else ""
        parts = [f"{title}: {done:g}/{total:g} {unit}", pace.text(rate), left, note]
        print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)

    yield advance


class Pace:
    """How many units are done per second, from the first report on."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.first: tuple[float, float] | None = None  #: When the first report came, and what was done by then.

    def measured(self, done: float) -> float | None:
        """Take a report and return the rate; None with the first one."""
        now = time.monotonic()
        if self.first is None:
            self.first = now, done
        then, before = self.first
        return (done - before) / (now - then) if done > before and now > then else None

    def text(self, rate: float | None) -> str:
        """Return the rate with its unit, "" if there is none."""
        if rate is None:
            return ""
        return f"{rate:.0f} {self.unit}/s" if rate >= 100 else f"{rate:.3g} {self.unit}/s"

"""A folder of runs whose pages are served while a test looks at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from reports.watch import watch


@contextmanager
def watched(folder: Path) -> Iterator[str]:
    """Yield the address of the pages; the server ends with the block."""
    stop, started = Event(), Event()
    addresses: list[str] = []

    def start(address: str) -> None:
        addresses.append(address)
        started.set()

    thread = Thread(target=watch, args=([folder], 0, start, stop, 0.01))
    thread.start()
    try:
        assert started.wait(60)
        yield addresses[0]
    finally:
        stop.set()
        thread.join()

"""How the training loop tells of its progress: by calling, never by printing."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Something that wants to know how training goes; an exception that it raises ends the run's attempt."""

    def step(self, done: float, is_saved: bool) -> None:
        """Take note of one more step: `done` epochs are done, and a next attempt continues here if that is saved."""

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Take note that `epoch` of `epochs` is done; `metrics` is its row of the record's curves."""


class Several:
    """Tells several."""

    def __init__(self, *watchers: Progress) -> None:
        self.watchers = watchers

    def step(self, done: float, is_saved: bool) -> None:
        """Tell all of them."""
        for watcher in self.watchers:
            watcher.step(done, is_saved)

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Tell all of them."""
        for watcher in self.watchers:
            watcher.update(epoch, epochs, metrics)


class Silent:
    """Tells nobody."""

    def step(self, done: float, is_saved: bool) -> None:
        """Do nothing."""

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Do nothing."""

"""A network on many images: batches run by any executor, their results put together as they come."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwsim.arithmetic import IntArray


@dataclass
class Totals:
    """What batches add up to: the class of each image in order, overflows per node, the path of each layer."""

    predictions: list[int] = field(default_factory=list)
    overflows: Counter[str] = field(default_factory=Counter)
    paths: dict[str, str] = field(default_factory=dict)

    def correct(self, labels: IntArray) -> int:
        """Return how many images have the class of their label."""
        return int((np.array(self.predictions) == labels).sum())


def collect(batches: Iterable[Mapping[str, Any]], progress: Callable[[int], None]) -> Totals:
    """Return the totals of batches in their order; progress gets the number of images after each."""
    totals = Totals()
    for batch in batches:
        totals.predictions += batch["predictions"]
        totals.overflows.update(batch["overflows"])
        totals.paths = dict(batch["paths"])
        progress(len(totals.predictions))
    return totals

"""Fixed point to the codes of a format."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from hwsim.arithmetic import IntArray, Requantizer
from hwsim.formats import IntegerFormat, Offset, Uniform
from hwsim.nodes.node import Node, Shape
from hwsim.shapes import check_channels


@dataclass(frozen=True, eq=False)
class Encode(Node):
    """What makes codes of a format from fixed point."""

    format: IntegerFormat = field(kw_only=True)

    produces: ClassVar[str] = "codes"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Quantize(Encode):
    """Fixed point to codes of consecutive levels: the level is clip(requantize(x - offset), lowest, highest).

    Its code is level + zero code, modulo 2^bits. The format is uniform, or uniform with a zero point. offset: an
    integer in units of the datapath (where an interval begins, as in QIL); hardware adds it to the rounding constant.
    """

    requantizer: Requantizer = field(kw_only=True)
    offset: int = field(default=0, kw_only=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        if not isinstance(self.format, Uniform | Offset):
            raise ValueError(f"node {self.name!r} makes uniform or offset codes; a threshold node makes {self.format}")
        check_channels(self.name, shapes[0], self.requantizer)
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Threshold(Encode):
    """Fixed point to codes of any levels, by a bank of comparators: as many levels are below as thresholds <= x.

    thresholds: int64, shape (format's count - 1,), not descending, in units of the datapath: the smallest x that gets
    the next higher level. A level between two equal thresholds is never taken.
    """

    thresholds: IntArray = field(kw_only=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the input's shape."""
        if self.thresholds.shape != (self.format.count - 1,) or (np.diff(self.thresholds) < 0).any():
            raise ValueError(
                f"node {self.name!r} needs {self.format.count - 1} thresholds that do not descend, "
                f"got {self.thresholds.tolist()}"
            )
        return shapes[0]

"""What every node of the integer network is, and the node that it begins with."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Node(ABC):
    """One step of the program: reads the tensors named in `inputs`, makes the tensor `name`."""

    name: str
    inputs: tuple[str, ...]

    consumes: ClassVar[str] = "fixed"
    produces: ClassVar[str] = "fixed"
    consumes_second: ClassVar[str | None] = None  #: Kind of the second input where it differs from the first's.
    arity: ClassVar[int | None] = 1  #: How many inputs; None: two or more.

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the result, per sample.

        Raises:
            ValueError: the inputs' shapes do not fit this node.
        """


@dataclass(frozen=True, eq=False)
class Input(Node):
    """Real pixels to fixed point: round(x * 2^frac_bits), to nearest even, saturated to the datapath."""

    shape: Shape = ()

    consumes: ClassVar[str] = "pixels"
    arity: ClassVar[int | None] = 0

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the image's shape."""
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"node {self.name!r} needs a shape of positive sizes, got {self.shape}")
        return self.shape

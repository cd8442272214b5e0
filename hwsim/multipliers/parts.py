"""What circuits are made of, and what their products cost."""

from dataclasses import dataclass

Operations = dict[str, int]  #: How many operations of each kind.


@dataclass(frozen=True)
class Part:
    """One line of a circuit's bill of materials: `quantity` blocks of this kind, each `bits` wide."""

    name: str
    quantity: int
    bits: int


@dataclass(frozen=True)
class Rom:
    """A memory of constants: `entries` words of `bits`."""

    entries: int
    bits: int


def together(*counts: Operations) -> Operations:
    """Return the sum of several counts, kinds in the order in which they first occur."""
    kinds = dict.fromkeys(kind for count in counts for kind in count)
    return {kind: sum(count.get(kind, 0) for count in counts) for kind in kinds}

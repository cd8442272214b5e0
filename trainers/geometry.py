"""Sizes, strides and padding of torch's modules as pairs (vertical, horizontal)."""

from torch import nn

from hwsim.nodes import Pair


def pair(value: object) -> Pair:
    """Return a module's size argument, one number or two, as two."""
    rows, columns = value if isinstance(value, tuple | list) else (value, value)
    return int(rows), int(columns)


def padding_of(name: str, conv: nn.Conv2d) -> Pair:
    """Return a convolution's padding in pixels.

    Raises:
        ValueError: it is "same" and not the same on both sides.
    """
    if not isinstance(conv.padding, str):
        return pair(conv.padding)
    if conv.padding == "valid":
        return 0, 0
    extents = [d * (k - 1) for d, k in zip(pair(conv.dilation), pair(conv.kernel_size), strict=True)]
    if any(extent % 2 for extent in extents):
        raise ValueError(f"layer {name!r}: padding='same' of a kernel of {pair(conv.kernel_size)} is not symmetric")
    return extents[0] // 2, extents[1] // 2

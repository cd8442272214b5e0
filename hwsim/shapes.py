"""Shape rules that several node kinds share; each error names the node."""

from collections.abc import Sequence

from hwsim.arithmetic import IntArray, Requantizer


def image_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape after checking that it is (C, H, W)."""
    if len(shape) != 3:
        raise ValueError(f"node {name!r} takes an image (C, H, W), got shape {shape}")
    return shape


def weight_shape(name: str, weight: IntArray, axes: int) -> tuple[int, ...]:
    """Return the weight's shape after checking its number of axes and that it holds something."""
    if weight.ndim != axes or not weight.size:
        raise ValueError(f"node {name!r} needs a weight with {axes} axes, none empty, got shape {weight.shape}")
    return weight.shape


def check_channels(name: str, shape: tuple[int, ...], requantizer: Requantizer) -> None:
    """Raise a ValueError unless the requantizer has one multiplier, or one per channel."""
    if requantizer.multiplier.shape not in ((), shape[:1]):
        raise ValueError(f"node {name!r} has {requantizer.multiplier.size} multipliers for {shape[0]} channels")


def window_positions(
    name: str, size: Sequence[int], extents: Sequence[int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
    """Return how many windows fit, vertically and horizontally."""
    counts = [(s + 2 * p - e) // max(t, 1) + 1 for s, e, t, p in zip(size, extents, stride, padding, strict=True)]
    if min(*extents, *stride) < 1 or min(padding) < 0 or min(counts) < 1:
        raise ValueError(
            f"node {name!r}: a window of {tuple(extents)} with stride {stride} and padding {padding} "
            f"does not fit an image of {tuple(size)}"
        )
    return counts[0], counts[1]

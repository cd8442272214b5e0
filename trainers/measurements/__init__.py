"""What is measured of a finished run's networks for the figures of the same names, one file each.

Each function takes a run, test images `[N, C, H, W]` as network inputs, and options by keyword, and returns arrays by
name.
"""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from trainers.measurements.activation_maps import activation_maps
from trainers.measurements.block_errors import block_errors
from trainers.measurements.distributions import distributions
from trainers.measurements.layer_errors import layer_errors

__all__ = ["MEASUREMENTS"]

MEASUREMENTS: Mapping[str, Callable[..., dict[str, NDArray[Any]]]] = {
    "distributions": distributions,
    "block-errors": block_errors,
    "layer-errors": layer_errors,
    "activation-maps": activation_maps,
}

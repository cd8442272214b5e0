"""The error that features are compared by."""

import torch
from torch import Tensor


def relative_errors(features: Tensor, reference: Tensor) -> Tensor:
    """Return ||features - reference||^2 / ||reference||^2 of each image, `[N]`, float64; NaN if its reference is 0."""
    difference, size = (x.flatten(1).double().square().sum(1) for x in (features - reference, reference))
    return torch.where(size > 0, difference / size, torch.nan)

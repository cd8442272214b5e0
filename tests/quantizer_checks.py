"""What the tests of single quantization methods share: the law, float64 gradients and the data they use."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers.quantizers import Quantizer, make_quantizer


def started(name: str, role: str, bits: int, x: Tensor, **options: Any) -> Quantizer:
    """Return a float64 quantizer in training mode that starts from `x`."""
    quantizer = make_quantizer(name, role, bits, **options).double()
    quantizer.initialize(x)
    return quantizer


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Return float64 samples of the standard normal distribution."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_law(quantizer: Quantizer, x: Tensor) -> None:
    """`q(x) == decode(codes(x)) * scale` in eval mode, and the codes are those of the format, exactly."""
    quantizer.eval()
    codes = quantizer.codes(x).numpy()
    np.testing.assert_array_equal(codes, quantizer.format.encode(quantizer.ratio(x).numpy()))
    decoded = torch.from_numpy(quantizer.format.decode(codes).astype(np.float32))
    assert torch.equal(quantizer(x).detach(), decoded * quantizer.scale_for(x))


def backward(quantizer: Quantizer, x: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of `sum(q(x) * weight)` in x; those of the parameters are left in them."""
    inputs = x.clone().requires_grad_()
    (quantizer(inputs) * weight).sum().backward()
    assert inputs.grad is not None
    return inputs.grad


def gradient(quantizer: Quantizer, parameter: str) -> Tensor:
    """Return the gradient that a backward pass left in a parameter."""
    grad = quantizer.get_parameter(parameter).grad
    assert grad is not None
    return grad


def slope(function: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-6) -> Tensor:
    """Return the central difference of a function that acts elementwise, or of a scalar."""
    return (function(at + step) - function(at - step)) / (2 * step)


def close(actual: Tensor, expected: Tensor) -> None:
    """Assert equality but for the errors of a float64 central difference."""
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7)

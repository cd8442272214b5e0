"""What the engines' tests share: strict torch settings, and exact comparison of the two engines."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hwsim.engines import Simulation, simulate
from hwsim.network import Network


@pytest.fixture(autouse=True)
def strict_torch() -> Iterator[None]:
    """Run on one thread, and with every warning of torch's, not only the first of a kind."""
    threads, always = torch.get_num_threads(), torch.is_warn_always_enabled()
    torch.set_num_threads(1)
    torch.set_warn_always(True)
    yield
    torch.set_num_threads(threads)
    torch.set_warn_always(always)


def assert_equal(one: Simulation, other: Simulation) -> None:
    """Assert that outputs, every traced tensor and the overflow counts are equal."""
    np.testing.assert_array_equal(one.outputs, other.outputs)
    assert one.outputs.dtype == other.outputs.dtype == np.int64
    assert one.overflows == other.overflows
    assert one.trace is not None
    assert other.trace is not None
    assert list(one.trace) == list(other.trace)
    for name, tensor in one.trace.items():
        assert tensor.dtype == other.trace[name].dtype == np.int64
        np.testing.assert_array_equal(tensor, other.trace[name], err_msg=name)


def both(network: Network, images: NDArray[np.float64], **options: Any) -> Simulation:
    """Run all engines, fused and traced, assert that they agree, and return the tensor engine's result."""
    reference = simulate(network, images, "reference", trace=True, **options)
    tensor = simulate(network, images, "tensor", trace=True, **options)
    assert_equal(reference, tensor)
    assert_equal(reference, simulate(network, images, "compiled", trace=True, **options))
    for engine in ("tensor", "compiled"):
        fused = simulate(network, images, engine, **options)
        np.testing.assert_array_equal(fused.outputs, reference.outputs)
        assert fused.overflows == reference.overflows
    return tensor

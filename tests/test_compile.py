"""Training steps under torch.compile: one graph, and the eager step's numbers."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from trainers.models import make_model
from trainers.quantize import QuantizationConfig, quantize, swap_layers
from trainers.quantizers import QUANTIZERS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),  # the compiler's own doing
]

CASES = [(role, name) for name, method in QUANTIZERS.items() for role in method.roles]


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize(("role", "name"), CASES)
def test_a_step_of_every_method_is_one_graph(role: str, name: str) -> None:
    torch.manual_seed(0)
    x = torch.rand(8, 1, 8, 8)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
    usual = QuantizationConfig(first_last_bits=None)
    eager = quantize(model, replace(usual, weights=name) if role == "weights" else replace(usual, activations=name), x)
    compiled = copy.deepcopy(eager)
    expected = eager(x)
    expected.square().sum().backward()
    out = torch.compile(compiled, fullgraph=True, backend="aot_eager")(x)
    out.square().sum().backward()
    torch.testing.assert_close(out, expected)
    for (key, parameter), other in zip(compiled.named_parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-5, msg=key)


def test_a_network_that_has_not_run_yet_compiles() -> None:
    model = swap_layers(make_model("digits_resnet"), QuantizationConfig(weights="pot"), ())
    x = torch.rand(2, 1, 8, 8)
    assert torch.compile(model, fullgraph=True, backend="eager")(x).shape == (2, 10)

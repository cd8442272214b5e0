"""Training steps under torch.compile: one graph, and the eager step's numbers."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import fx, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor.decomposition import select_decomp_table

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
    torch.manual_seed(1)  # nipq draws noise
    expected = eager(x)
    expected.square().sum().backward()
    torch.manual_seed(1)
    out = torch.compile(compiled, fullgraph=True, backend="aot_eager")(x)
    out.square().sum().backward()
    torch.testing.assert_close(out, expected)
    for (key, parameter), other in zip(compiled.named_parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-5, msg=key)


def test_a_network_that_has_not_run_yet_compiles() -> None:
    model = swap_layers(make_model("digits_resnet"), QuantizationConfig(weights="pot"), ())
    x = torch.rand(2, 1, 8, 8)
    assert torch.compile(model, fullgraph=True, backend="eager")(x).shape == (2, 10)


@pytest.mark.parametrize("activations", ["lsq", "asq"])
def test_a_compiled_step_neither_keeps_masks_nor_views_activations(activations: str) -> None:
    """Both cost a copy into another order in memory: the compiler gives convolutions channels last."""
    torch.manual_seed(0)
    x = torch.rand(8, 8, 8, 8, requires_grad=True)
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
    quantized = quantize(model, QuantizationConfig(activations=activations, first_last_bits=None), x.detach())
    graphs: list[fx.GraphModule] = []

    def keep(graph: fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    table = select_decomp_table()
    backend = aot_autograd(fw_compiler=keep, partition_fn=min_cut_rematerialization_partition, decompositions=table)
    torch.compile(quantized, backend=backend)(x).sum().backward()
    forward, backward = graphs
    (kept,) = (node.args[0] for node in forward.graph.nodes if node.op == "output")
    assert not [node for node in kept if is_activation(node) and node.meta["val"].dtype == torch.bool]
    assert not [node for node in backward.graph.nodes if is_activation(node) and node.meta["val"].dim() < 4]


def is_activation(node: object) -> bool:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return isinstance(value, torch.Tensor) and value.numel() >= 8 * 8 * 6 * 6

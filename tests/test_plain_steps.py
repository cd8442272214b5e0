"""Traced networks mean what torch does: changes in place, modes, names, aliases and optional inputs."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.engines import simulate
from trainers.bwrf import BlockReplacement, BwrfConfig
from trainers.export import export
from trainers.graph import trace
from trainers.quantize import QuantizationConfig, quantize
from trainers.stages import cut

IMAGES = torch.rand(16, 3, 6, 6, generator=torch.Generator().manual_seed(0)) - 0.3


Body = Callable[[Any, Any], Any]


class Network(nn.Module):
    """Two convolutions of 8 channels with something between, and a classifier of channel means."""

    def __init__(self, body: Body, **modules: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc, self.body = nn.Linear(8, 5), body
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 5)."""
        result: Tensor = self.fc(self.body(self, x).mean((2, 3)))
        return result


def conv() -> nn.Module:
    return nn.Conv2d(8, 8, 3, padding=1)


def check_integers(model: nn.Module) -> nn.Module:
    """Check that the integers are those of the quantized network, and return it."""
    quantized = quantize(model, QuantizationConfig(bits=8), IMAGES, verbose=False).eval()
    result = simulate(export(quantized, (3, 6, 6)), IMAGES.numpy().astype(np.float64))
    with torch.no_grad():
        expected = quantized(IMAGES.clone()).numpy()
    np.testing.assert_allclose(result.outputs / 2.0**result.frac_bits, expected, atol=1e-2 * np.abs(expected).max())
    return quantized


def relu_method(net: Any, x: Any) -> Any:
    a = net.conv1(x)
    b = a.relu_()
    return a + net.conv2(b)


def relu_function(net: Any, x: Any) -> Any:
    a = net.conv1(x)
    torch.relu_(a)
    return a + net.conv2(a)


def relu_option(net: Any, x: Any) -> Any:
    a = net.conv1(x)
    b = functional.relu(a, inplace=True)
    return a + net.conv2(b)


def relu6_position(net: Any, x: Any) -> Any:
    a = net.conv1(x)
    b = functional.relu6(a, True)
    return a + net.conv2(b)


def relu_module(net: Any, x: Any) -> Any:
    a = net.conv1(x)
    b = net.act(a)
    return a + net.conv2(b)


def increment(net: Any, x: Any) -> Any:
    a = net.conv1(x)
    b = a
    b += net.conv2(a)
    return a + b


def add_method(net: Any, x: Any) -> Any:
    a = net.conv1(x)
    a.add_(net.conv2(a))
    a.add_(a)
    return functional.relu(a)


@pytest.mark.parametrize(
    "body", [relu_method, relu_function, relu_option, relu6_position, relu_module, increment, add_method]
)
def test_who_reads_later_what_a_step_changed_reads_the_changed(body: Body) -> None:
    check_integers(Network(body, act=nn.ReLU(inplace=True)))


def through_a_view(net: Any, x: Any) -> Any:
    a = net.conv1(x)
    b = net.same(a)
    functional.relu(a, inplace=True)
    return a + net.conv2(b)


def test_a_view_of_what_is_changed_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the step 'relu' changes its input in place, and so 'same', a view of it"):
        quantize(Network(through_a_view, same=nn.Identity()), QuantizationConfig(), IMAGES)


def test_a_stage_does_not_change_what_enters_it() -> None:
    def body(net: Any, x: Any) -> Any:
        a = net.conv1(x)
        a += net.conv2(a)
        return a

    model = Network(body).eval()
    first, second = cut(model, ["conv1", "fc"])
    entering = first(IMAGES)
    before = entering.clone()
    assert torch.equal(second(entering), model(IMAGES))
    assert torch.equal(entering, before)


def dropping(net: Any, x: Any) -> Any:
    return functional.dropout(net.conv1(x), 0.5, training=net.training)


@pytest.mark.parametrize("made_in_training", [True, False])
def test_functional_dropout_follows_the_mode_under_block_replacement(made_in_training: bool) -> None:
    float_model = Network(dropping)
    quantized = quantize(float_model, QuantizationConfig(bits=8), IMAGES, verbose=False).train(made_in_training)
    objective = BlockReplacement(quantized, float_model, BwrfConfig(stages=("conv1", "fc")))
    assert quantized.training is made_in_training
    for training in (True, False, True):
        quantized.train(training)
        torch.manual_seed(3)
        expected = quantized(IMAGES)
        torch.manual_seed(3)
        flow = objective.flow(IMAGES)
        assert torch.equal(flow.features[-1], expected)
        assert torch.equal(flow.teacher[-1], float_model.eval()(IMAGES))
    assert not torch.equal(expected, quantized.eval()(IMAGES))


def test_dropout_that_never_ends_is_refused_by_name() -> None:
    model = Network(lambda net, x: functional.dropout(net.conv1(x), 0.5))
    with pytest.raises(ValueError, match="the step 'dropout' drops in eval mode too: pass training=self"):
        quantize(model, QuantizationConfig(), IMAGES)


def test_tracing_leaves_every_module_in_its_mode() -> None:
    model = Network(dropping).train()
    model.conv2.eval()
    trace(model)
    assert [model.training, model.conv1.training, model.conv2.training] == [True, True, False]


def twice(x: Tensor) -> Tensor:
    return x + x


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x", lambda net, x: net.x(net.conv1(x))),
        ("add", lambda net, x: net.add(twice(net.conv1(x)))),
        ("add_1", lambda net, x: net.add_1(twice(twice(net.conv1(x))))),
        ("relu", lambda net, x: functional.relu(net.relu(functional.relu(net.conv1(x))))),
    ],
)
def test_a_module_may_have_the_name_of_a_step(name: str, body: Body) -> None:
    model = check_integers(Network(body, **{name: conv()}))
    names = [node.name for node in export(model, (3, 6, 6)).nodes]
    assert {f"{name}.quantize", name, f"{name}.rescale"} <= set(names)
    assert len(set(names)) == len(names)


def test_a_layer_under_two_names_is_replaced_under_both() -> None:
    model = Network(lambda net, x: net.again(net.stem(x)))
    model.stem, model.again = nn.Sequential(model.conv1, nn.ReLU()), model.conv2
    quantized = check_integers(model)
    assert quantized.get_submodule("stem.0") is quantized.get_submodule("conv1")
    assert quantized.get_submodule("again") is quantized.get_submodule("conv2")


class Optional(Network):
    """A network with inputs that need not be given."""

    def forward(self, x: Tensor, mask: Tensor | None = None, times: int = 2) -> Tensor:
        """Return (N, 5)."""
        x = self.conv1(x)
        if mask is not None:
            x = x * mask
        return super().forward(x + x if times == 2 else x)


def test_optional_inputs_have_their_defaults() -> None:
    check_integers(Optional(lambda net, x: net.conv2(x)))


class TwoInputs(Network):
    """A network that needs two inputs."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """Return (N, 5)."""
        return super().forward(x)


class ManyInputs(Network):
    """A network with a default that cannot be held constant."""

    def forward(self, x: Tensor, sizes: tuple[int, ...] = (1, 2)) -> Tensor:
        """Return (N, 5)."""
        return super().forward(x)


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        (TwoInputs, "x: torch.Tensor, y: torch.Tensor"),
        (ManyInputs, "x: torch.Tensor, sizes: tuple[int, ...] = (1, 2)"),
    ],
)
def test_other_inputs_are_refused_by_name(kind: type[Network], inputs: str) -> None:
    rule = re.escape(f"{kind.__name__} takes {inputs}; a network has one input, others need a default")
    with pytest.raises(ValueError, match=rule):
        quantize(kind(lambda net, x: net.conv1(x)), QuantizationConfig(), IMAGES)

"""EWGS: the scaled gradient, and deltas from the trace of the Hessian."""

import math

import pytest
import torch
from quantizer_checks import assert_law, backward, gradient, normal, started
from torch import Tensor, nn

from trainers.quantizers import ewgs, make_quantizer
from trainers.quantizers.ewgs import EwgsQuantizer, estimate_deltas, hessian_traces


class Discretize(torch.autograd.Function):
    """The authors' discretizer: x in [0, 1] onto n steps, with equation 4's gradient."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, n: int, delta: float) -> Tensor:
        """Round."""
        y = (x * n).round() / n
        ctx.save_for_backward(x - y)
        ctx.delta = delta  # type: ignore[attr-defined]
        return y

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None]:
        """Scale the gradient."""
        [error] = ctx.saved_tensors  # type: ignore[attr-defined]
        return grad * (1 + ctx.delta * grad.sign() * error), None, None  # type: ignore[attr-defined]


@pytest.mark.parametrize("delta", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("channels", [None, 3])
def test_gradients_are_those_of_the_discretizer_in_its_range(delta: float, channels: int | None) -> None:
    x, weight = normal(3, 80), normal(3, 80, seed=1)
    quantizer = started("ewgs", "weights", 3, x, channels=channels, delta=delta)
    by_x = backward(quantizer, x, weight)

    inputs, step = x.clone().requires_grad_(), quantizer.scale.clone().requires_grad_()
    scale = step if channels is None else step[:, None]
    place = ((inputs / scale).clamp(-4, 3) + 4) / 7
    out = (Discretize.apply(place, 7, delta) * 7 - 4) * scale  # type: ignore[no-untyped-call]
    expected = torch.autograd.grad((out * weight).sum(), (inputs, step))
    torch.testing.assert_close(by_x, expected[0])
    shared = 240 if channels is None else 80
    torch.testing.assert_close(gradient(quantizer, "step"), expected[1] / math.sqrt(shared * 3))


def test_without_scaling_it_is_lsq() -> None:
    x, weight = normal(200), normal(200, seed=1)
    quantizer, lsq = started("ewgs", "activations", 4, x), started("lsq", "activations", 4, x)
    assert torch.equal(quantizer(x), lsq(x))
    torch.testing.assert_close(backward(quantizer, x, weight), backward(lsq, x, weight))
    torch.testing.assert_close(gradient(quantizer, "step"), gradient(lsq, "step"))
    assert_law(quantizer.float(), x.float())


def test_traces_of_a_diagonal_hessian_are_exact() -> None:
    y, z = normal(5).requires_grad_(), normal(7, seed=1).requires_grad_()
    curvature = torch.arange(1.0, 6.0, dtype=torch.float64)
    loss = (curvature * y.square()).sum() / 2 - z.square().sum()
    traces = hessian_traces(torch.autograd.grad(loss, (y, z), create_graph=True), [y, z])
    assert [float(trace) for trace in traces] == pytest.approx([15.0, -14.0])


class Classifier(nn.Module):
    """One linear layer with quantized weights."""

    def __init__(self, quantizer: nn.Module) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.weight = nn.Parameter(normal(3, 4).float())
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return nn.functional.linear(self.norm(x), self.quantizer(self.weight))


def test_delta_is_the_mean_curvature_over_the_gradients_in_units_of_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ewgs, "PROBES", 1000)
    quantizer = make_quantizer("ewgs", "weights", 3)
    model = Classifier(quantizer)
    quantizer.initialize(model.weight)
    x, labels = normal(16, 4, seed=2).float(), torch.arange(16) % 3
    estimate_deltas(model, x, labels)

    def loss(y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(nn.functional.linear(model.eval().norm(x), y), labels)

    y = quantizer(model.weight).detach().requires_grad_()
    [slopes] = torch.autograd.grad(loss(y), y, create_graph=True)
    rows = [torch.autograd.grad(slope, y, retain_graph=True)[0].flatten() for slope in slopes.flatten()]
    expected = float(torch.stack(rows).trace() / 12 / (3 * slopes.detach().std()) * quantizer.scale * 7)
    assert isinstance(quantizer, EwgsQuantizer)
    assert float(quantizer.delta) == pytest.approx(expected, rel=0.1)


def test_estimate_leaves_the_model_and_fixed_deltas_alone() -> None:
    fixed, estimated = make_quantizer("ewgs", "weights", 3, delta=0.25), make_quantizer("ewgs", "weights", 3)
    for quantizer in (fixed, estimated):
        model = Classifier(quantizer).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        estimate_deltas(model, normal(16, 4).float(), torch.arange(16) % 3)
        changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
        assert changed == ([] if quantizer is fixed else ["quantizer.delta"])
        assert model.training
        assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("delta", [-0.1, math.inf, math.nan])
def test_bad_delta_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match=f"delta must be finite and not negative for ewgs, got {delta}"):
        make_quantizer("ewgs", "weights", 4, delta=delta)

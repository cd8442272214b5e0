"""EWGS: LSQ whose straight-through gradient is scaled element by element, by where a value lies in its cell.

Lee et al., "Network Quantization with Element-wise Gradient Scaling", arXiv:2104.00903 (CVPR 2021). With x_n the value
in its range, scaled to [0, 1], x_q its rounding, and g the gradient of the output:

    dL/dx_n = g (1 + delta sign(g) (x_n - x_q)),  delta >= 0                                    (eq. 4)
    delta   = max(0, (Tr(H) / N) / G),  G = 3 sigma(g)                                          (eq. 8 to 10)

H is the Hessian of the loss in the N values x_q. Its trace is estimated by Hutchinson's method, E[v^T H v] with random
signs v, for all quantizers together: the signs are independent, so blocks off the diagonal vanish in the mean.
delta = 0 is LSQ, whose levels, start and learned step are used here.

Differs: the paper learns both ends of the range and an output scale, here there is one step as in LSQ; the scaled
gradient also enters the step's, as it does in the authors' code. The option `delta` fixes delta; otherwise it starts at
0 and is estimated before each epoch from one batch in eval mode with 4 sign vectors (the authors: every 10 epochs).
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import Function, grad
from torch.nn import functional

from trainers.quantizers.base import positive, spread
from trainers.quantizers.lsq import LsqQuantizer
from trainers.quantizers.straight_through import inner_product, inside, row_products
from trainers.shard import batch_mean, shard_of

PROBES = 4  #: Vectors of random signs per estimate.


class EwgsQuantizer(LsqQuantizer):
    """Uniform levels with a learned step and scaled gradients, 2 to 8 bits."""

    roles: ClassVar[tuple[str, ...]] = ("weights", "activations")
    method: ClassVar[str] = "ewgs"

    delta: Tensor

    def __init__(
        self,
        role: str,
        bits: int,
        *,
        signed: bool = True,
        channels: int | None = None,
        delta: float | None = None,
    ) -> None:
        """Take 2 to 8 bits and a fixed delta; None: it is estimated."""
        if delta is not None and not 0 <= delta < math.inf:
            raise ValueError(f"delta must be finite and not negative for ewgs, got {delta}")
        super().__init__(role, bits, signed=signed, channels=channels)
        self.is_estimated = delta is None
        self.register_buffer("delta", torch.tensor(delta or 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest multiples of the step, clipped to the range."""
        ends = (self.format.min_level, self.format.max_level)
        factor = 1 / math.sqrt(max(self.count(x) // self.step.numel(), 1) * ends[1])
        out: Tensor = RoundScalingGradient.apply(  # type: ignore[no-untyped-call]
            x, self.step, self.delta, ends, factor, self.role == "weights"
        )
        return out


class RoundScalingGradient(Function):
    """Nearest integer times a step; `factor` scales the gradient of the step.

    Of weights (`is_whole`) each process has the gradient of its part of the batch. As the scaling is not linear, their
    mean is taken before it.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, step: Tensor, delta: Tensor, ends: tuple[float, float], factor: float, is_whole: bool
    ) -> Tensor:
        """Return the integers between the ends times the scale of `step`."""
        scale = spread(positive(step), x)
        return (x / scale).clamp(*ends).round_().mul_(scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass reads."""
        x, step, delta, ctx.ends, ctx.factor, ctx.is_whole = inputs
        ctx.save_for_backward(x, output, step, delta)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        """Return the gradients of `x` and `step`."""
        x, y, step, delta = ctx.saved_tensors
        grad = batch_mean(grad) if ctx.is_whole else grad
        scale = positive(step)
        low, high = ctx.ends
        strength = delta / (spread(scale, x) * (high - low))
        passed = inside(grad + grad.abs() * (x - y) * strength, x / spread(scale, x), ctx.ends)
        sums = row_products if step.dim() else inner_product
        by_step = (sums(grad, y) - sums(passed, x)) / scale
        return passed, torch.where(step < 0, -ctx.factor, ctx.factor) * by_step, None, None, None, None


def estimate_deltas(model: nn.Module, x: Tensor, labels: Tensor) -> None:
    """Set the deltas that are estimated from the loss of one batch; without such quantizers nothing is done.

    `x` are network inputs `[N, ...]`, `labels` their classes `[N]`; every process that has a part of a batch estimates
    from the whole batch. The model runs in eval mode, so that its running statistics stay as they are, and is left as
    it was.
    """
    quantizers = [module for module in model.modules() if isinstance(module, EwgsQuantizer) and module.is_estimated]
    if not quantizers:
        return
    was_training = model.training
    x, labels = (shard_of(values).whole(values) for values in (x, labels))
    outputs, loss = watched_loss(model.eval(), quantizers, x, labels)
    model.train(was_training)
    gradients = grad(loss, outputs, create_graph=True)
    traces = hessian_traces(gradients, outputs)
    for quantizer, gradient, trace in zip(quantizers, gradients, traces, strict=True):
        spread_of_gradient = 3 * gradient.detach().std()
        width = quantizer.scale.mean() * (quantizer.format.max_level - quantizer.format.min_level)
        delta = width * trace / gradient.numel() / spread_of_gradient
        quantizer.delta.copy_(torch.where(delta > 0, delta, 0.0).nan_to_num(posinf=0.0))


def watched_loss(
    model: nn.Module, quantizers: list[EwgsQuantizer], x: Tensor, labels: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Return the last output of each quantizer and the cross-entropy."""
    seen: dict[EwgsQuantizer, Tensor] = {}

    def watch(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, EwgsQuantizer)
        seen[module] = output

    hooks = [quantizer.register_forward_hook(watch) for quantizer in quantizers]
    loss = functional.cross_entropy(model(x), labels)
    for hook in hooks:
        hook.remove()
    return [seen[quantizer] for quantizer in quantizers], loss


def hessian_traces(gradients: tuple[Tensor, ...], outputs: list[Tensor]) -> Tensor:
    """Return Hutchinson's estimates of the trace of the Hessian in each of the outputs, from the loss's gradients."""
    generator = torch.Generator(outputs[0].device).manual_seed(0)
    samples = []
    for _ in range(PROBES):
        signs = [torch.randint_like(output, 2, generator=generator) * 2 - 1 for output in outputs]
        products = grad(gradients, outputs, signs, retain_graph=True)
        samples.append(torch.stack([(a * b).sum() for a, b in zip(products, signs, strict=True)]))
    return torch.stack(samples).mean(0)

"""Layers whose result depends on the whole batch, for batches that several processes share.

Batch norm takes its statistics from all processes, with the gradients that belong to them (torch's `SyncBatchNorm` is
for GPUs only). With x of n values per channel over all processes, x_hat = (x - mean) / sqrt(var + eps):

    dL/dx = weight / sqrt(var + eps) * (g - sum(g) / n - x_hat * sum(g * x_hat) / n),  g = dL/dy

with sums over all processes. Dropout draws for the whole batch and keeps its part.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from trainers.shard import batch_sum, is_shared, shard_of


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the shared batch; elsewhere, and in eval mode, `nn.BatchNorm2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with mean 0 and variance 1 per channel over the shared batch, then scaled and shifted."""
        if not (self.training and is_shared()):
            return super().forward(x)
        count = shard_of(x).numel(x[:, 0])
        mean = batch_sum(x.sum((0, 2, 3), dtype=self.weight.dtype)) / count  # x may be bfloat16, sums are not
        variance = batch_sum((x - mean[:, None, None]).square().sum((0, 2, 3))) / count
        self._remember(mean, variance * (count / max(count - 1, 1)))
        out: Tensor = Normalize.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, mean, variance, self.eps, count
        )
        return out

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch, as `nn.BatchNorm2d` does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class Normalize(Function):
    """Batch norm by given statistics of `count` values per channel, which are differentiated as the batch's own."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, count: int
    ) -> Tensor:
        """Return the normalized values, scaled and shifted."""
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.count = eps, count
        return functional.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of `x` and this process's part of those of weight and bias."""
        x, weight, mean, variance = ctx.saved_tensors
        by_x, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            grads[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sum_weight, sum_bias = batch_sum(torch.stack([by_weight, by_bias])) / ctx.count
        inverse = (variance + ctx.eps).rsqrt()
        slope = weight * inverse.square() * sum_weight
        shift = weight * inverse * sum_bias - slope * mean
        by_x.sub_(x * slope[:, None, None]).sub_(shift[:, None, None])
        return by_x, by_weight, by_bias, None, None, None, None


class SharedDropout(nn.Dropout):
    """Dropout whose mask does not depend on how the batch is shared; elsewhere `nn.Dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with a share p of its values set to zero and the others divided by 1 - p."""
        if not (self.training and is_shared()):
            return super().forward(x)
        shard = shard_of(x)
        mask = torch.empty(shard.total, *x.shape[1:], dtype=x.dtype, device=x.device)
        mask.bernoulli_(1 - self.p).div_(1 - self.p)
        return x * shard.own(mask)


SHARED: dict[type[nn.Module], type[nn.Module]] = {nn.BatchNorm2d: SharedBatchNorm2d, nn.Dropout: SharedDropout}


@contextmanager
def shared_layers(model: nn.Module) -> Iterator[None]:
    """Let the layers of a network be those above until the block ends; parameters and statistics stay the same."""
    changed = [(module, type(module)) for module in model.modules() if type(module) in SHARED]
    for module, kind in changed:
        module.__class__ = SHARED[kind]
    try:
        yield
    finally:
        for module, kind in changed:
            module.__class__ = kind

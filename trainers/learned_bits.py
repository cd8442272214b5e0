"""The loss term that keeps learned bits within a budget.

As in NIPQ (Park et al., arXiv:2206.00820) the term is 3 * smooth_l1(cost - target). The cost of a network is either its
average bits, over the quantizers that learn theirs, or its bit operations, the sum of MACs * weight bits * activation
bits over all layers, with the bits before they are rounded: they are the mean of the widths that training draws.

Differs: the paper measures bit operations in units of 10^9, here the unit is the target itself, so that a small network
learns as fast as a large one. A loss term is no limit, and rounding the bits may leave the cost above the target. So
when the bits are frozen, or at the end of a training that freezes none, those that rounding raised most are lowered by
one, one after another, until the cost is within the budget; the last epochs train with these bits. This step is ours.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.budget import Budget
from trainers.data import Data
from trainers.layers import quant_layers
from trainers.objective import Objective
from trainers.quantizers import Quantizer
from trainers.quantizers.nipq import HIGHEST, LOWEST, NipqQuantizer

WEIGHT = 3.0  #: Factor of the loss term.
COSTS = {"bits": "average_bits", "bops": "bops"}  #: What a kind of budget limits, as the record calls it.


class BudgetObjective:
    """An objective and what the network's learned bits exceed or fall short of a budget by.

    Raises:
        ValueError: nothing in the network learns its bits, or the budget is beyond what they can reach.
    """

    def __init__(self, objective: Objective, model: nn.Module, budget: Budget, macs: dict[str, int]) -> None:
        self.objective, self.model, self.budget, self.macs = objective, model, budget, macs
        if not learning_quantizers(model):
            raise ValueError("a budget is for methods that learn their bits, such as nipq; this network has none")
        low, high = (float(self._cost(width)) for width in (LOWEST, HIGHEST))
        if not low <= budget.limit <= high:
            raise ValueError(
                f"the budget {budget.kind}={budget.limit:g} is out of reach: with {LOWEST} to {HIGHEST} bits "
                f"the network has {budget.kind} from {low:g} to {high:g}"
            )

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss and the budget's term, and the logits; frozen bits have no term."""
        loss, logits = self.objective(x, labels)
        if all(quantizer.frozen_bits is None for quantizer in learning_quantizers(self.model)):
            loss = loss + self.penalty()
        return loss, logits

    def penalty(self) -> Tensor:
        """Return the budget's loss term, a scalar."""
        unit = 1.0 if self.budget.kind == "bits" else self.budget.limit
        cost = self._cost() / unit
        return WEIGHT * functional.smooth_l1_loss(cost, torch.full_like(cost, self.budget.limit / unit))

    @torch.no_grad()
    def settle(self) -> None:
        """Lower rounded bits, those first that rounding raised most, until their cost is within the budget."""
        learning = learning_quantizers(self.model)
        while learned_cost(self.model, self.macs)[COSTS[self.budget.kind]] > self.budget.limit:
            wide = [quantizer for quantizer in learning if quantizer.learned_bits > LOWEST]
            lowered = min(wide, key=lambda quantizer: float(quantizer.soft_bits) - quantizer.learned_bits)
            lowered.set_bits(lowered.learned_bits - 1)

    def measure(self, dataset: Data) -> dict[str, float]:
        """Return the average of the rounded bits and the bit operations, besides what the objective measures."""
        return {**self.objective.measure(dataset), **learned_cost(self.model, self.macs)}

    def _cost(self, width: int | None = None) -> Tensor:
        """Return the cost with the bits as they are before rounding, or all of one width."""
        if self.budget.kind == "bits":
            return average_bits(self.model, width)
        return torch.stack(
            [
                self.macs[name] * _bits(layer.weight_quantizer, width) * _bits(layer.activation_quantizer, width)
                for name, layer in quant_layers(self.model).items()
            ]
        ).sum()


def keep_within_budget(objective: Objective, is_over: bool) -> None:
    """Settle the bits of an objective that has a budget, once they are frozen or training is over.

    The objective may be one that takes another's steps in its own way: compiled, or shared by processes.
    """
    inner: Any = objective
    while not isinstance(inner, BudgetObjective):
        if not hasattr(inner, "objective"):
            return
        inner = inner.objective
    objective = inner
    is_frozen = all(quantizer.frozen_bits is not None for quantizer in learning_quantizers(objective.model))
    if is_frozen or is_over:
        objective.settle()


def learned_cost(model: nn.Module, macs: dict[str, int]) -> dict[str, float]:
    """Return the average of the learned bits, rounded, and the bit operations per image of a network."""
    layers = quant_layers(model).items()
    bops = sum(
        macs[name] * layer.weight_quantizer.format.bits * layer.activation_quantizer.format.bits
        for name, layer in layers
    )
    learned = [quantizer.learned_bits for quantizer in learning_quantizers(model)]
    return {"average_bits": sum(learned) / len(learned), "bops": bops}


def learned_widths(model: nn.Module) -> list[dict[str, Any]]:
    """Return the bits of each layer's weights and activations, as JSON values."""
    return [
        {
            "layer": name,
            "weight_bits": layer.weight_quantizer.format.bits,
            "activation_bits": layer.activation_quantizer.format.bits,
        }
        for name, layer in quant_layers(model).items()
    ]


def learning_quantizers(model: nn.Module) -> list[NipqQuantizer]:
    """Return the quantizers of a network that learn their bits."""
    return [module for module in model.modules() if isinstance(module, NipqQuantizer)]


def average_bits(model: nn.Module, width: int | None = None) -> Tensor:
    """Return the mean of the bits before rounding, or of one width in their place."""
    return torch.stack([_bits(quantizer, width) for quantizer in learning_quantizers(model)]).mean()


def _bits(quantizer: Quantizer, width: int | None) -> Tensor:
    """Return the bits before rounding, in double precision, or `width` in place of learned ones."""
    if not isinstance(quantizer, NipqQuantizer):
        return torch.tensor(float(quantizer.format.bits), dtype=torch.float64)
    return quantizer.soft_bits.double() if width is None else torch.tensor(float(width), dtype=torch.float64)

"""How a step is computed: in bfloat16 where that is allowed, or compiled. What is computed stays the objective's."""

from collections.abc import Callable

import torch
from torch import Tensor

from trainers.data import Data
from trainers.objective import Objective

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Accelerated:
    """An objective that takes its training steps by another function, and measures as it does."""

    def __init__(self, objective: Objective, step: Step) -> None:
        self.objective, self.step = objective, step

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits, float32."""
        return self.step(x, labels)

    def measure(self, dataset: Data) -> dict[str, float]:
        """Return what the objective measures, in float32 and not compiled."""
        return self.objective.measure(dataset)


def accelerated(objective: Objective, device: torch.device, *, bf16: bool, compiled: bool) -> Objective:
    """Return the objective with its steps in bfloat16, compiled, both or neither.

    On a GPU compiled steps are CUDA graphs: their results are overwritten by the next step.
    """
    step: Step = in_bfloat16(objective, device) if bf16 else objective
    if compiled:
        torch.compiler.reset()  # another run's graphs would count against the limit of recompilations
        step = torch.compile(step, mode="reduce-overhead" if device.type == "cuda" else None)
    return Accelerated(objective, step) if bf16 or compiled else objective


def in_bfloat16(step: Step, device: torch.device) -> Step:
    """Return the step with its convolutions and matrix products in bfloat16; quantizers stay in float32.

    Losses are computed in float32, from logits that were rounded to bfloat16.
    """

    def with_autocast(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(device.type, torch.bfloat16):
            loss, logits = step(x, labels)
        return loss.float(), logits.float()

    return with_autocast

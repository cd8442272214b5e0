"""Losses that are not finite: found where they begin, without waiting for the device in every step.

To look at a number waits for all that the device has to do. On the CPU that costs nothing, so every loss is looked at
before anything is learned from it. On a GPU it is every 32 steps; in between the optimizer takes no step from the first
bad loss on (its `found_inf`), and that step's images are kept, so that the network that is looked at is the one that
failed on the images that it failed on, but for the running statistics of batch norm.
"""

import torch
from torch import Tensor, nn
from torch.optim import SGD

from trainers.diagnosis import first_not_finite

STEPS_BETWEEN_LOOKS = {"cpu": 1, "cuda": 32}


class Guard:
    """Watches the losses of an epoch; `losses` is where they are, float64[steps]."""

    def __init__(self, model: nn.Module, optimizer: SGD, losses: Tensor) -> None:
        self.model, self.losses = model, losses
        self.every = STEPS_BETWEEN_LOOKS[losses.device.type]
        self.bad = torch.zeros((), device=losses.device)  # 1 from the first bad loss on
        self.kept: Tensor | None = None  # images of the first step of a look and, once one was bad, of that step
        if self.every > 1:
            optimizer.found_inf = self.bad  # type: ignore[attr-defined]

    def see(self, x: Tensor, step: int, epoch: int) -> None:
        """Take note of the loss of a step, counted from 0, on the images `x` before the optimizer's step.

        Raises:
            FloatingPointError: the loss is NaN or infinite, and this is a step to look at it.
        """
        if self.every == 1:
            self.kept = x
        elif self.kept is None or len(self.kept) != len(x):
            self.look(step - 1, epoch)
            self.kept = x.clone()
        else:
            torch.where(self.bad > 0, self.kept, x, out=self.kept)
        self.bad.copy_(torch.maximum(self.bad, (~self.losses[step].isfinite()).float()))
        if (step + 1) % self.every == 0:
            self.look(step, epoch)

    def look(self, step: int, epoch: int) -> None:
        """Wait for the device and look at the losses up to a step, counted from 0.

        Raises:
            FloatingPointError: one is NaN or infinite.
        """
        if not bool(self.bad):
            return
        first = int((~self.losses[: step + 1].isfinite()).nonzero()[0])
        place = f"step {first + 1} of epoch {epoch}"
        cause = first_not_finite(self.model, self.kept) if self.kept is not None else None
        raise FloatingPointError(
            f"the loss became {self.losses[first].item()} in {place}; first not finite is {cause or 'the loss itself'}"
        )

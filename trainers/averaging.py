"""The average of a network's weights along its training, which often generalises better than the last ones.

After step t the average is a <- d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)), so that it follows the weights
fast at first and a short training is not dominated by where it began (the rule of TensorFlow's
`ExponentialMovingAverage`). Batch norm's statistics and what quantizers learn are averaged as the weights are; counters
and frozen codes, which are integers, are the network's.

torch's `AveragedModel` would wait for the device in each step and average integers.
"""

import copy

import torch
from torch import nn


class Average:
    """A copy of a network that follows it."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = copy.deepcopy(model).requires_grad_(False), decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Follow the network after one more step, counted from 1 over the whole run."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        own, state = self.model.state_dict(), model.state_dict()
        real = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in real], [state[name] for name in real], share)
        whole = {name: value for name, value in state.items() if not value.is_floating_point()}
        self.model.load_state_dict(whole, strict=False)

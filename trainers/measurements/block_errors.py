"""How far the features of a quantized network are from those of its float start, block by block and accumulated.

After figure 5 of ASQ, arXiv:2504.17263, whose error measure is not known to us: ours is `relative_errors`. With f_i
and q_i the blocks of the two networks, x an image, and

    F_i = f_i(F_{i-1}),  H_i = q_i(H_{i-1}),  F_0 = H_0 = x

a block's own error is that of q_i(F_{i-1}) against F_i, the accumulated one that of H_i against F_i. Training moves
the weights, too, so both hold more than rounding. What runs before the first block, such as the first convolution, is a
block of its own, named after its layers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.evaluate import EVALUATION_BATCH
from trainers.finished_run import FinishedRun
from trainers.graph import weighted_layers
from trainers.measurements.relative import relative_errors
from trainers.stages import cut, stage_names, stem_layers


@torch.no_grad()
def block_errors(run: FinishedRun, images: Tensor, blocks: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Return `blocks` `[B]`, the names, and `own` and `accumulated` `[B, N]`, the errors of each image.

    Args:
        run: the networks.
        images: `[N, C, H, W]`.
        blocks: modules that the blocks end with; none: those of `block_names`. The layers before the first, see
            `trainers.stages.stem_layers`, are a block more.

    Raises:
        ValueError: the networks cannot be cut so; see `trainers.stages.cut`.
    """
    names = stage_names(run.full, blocks or block_names(run.full))
    stem = " + ".join(stem_layers(run.full, names[0]))
    pairs = list(zip(cut(run.quantized, names, stem), cut(run.full, names, stem), strict=True))
    parts = [_errors(pairs, batch) for batch in torch.split(images, EVALUATION_BATCH)]
    own, accumulated = torch.cat(parts, dim=2).numpy()
    return {"blocks": np.array([stem, *names] if stem else names), "own": own, "accumulated": accumulated}


def _errors(pairs: Sequence[tuple[nn.Module, nn.Module]], x: Tensor) -> Tensor:
    """Return the blocks' own and accumulated errors, `[2, B, N]`."""
    entering = features = x
    own, accumulated = [], []
    for low, full in pairs:
        leaving, features = full(entering), low(features)
        own.append(relative_errors(low(entering), leaving))
        accumulated.append(relative_errors(features, leaving))
        entering = leaving
    return torch.stack([torch.stack(own), torch.stack(accumulated)])


def block_names(model: nn.Module) -> list[str]:
    """Return the modules in the network's own stages, or the stages where they are no sequences, and the last layer.

    Raises:
        ValueError: the network declares no stages.
    """
    names: list[str] = []
    for stage in stage_names(model):
        module = model.get_submodule(stage)
        inner = [f"{stage}.{name}" for name, _ in module.named_children()] if isinstance(module, nn.Sequential) else []
        names += inner or [stage]
    last = weighted_layers(model)[-1]
    return [*names, *([] if last in names else [last])]

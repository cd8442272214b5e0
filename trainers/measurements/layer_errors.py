"""What rounding takes off the activations of each layer of a quantized network.

After figure 6 of ASQ, arXiv:2504.17263, whose error measure is not known to us. Ours: with x what enters the layer as
the quantized network computes it, and q the layer's activation quantizer, the `relative_errors` of q(x) against x.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.evaluate import EVALUATION_BATCH
from trainers.finished_run import FinishedRun
from trainers.graph import weighted_layers
from trainers.layers import quant_layers
from trainers.measurements.relative import relative_errors
from trainers.promises import recorded_inputs


@torch.no_grad()
def layer_errors(run: FinishedRun, images: Tensor) -> dict[str, NDArray[Any]]:
    """Return `layers` `[L]`, the names in the order in which they run, and `errors` `[L, N]`.

    Args:
        run: the networks.
        images: `[N, C, H, W]`.
    """
    layers = quant_layers(run.quantized)
    names = weighted_layers(run.full)
    parts = []
    for batch in torch.split(images, EVALUATION_BATCH):
        with recorded_inputs(layers) as inputs:
            run.quantized(batch)
        rounded = {name: layers[name].activation_quantizer(inputs[name]) for name in names}
        parts.append(torch.stack([relative_errors(rounded[name], inputs[name]) for name in names]))
    return {"layers": np.array(names), "errors": torch.cat(parts, dim=1).numpy()}

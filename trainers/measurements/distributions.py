"""The weights and the activations of one layer before and after quantization, and ASQ's factor of the step.

After figures 1 and 4 of ASQ, arXiv:2504.17263.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.errors import unknown_name
from trainers.evaluate import EVALUATION_BATCH
from trainers.finished_run import FinishedRun
from trainers.graph import weighted_layers
from trainers.layers import QuantLayer, quant_layers
from trainers.promises import recorded_inputs
from trainers.quantizers.asq import AsqQuantizer


@torch.no_grad()
def distributions(run: FinishedRun, images: Tensor, layer: str | None = None) -> dict[str, NDArray[Any]]:
    """Return the values of one layer of the quantized network, one array each, flat.

    `layer`: its name. `weights`, `weights_quantized`: divided by the largest magnitude that can be quantized, that of
    their output channel if each has its own scale. `activations`, `activations_quantized`: of all images, as
    they enter the layer. `factors`: beta of each image, what ASQ's adapter multiplies the step by; only of ASQ.

    Args:
        run: the networks.
        images: `[N, C, H, W]`.
        layer: a convolution or a linear layer; None: the one in the middle.

    Raises:
        ValueError: the network has no such layer.
    """
    names, layers = weighted_layers(run.full), quant_layers(run.quantized)
    name = names[len(names) // 2] if layer is None else layer
    if name not in layers:
        raise unknown_name("layer", name, names)
    chosen = layers[name]
    values = {**_weights(chosen), **_activations(run, images, name, chosen)}
    return {"layer": np.array(name), **{what: tensor.flatten().numpy() for what, tensor in values.items()}}


def _weights(layer: QuantLayer) -> dict[str, Tensor]:
    quantizer, weight = layer.weight_quantizer, layer.weight
    largest = quantizer.scale_for(weight) * max(quantizer.format.max_level, -quantizer.format.min_level)
    return {"weights": weight / largest, "weights_quantized": quantizer(weight) / largest}


def _activations(run: FinishedRun, images: Tensor, name: str, layer: QuantLayer) -> dict[str, Tensor]:
    entering = []
    for batch in torch.split(images, EVALUATION_BATCH):
        with recorded_inputs({name: layer}) as inputs:
            run.quantized(batch)
        entering.append(inputs[name])
    x, quantizer = torch.cat(entering), layer.activation_quantizer
    factors = {"factors": quantizer.adapter(x)} if isinstance(quantizer, AsqQuantizer) else {}
    return {"activations": x, "activations_quantized": quantizer(x), **factors}

"""Class activation maps of a float network, its quantized one, and the mixed ones between them.

As figure 5 of BWRF, arXiv:2412.15846, shows them. With f_k the channels that enter the global average pooling and w_ck
the weights of the linear layer behind it, the map of class c is M_c(y, x) = sum_k w_ck f_k(y, x): its mean is the logit
of c less the bias (Zhou et al., "Learning Deep Features for Discriminative Localization", arXiv:1512.04150, eq. 1 and
2). In the quantized network the weights are the quantized ones, so there the mean differs from the logit by what the
last layer rounds off its input.

The mixed networks have low precision up to a stage and the float network's stages after it (`trainers.bwrf`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.data.dataset import per_channel
from trainers.finished_run import FinishedRun
from trainers.graph import weighted_layers
from trainers.layers import QuantLinear
from trainers.stages import cut, stage_names

SHOWN = 5  #: Images, of different classes.
FULL, LOW = "full precision", "low precision"
NEEDED = "class activation maps need global average pooling and one linear layer after the last stage"


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network cut before its global average pooling."""

    stages: Sequence[nn.Module]
    head: nn.Module  #: The pooling and the linear layer.
    weight: Tensor  #: What the linear layer multiplies by, `[classes, K]`.

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps of all classes, `[N, classes, h, w]`, and the logits, `[N, classes]`.

        Raises:
            ValueError: what enters the head are no channels, or not as many as the linear layer takes.
        """
        for stage in self.stages:
            x = stage(x)
        if x.dim() != 4 or x.shape[1] != self.weight.shape[1]:
            raise ValueError(f"{NEEDED}, the linear layer takes {self.weight.shape[1]} values of {tuple(x.shape[1:])}")
        return torch.einsum("ck,nkyx->ncyx", self.weight, x), self.head(x)


@torch.no_grad()
def activation_maps(run: FinishedRun, images: Tensor) -> dict[str, NDArray[Any]]:
    """Return the maps of the true class of the first image of each class, `SHOWN` classes at most, in every network.

    `networks` `[M]`, the names; `maps` `[M, N, h, w]`; `answers` `[M, N]`, the classes that the networks choose;
    `pictures` `[N, C, H, W]`, the images with values in 0..1; `classes` `[N]`, their true ones.

    Args:
        run: the networks.
        images: `[N, C, H, W]`, the first test images, to choose from.

    Raises:
        ValueError: the network has no stages, or more than global average pooling and one linear layer after them.
    """
    labels = run.test_images(len(images))[1]
    chosen = first_of_each(labels)[:SHOWN]
    x, classes, networks = images[chosen], labels[chosen], classifiers(run)
    check_head(run.full, *networks[FULL].maps(x))
    measured = [network.maps(x) for network in networks.values()]
    return {
        "networks": np.array(list(networks)),
        "maps": torch.stack([maps[torch.arange(len(x)), classes] for maps, _ in measured]).numpy(),
        "answers": torch.stack([logits.argmax(1) for _, logits in measured]).numpy(),
        "pictures": pictures(x, run),
        "classes": classes.numpy(),
    }


def first_of_each(labels: Tensor) -> list[int]:
    """Return the place of the first label of each class, in their order."""
    places = {int(label): place for place, label in reversed(list(enumerate(labels)))}
    return sorted(places.values())


def classifiers(run: FinishedRun) -> dict[str, Classifier]:
    """Return the networks by name, from full to low precision.

    Raises:
        ValueError: the network cannot be cut behind its last stage, or its last layer is not linear.
    """
    names, last = stage_names(run.full), weighted_layers(run.full)[-1]
    if not isinstance(run.full.get_submodule(last), nn.Linear) or last in names:
        raise ValueError(f"{NEEDED}, {last} is the last layer")
    low, full = (cut(model, [*names, last]) for model in (run.quantized, run.full))
    weights = [class_weights(model.get_submodule(last)) for model in (run.full, run.quantized)]
    networks = {}
    for i, name in enumerate([FULL, *(f"{LOW} up to {stage}" for stage in names[:-1])]):
        networks[name] = Classifier([*low[:i], *full[i:-1]], full[-1], weights[0])
    return {**networks, LOW: Classifier(low[:-1], low[-1], weights[1])}


def class_weights(layer: nn.Module) -> Tensor:
    """Return what a linear layer multiplies by, `[classes, K]`."""
    assert isinstance(layer, nn.Linear)
    return layer.weight_quantizer(layer.weight) if isinstance(layer, QuantLinear) else layer.weight


def check_head(model: nn.Module, maps: Tensor, logits: Tensor) -> None:
    """Check that the float network's logits are the means of its maps, and the bias.

    Raises:
        ValueError: they are not.
    """
    layer = model.get_submodule(weighted_layers(model)[-1])
    assert isinstance(layer, nn.Linear)
    means = maps.mean((2, 3)) + (0 if layer.bias is None else layer.bias)
    if not torch.allclose(means, logits, rtol=1e-3, atol=1e-3):
        raise ValueError(f"{NEEDED}; the logits are not the means of the maps")


def pictures(x: Tensor, run: FinishedRun) -> NDArray[Any]:
    """Return network inputs as images with values in 0..1."""
    mean, std = (torch.from_numpy(per_channel(values)) for values in (run.data.mean, run.data.std))
    return (x * std + mean).clamp(0, 1).numpy()

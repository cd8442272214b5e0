"""Learned importance of layers: the LSQ steps of each width, trained together around one set of weights.

LIMPQ (Tang et al., arXiv:2203.08368, section 3.3): every layer has a step for its weights and one for its activations
at each candidate width. One training step runs the network once at each width, all layers alike, and once with widths
drawn at random for each layer, and adds the gradients; the weights serve all widths. How large a step became is the
layer's importance at that width.

Differs: the first and the last layer stay at 8 bits with their own steps. The gradients of the passes are averaged, so
that the learning rate does not depend on how many widths there are.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from trainers.allocation import LayerChoices
from trainers.augment import AUGMENTATIONS
from trainers.budget import layer_macs
from trainers.config import TrainConfig
from trainers.data import Dataset, open_data
from trainers.evaluate import as_inputs
from trainers.layers import quant_layers
from trainers.loop import calibration_batch, float_network, learning_rate
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.progress import Progress, Silent
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers import Quantizer
from trainers.quantizers_only import in_memory
from trainers.run_folder import find_init
from trainers.seeding import epoch_order, reproducible, seed_step

ROLES = ("weight_quantizer", "activation_quantizer")


class WidthChoice(nn.Module):
    """LSQ quantizers of several widths, of which one at a time is used."""

    def __init__(self, quantizers: Mapping[int, Quantizer]) -> None:
        super().__init__()
        self.choices = nn.ModuleDict({str(bits): quantizer for bits, quantizer in quantizers.items()})
        self.bits = min(quantizers)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized to the width in use."""
        out: Tensor = self.choices[str(self.bits)](x)
        return out

    def steps(self) -> dict[int, float]:
        """Return the learned step of each width."""
        return {int(bits): float(quantizer.scale) for bits, quantizer in self.choices.items()}  # type: ignore[arg-type]


def learn_importance(
    config: TrainConfig, widths: Sequence[int], run_dir: Path, progress: Progress | None = None
) -> list[LayerChoices]:
    """Return the layers between the first and the last with their importance at each width.

    `config` says data, model, epochs, learning rate, decay and seed, and by `init`, which `run_dir` resolves as a
    training does, the float weights to start from.

    Raises:
        ValueError: the network has no layers between the first and the last, the loss is not finite, or the data are
            a folder of images.
        FileNotFoundError: the data or the float weights are missing.
    """
    dataset = in_memory(open_data(config.data, config.data_dir))
    init = find_init(config.init, run_dir) if config.init else None
    with reproducible(config.seed, config.threads):
        network = float_network(config, init)
        model = shared_network(network, widths, calibration_batch(config, dataset))
        optimizer = make_optimizer(model.train(), config.momentum, config.weight_decay)
        for epoch in range(1, config.epochs + 1):
            loss = run_epoch(model, widths, optimizer, config, dataset, epoch)
            (progress or Silent()).update(epoch, config.epochs, {"loss": loss})
    return layer_choices(model, layer_macs(network, dataset.image_shape))


def shared_network(network: nn.Module, widths: Sequence[int], calibration: Tensor) -> nn.Module:
    """Return a quantized copy of a float network whose inner layers have quantizers of every width.

    Raises:
        ValueError: it has no inner layers.
    """
    configs = [QuantizationConfig(bits=width, per_channel=False) for width in widths]
    models = [quantize(network, config, calibration, verbose=False) for config in configs]
    layers = [quant_layers(model) for model in models]
    inner = list(layers[0])[1:-1]
    if not inner:
        raise ValueError("the network has no layers between the first and the last to allocate bits to")
    for name in inner:
        for role in ROLES:
            same = [getattr(found[name], role) for found in layers]
            setattr(layers[0][name], role, WidthChoice(dict(zip(widths, same, strict=True))))
    return models[0]


def run_epoch(
    model: nn.Module, widths: Sequence[int], optimizer: SGD, config: TrainConfig, dataset: Dataset, epoch: int
) -> float:
    """Train for one epoch, counted from 1, and return the mean loss of its steps.

    Raises:
        ValueError: the loss became NaN or infinite.
    """
    images, labels = torch.from_numpy(dataset.train_images), torch.from_numpy(dataset.train_labels)
    batches = torch.split(epoch_order(config.seed, epoch, len(labels)), config.batch_size)
    losses = []
    for step, chosen in enumerate(batches):
        generator = seed_step(config.seed, epoch, step)
        x = as_inputs(AUGMENTATIONS[config.augment](images[chosen], generator), dataset)
        set_learning_rate(optimizer, learning_rate(config, epoch, step, len(batches)))
        losses.append(joint_step(model, widths, optimizer, x, labels[chosen]))
        if not math.isfinite(losses[-1]):
            raise ValueError(
                f"the loss became {losses[-1]} in step {step + 1} of epoch {epoch}; lower the learning rate"
            )
    return sum(losses) / len(losses)


def joint_step(model: nn.Module, widths: Sequence[int], optimizer: SGD, x: Tensor, labels: Tensor) -> float:
    """Take one step on the mean loss of the passes at each width and at random widths, and return that loss."""
    choices = [module for module in model.modules() if isinstance(module, WidthChoice)]
    passes = [[width] * len(choices) for width in widths]
    passes.append([widths[place] for place in torch.randint(len(widths), (len(choices),)).tolist()])
    optimizer.zero_grad()
    total = 0.0
    for chosen in passes:
        for choice, width in zip(choices, chosen, strict=True):
            choice.bits = width
        loss = functional.cross_entropy(model(x), labels) / len(passes)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    optimizer.step()
    return total


def layer_choices(model: nn.Module, macs: Mapping[str, int]) -> list[LayerChoices]:
    """Return the inner layers of a shared network with the steps that they learned."""
    inner = list(quant_layers(model).items())[1:-1]
    return [
        LayerChoices(name, macs[name], layer.weight.numel(), *(getattr(layer, role).steps() for role in ROLES))
        for name, layer in inner
    ]

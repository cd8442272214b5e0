"""Training of the quantizers alone, on data that need not be the task's.

QIL's heterogeneous case (Jung et al., arXiv:1808.05779): weights and batch norm keep the float network's values, only
steps, intervals and other parameters of the quantizers learn, from images of another data set. The paper's loss and
data are not known to us. As the labels of such images mean nothing to the network, it learns to answer as the float
network does (`trainers.objective.Distillation`), and the training accuracy in the record is the share of images where
both give the same answer.

The learning rate must be small. Batch norm is at rest, so nothing takes up what a step that moves too far does to the
size of all that follows, and images of other data give large divergences. At the digits' rate for whole networks, 0.05,
learning on strokes comes apart: the divergence on the strokes themselves rises, so this is no overfitting. Digits
recognised after 20 epochs at 4 bits, mean and deviation of 3 seeds: LSQ 47.2 ± 40.1 % at 0.05, 94.7 ± 0.6 % at 0.005,
95.1 ± 1.6 % at 0.002; POST 70.7 ± 28.5, 92.9 ± 4.4 and 94.7 ± 1.6 %. `trainers.presets` takes 0.04 of the recipe's
rate. At 3 bits weights that may not move leave 82.6 ± 9.2 % (LSQ) and 70.7 ± 9.6 % (POST), on digits 90.4 and 83.8 %.
"""

from dataclasses import replace

from torch import nn

from trainers.config import TrainConfig
from trainers.data import Data, Dataset, load_dataset, open_data
from trainers.evaluate import predict
from trainers.quantizers import Quantizer


def training_data(config: TrainConfig) -> Data:
    """Return the task's data set; its training part is that of `calibration_data`, if a run names such.

    Images are normalised as the task's are: that is what the weights know.

    Raises:
        ValueError: the images of the two have different shapes, or a data set is unknown or not complete.
        FileNotFoundError: a file of a data set is missing.
    """
    task = open_data(config.data, config.data_dir, config.skip_broken)
    if config.calibration_data is None:
        return task
    other = load_dataset(config.calibration_data, config.calibration_dir)
    if other.image_shape != task.image_shape:
        raise ValueError(
            f"images of {other.name} have shape {other.image_shape}, those of {task.name} {task.image_shape}: "
            "quantizers cannot learn on them"
        )
    return replace(in_memory(task), train_images=other.train_images, train_labels=other.train_labels)


def answered(data: Data, teacher: nn.Module) -> Dataset:
    """Return the data set with the teacher's answers as the labels of its training images.

    Raises:
        ValueError: the images are not in memory.
    """
    dataset = in_memory(data)
    return replace(dataset, train_labels=predict(teacher, dataset, dataset.train_images).numpy())


def in_memory(data: Data) -> Dataset:
    """Return a data set whose images are in memory.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(data, Dataset):
        raise ValueError(f"this kind of training takes images in memory only, those of {data.name} stay on disk")
    return data


def freeze_weights(model: nn.Module) -> None:
    """Let only the quantizers' parameters have gradients.

    Raises:
        ValueError: the quantizers have no parameters.
    """
    learning = {id(p) for module in model.modules() if isinstance(module, Quantizer) for p in module.parameters()}
    if not learning:
        raise ValueError("no quantizer of this network has a parameter, so training the quantizers only does nothing")
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in learning)


def set_mode(model: nn.Module, quantizers_only: bool) -> None:
    """Put a network into training mode, or only its quantizers: then batch norm keeps its statistics."""
    model.train(not quantizers_only)
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.train()

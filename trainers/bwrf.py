"""BWRF: block-wise replacement, a training objective around any quantization method.

Yu et al., "Improving quantization-aware training of low-precision network via block replacement on full-precision
counterpart", arXiv:2412.15846. A low-precision network Q and its trained full-precision original F, which stays as it
is, are cut into the same n stages. Mixed-precision networks take the first stages from Q and the rest from F:

    h_0 = x,  h_i = Q_i(h_{i-1}),  z_Q = h_n       the low-precision flow, the only one through Q
    z_F = F(x)                                     the teacher's logits, without gradient
    z_Mi = F_n o ... o F_{i+1}(h_i),  i = 1..n-1   the gradient flows through F into h_i
    L = CE(z_Q, y) + lambda T^2 KL(p_F^T || p_Q^T)
        + 1/(n-1) sum_i [a CE(z_Mi, y) + b T^2 KL(p_F^T || p_Mi^T) + c T^2 KL(sg(p_Mi)^T || p_Q^T)]

p^T is the softmax of logits / T, KL a mean over the batch, sg stops the gradient. F runs in evaluation mode.

The paper's figures show shared low-precision flows and losses from targets and predictions; its loss weights,
temperature and schedule were not available, so this loss, its weights' values and the batching are this project's
reading.

The branches run stacked, so a step calls each stage of F after the first once with gradient. The teacher's pass is
another call: stacked with the branches it would be differentiated in vain, which costs more time than a call saves.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.errors import check_number
from trainers import processes
from trainers.data import Data
from trainers.device import device_of
from trainers.evaluate import evaluating, evaluation_batches
from trainers.stages import cut, stage_names


@dataclass(frozen=True)
class BwrfConfig:
    """The stages of block-wise replacement, and the weights of its loss.

    Raises:
        ValueError: the stages are one text, a weight is negative or no finite number, or the temperature is not
            positive.
    """

    stages: Sequence[str] = ()  #: Modules that the stages end with; empty: the network's own stages.
    distillation: float = 1.0  #: lambda, of the low-precision network's divergence from the teacher.
    branch_task: float = 1.0  #: a, of the branches' cross-entropy.
    branch_distillation: float = 1.0  #: b, of the branches' divergence from the teacher.
    branch_teaching: float = 0.0  #: c, of the low-precision network's divergence from the branches.
    temperature: float = 4.0  #: T, which softens the distributions that are compared.

    def __post_init__(self) -> None:
        if isinstance(self.stages, str):
            raise ValueError(f"stages of BWRF must be several names of modules, got {self.stages!r}")
        for name in (field.name for field in fields(self) if field.type is float):
            check_number(f"{name} of BWRF", getattr(self, name))
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} of BWRF must be a number that is not negative, got {getattr(self, name)}")
        if self.temperature == 0:
            raise ValueError("temperature of BWRF must be positive, got 0")


@dataclass(frozen=True)
class Flow:
    """What a batch of N images becomes.

    Attributes:
        features: h_1 .. h_n; the last are the low-precision network's logits `[N, classes]`.
        teacher: the outputs of F's stages; the last are its logits.
        mixed: the logits of M_1 .. M_{n-1}, stacked: `[(n - 1) * N, classes]`.
    """

    features: list[Tensor]
    teacher: list[Tensor]
    mixed: Tensor


class BlockReplacement:
    """The objective above, of a quantized network and the float network that it was made from."""

    def __init__(self, quantized: nn.Module, full: nn.Module, config: BwrfConfig, smoothing: float = 0.0) -> None:
        """Cut both networks; the float one is copied, the quantized one shared.

        `smoothing` is the share of each label that both cross-entropies spread evenly over all classes.

        Raises:
            ValueError: the networks cannot be cut so; see `trainers.stages.cut`.
        """
        self.model, self.config, self.smoothing = quantized, config, smoothing
        self.names = stage_names(full, config.stages)
        self.low = cut(quantized, self.names)
        self.full = cut(copy.deepcopy(full).eval().requires_grad_(False), self.names)

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch and the low-precision network's logits."""
        flow = self.flow(x)
        return self.loss(flow, labels), flow.features[-1]

    def flow(self, x: Tensor) -> Flow:
        """Run the low-precision network, the teacher and all branches."""
        with torch.no_grad():
            teacher = list(_chain(self.full, x))
        features = list(_chain(self.low, x))
        mixed = self.full[1](features[0])
        for stage, entering in zip(self.full[2:], features[1:], strict=False):
            mixed = stage(torch.cat([mixed, entering]))
        return Flow(features, teacher, mixed)

    def loss(self, flow: Flow, labels: Tensor) -> Tensor:
        """Return L; a mean over the stacked branches is the mean over branches of their means."""
        logits, teacher, branches = flow.features[-1], flow.teacher[-1], len(self.names) - 1
        config, T = self.config, self.config.temperature
        repeated = teacher.repeat(branches, 1)
        return (
            self.task(logits, labels)
            + config.distillation * divergence(teacher, logits, T)
            + config.branch_task * self.task(flow.mixed, labels.repeat(branches))
            + config.branch_distillation * divergence(repeated, flow.mixed, T)
            + config.branch_teaching * divergence(flow.mixed.detach(), logits.repeat(branches, 1), T)
        )

    def task(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return CE, with smoothed labels."""
        return functional.cross_entropy(logits, labels, label_smoothing=self.smoothing)

    @torch.no_grad()
    def measure(self, dataset: Data) -> dict[str, float]:
        """Return how the mixed networks and the features do on the test images, by the stages' names.

        `mixed_accuracy/<stage>`: share of images that the network classifies correctly that has low precision up to
        this stage (the paper's figure 3). `similarity/<stage>`: cosine between the stage's outputs in Q and in F, mean
        over images (figure 4); after the last stage these are the logits.
        """
        device = device_of(self.model)
        correct = torch.zeros(len(self.names) - 1, dtype=torch.float64, device=device)
        cosine = torch.zeros(len(self.names), dtype=torch.float64, device=device)
        with evaluating(self.model):
            for x, labels in evaluation_batches(dataset, processes.part(), device):
                flow = self.flow(x)
                answers = flow.mixed.argmax(1).reshape(-1, len(x))
                correct += (answers == labels).sum(1)
                cosine += torch.stack([similarity(*pair) for pair in zip(flow.features, flow.teacher, strict=True)])
        correct, cosine = processes.total(correct), processes.total(cosine)
        images = len(dataset.test_labels)
        rows = {f"mixed_accuracy/{name}": float(n) / images for name, n in zip(self.names, correct, strict=False)}
        return rows | {f"similarity/{name}": float(c) / images for name, c in zip(self.names, cosine, strict=True)}


def divergence(target: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(softmax(target / T) || softmax(logits / T)), mean over the batch (Hinton et al., 1503.02531)."""
    wanted, given = (functional.log_softmax(values / temperature, dim=1) for values in (target, logits))
    return temperature**2 * functional.kl_div(given, wanted, reduction="batchmean", log_target=True)


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum over images of the cosine between the images' features, float64; 0 where all are zero."""
    return functional.cosine_similarity(a.flatten(1).double(), b.flatten(1).double()).sum()


def _chain(stages: Sequence[nn.Module], x: Tensor) -> Iterator[Tensor]:
    """Yield the output of each stage, fed with that of the one before."""
    for stage in stages:
        x = stage(x)
        yield x

"""The optimizer and its parameter groups."""

from torch import nn
from torch.optim import SGD

from trainers.quantizers import Quantizer


def make_optimizer(
    model: nn.Module, momentum: float, weight_decay: float, *, nesterov: bool = False, fused: bool | None = None
) -> SGD:
    """Return SGD with momentum, one group per pair of relative learning rate and decay that the quantizers ask for.

    With `fused` it is one kernel per group, which takes no step where the optimizer's `found_inf` is 1.
    Parameters that are frozen (no gradient required) are left out.
    The groups' learning rates are set by `set_learning_rate` before each step.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for factor, decays, parameter in _choices(model):
        groups.setdefault((factor, weight_decay if decays else 0.0), []).append(parameter)
    settings = [
        {"params": parameters, "factor": factor, "weight_decay": decay, "lr": 0.0}
        for (factor, decay), parameters in groups.items()
    ]
    return SGD(settings, momentum=momentum, nesterov=nesterov, fused=fused)


def set_learning_rate(optimizer: SGD, lr: float) -> None:
    """Give each group its learning rate: `lr` times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


def _choices(model: nn.Module) -> list[tuple[float, bool, nn.Parameter]]:
    choices = []
    for module in model.modules():
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        factor, decays = (module.learning_rate, module.decays) if isinstance(module, Quantizer) else (1.0, True)
        choices += [(factor, decays, parameter) for parameter in own]
    return choices

"""Progressive training: a network learns few bits by way of more bits.

Each width is a run of its own with its own folder, record and resuming, and starts from the run before it: from its
weights and batch norm, and from what its quantizers learned where that still means the same at fewer bits. QIL (Jung et
al., arXiv:1808.05779, section 4) goes from float to 5, 4, 3 and 2 bits so, APoT (Li et al., arXiv:1909.13144) from
float to 4, 3 and 2.
"""

from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from trainers.config import TrainConfig
from trainers.layers import quant_layers
from trainers.model_file import load_model
from trainers.quantizers import Quantizer


def progressive_runs(config: TrainConfig) -> list[TrainConfig]:
    """Return the runs that lead to a progressive run, widest first, and the run itself at the end.

    The first starts where `config` says, each other one from the run before. Without `act_bits` activations narrow with
    the weights.

    Raises:
        ValueError: the method does not allow one of the widths.
    """
    runs: list[TrainConfig] = []
    for place, bits in enumerate((*config.progressive, config.bits)):
        init = runs[-1].run_id if runs else config.init
        runs.append(replace(config, bits=bits, progressive=config.progressive[:place], init=init))
    return runs


def load_previous(path: Path, config: TrainConfig) -> nn.Module:
    """Return the quantized network that a progressive run starts from.

    Raises:
        ValueError: it is not a quantized network, or not one of the width before this one.
    """
    model, wanted = load_model(path), config.progressive[-1]
    inner = list(quant_layers(model).values())[1:-1] or list(quant_layers(model).values())
    widths = {layer.weight_quantizer.bits for layer in inner}
    if widths != {wanted} and not config.overrides:
        found = ", ".join(str(bits) for bits in sorted(widths)) or "float"
        raise ValueError(f"the run at {config.bits} bits starts from one at {wanted}, but {path} holds {found} bits")
    return model


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of a quantized network without that of its quantizers: what the float network holds."""
    prefixes = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, Quantizer))
    return {name: value for name, value in model.state_dict().items() if not name.startswith(prefixes)}


def hand_over(previous: nn.Module, model: nn.Module) -> None:
    """Let the quantizers of a network continue from those of the same network at other bits, where they can."""
    before = {name: module for name, module in previous.named_modules() if isinstance(module, Quantizer)}
    for name, module in model.named_modules():
        if isinstance(module, Quantizer):
            old = before[name]
            if type(old) is not type(module) or old.signed != module.signed:
                continue
            if old.bits == module.bits:
                module.load_state_dict(old.state_dict())
            else:
                module.continue_from(old)

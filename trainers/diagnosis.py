"""Where a training run loses its way: the first value that is not finite."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def first_not_finite(model: nn.Module, x: Tensor) -> str | None:
    """Return what is NaN or infinite first when the network runs on `x`, None if nothing is.

    Layers are named in the order in which they run: a layer's own parameters come before its output.
    """
    found: list[str] = []
    handles = []
    for name, module in model.named_modules():

        def before(module: nn.Module, args: object, name: str = name) -> None:
            for own, parameter in module.named_parameters(recurse=False):
                if not bool(parameter.isfinite().all()):
                    found.append(f"parameter {own!r} of layer {name!r}")

        def after(module: nn.Module, args: object, out: object, name: str = name) -> None:
            if isinstance(out, Tensor) and not bool(out.isfinite().all()):
                found.append(f"the output of layer {name!r}")

        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    model(x)
    for handle in handles:
        handle.remove()
    return found[0] if found else None


def bad_state(model: nn.Module) -> str | None:
    """Return the name of the first parameter or buffer that holds NaN or infinity, None if none does."""
    for name, value in model.state_dict().items():
        if not bool(value.isfinite().all()):
            return name
    return None

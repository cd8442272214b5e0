"""Weights of public checkpoints: their names brought to ours, and what is said when they belong to another network."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainers.models import MODELS, make_model

WRAPPERS = ("module.", "_orig_mod.")  #: What DataParallel and torch.compile put before every name.
COUNTER = "num_batches_tracked"
Shape = tuple[int, ...]
SHOWN = 4  #: Names that an error lists of each kind.


def same(name: str) -> str:
    """Return the name as it is: akamaster's and torchvision's names are ours."""
    return name


def chenyaofo(name: str) -> str:
    """Return our name for one in chenyaofo/pytorch-cifar-models, whose shortcuts are option B."""
    return re.sub(r"^fc\.", "linear.", name).replace(".downsample.", ".shortcut.")


def pytorchcv(name: str) -> str:
    """Return our name for one of a CIFAR ResNet in pytorchcv (osmr/imgclsmob), whose shortcuts are option B."""
    name = re.sub(r"^output\.", "linear.", name)
    name = re.sub(r"^features\.init_block\.(conv|bn)\.", r"\g<1>1.", name)
    unit = re.match(r"features\.stage(\d+)\.unit(\d+)\.(.*)", name)
    if unit is None:
        return name
    rest = re.sub(r"^body\.conv(\d)\.(conv|bn)\.", r"\2\1.", unit[3])
    rest = rest.replace("identity_conv.conv.", "shortcut.0.").replace("identity_conv.bn.", "shortcut.1.")
    return f"layer{unit[1]}.{int(unit[2]) - 1}.{rest}"


#: Who names parameters in which way; the first that fits the model is taken.
NAMINGS: tuple[Callable[[str], str], ...] = (same, chenyaofo, pytorchcv)


def load_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict in any of the `NAMINGS`; batch norm's step counters may be missing.

    A tensor that is empty in the model, such as INQ's choice before its first round, takes its size from the state.

    Raises:
        ValueError: names or shapes are not those of the model. The message lists the first of them, and says which
            network of ours the state dict fits.
    """
    own = model.state_dict()
    named = fitting_names(shapes(own), state)
    there = shapes(named)
    wanted = fillable(shapes(own), there)
    if there != wanted:
        raise ValueError(f"the weights do not fit the model: {difference(wanted, there)}; {likely(state)}")
    counters = {name: value for name, value in own.items() if name.endswith(COUNTER)}
    with torch.no_grad():
        model.load_state_dict({**counters, **named})


def fitting_names(wanted: Mapping[str, object], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict in the naming that shares most names with those wanted, in that of its file at a tie."""
    plain = unwrapped(state)
    candidates = [{rename(name): value for name, value in plain.items()} for rename in NAMINGS]
    return max(candidates, key=lambda named: len(named.keys() & wanted.keys()))


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict without the prefixes that wrappers put before every name."""
    named = dict(state)
    while wrapper := next((w for w in WRAPPERS if named and all(name.startswith(w) for name in named)), None):
        named = {name.removeprefix(wrapper): value for name, value in named.items()}
    return named


def shapes(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Return name -> shape of all but batch norm's step counters."""
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith(COUNTER)}


def fillable(wanted: Mapping[str, Shape], there: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shapes wanted, with those that are there for tensors that are empty until something fills them."""
    return {name: there.get(name, shape) if shape == (0,) else shape for name, shape in wanted.items()}


def difference(wanted: Mapping[str, Shape], there: Mapping[str, Shape]) -> str:
    """Return the first names that are missing, unexpected or of another shape, as text."""
    shape = [
        f"{name} {there[name]} for {wanted[name]}" for name in wanted if there.get(name, wanted[name]) != wanted[name]
    ]
    kinds = {
        "missing": [name for name in wanted if name not in there],
        "unexpected": [name for name in there if name not in wanted],
        "of another shape": shape,
    }
    return "; ".join(f"{len(names)} {kind} ({listed(names)})" for kind, names in kinds.items() if names)


def listed(names: list[str]) -> str:
    """Return the first few names, separated by commas."""
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])


def likely(state: Mapping[str, Tensor]) -> str:
    """Return which of our networks a state dict fits, as text."""
    for name, options in variants():
        fitted = fit(name, options, state)
        if fitted is not None:
            arguments = ", ".join(f"{option}={value!r}" for option, value in fitted.items())
            flags = " ".join(f"--model-option {option}={value}" for option, value in fitted.items())
            return f"they are those of {name}" + (f" with {arguments} ({flags})" if arguments else "")
    return "no network of ours has such names and shapes"


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every network with the options that change its names."""
    for name, build in MODELS.items():
        yield name, {}
        if "shortcut" in inspect.signature(build).parameters:
            yield name, {"shortcut": "B"}


def fit(name: str, options: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Return the options with which a network has the names and shapes of a state dict, None if it cannot have them.

    Only options whose values are not the default are named.
    """
    usual = outline(name, options)
    there = shapes(fitting_names(usual, state))
    if there.keys() != usual.keys():
        return None
    found = dict(options)
    first, last = (key for key in (next(iter(usual)), [k for k in usual if k.endswith(".weight")][-1]))
    for option, key, axis in (("channels", first, 1), ("classes", last, 0)):
        if there[key] != usual[key] and len(there[key]) > axis:
            found[option] = there[key][axis]
    return found if outline(name, found) == there else None


def outline(name: str, options: Mapping[str, Any]) -> dict[str, Shape]:
    """Return name -> shape of a network's weights without making them."""
    with torch.device("meta"):
        return shapes(make_model(name, **options).state_dict())

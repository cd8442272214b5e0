"""Networks, one file each, by name."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from hwsim.errors import unknown_name
from trainers.models.alexnet import alexnet
from trainers.models.cifar_resnet import resnet20, resnet32, resnet44, resnet56
from trainers.models.digits_resnet import digits_resnet
from trainers.models.imagenet_resnet import resnet18, resnet34, resnet50
from trainers.models.mobilenetv2 import mobilenetv2
from trainers.models.vgg import vgg16
from trainers.models.vgg_small import vgg_small

__all__ = ["MODELS", "make_model"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "digits_resnet": digits_resnet,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet44": resnet44,
    "resnet56": resnet56,
    "vgg_small": vgg_small,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "mobilenetv2": mobilenetv2,
    "vgg16": vgg16,
    "alexnet": alexnet,
}


def make_model(name: str, **options: Any) -> nn.Module:
    """Return a freshly initialised network; `options` are the keyword arguments of its function.

    Raises:
        ValueError: the name or an option is unknown, or an option's value is not allowed.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    known = inspect.signature(MODELS[name]).parameters
    for option in options:
        if option not in known:
            raise unknown_name(f"option of model {name}", option, known)
    try:
        return MODELS[name](**options)
    except (TypeError, RuntimeError) as error:
        values = ", ".join(f"{option}={value!r}" for option, value in options.items())
        raise ValueError(f"model {name} cannot be made with {values}: {error}") from error

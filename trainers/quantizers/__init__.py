"""Quantization methods, one file each, by name."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

from hwsim.errors import unknown_name
from trainers.quantizers.apot import ApotQuantizer
from trainers.quantizers.asq import AsqQuantizer
from trainers.quantizers.base import ROLES, Quantizer
from trainers.quantizers.daq import DaqQuantizer
from trainers.quantizers.dorefa import DorefaQuantizer
from trainers.quantizers.dsq import DsqQuantizer
from trainers.quantizers.ewgs import EwgsQuantizer
from trainers.quantizers.faq import FaqQuantizer
from trainers.quantizers.inq import InqQuantizer
from trainers.quantizers.lq_nets import LqNetsQuantizer
from trainers.quantizers.lsq import LsqQuantizer
from trainers.quantizers.lsq_plus import LsqPlusQuantizer
from trainers.quantizers.nipq import NipqQuantizer
from trainers.quantizers.options import check_kind
from trainers.quantizers.pact import PactQuantizer
from trainers.quantizers.post import PostQuantizer
from trainers.quantizers.pot import PotQuantizer
from trainers.quantizers.qil import QilQuantizer
from trainers.quantizers.sawb import SawbQuantizer

__all__ = [
    "ALIASES",
    "QUANTIZERS",
    "ROLES",
    "Quantizer",
    "check_options",
    "find_method",
    "make_quantizer",
    "method_options",
]

QUANTIZERS: dict[str, type[Quantizer]] = {
    "lsq": LsqQuantizer,
    "lsq_plus": LsqPlusQuantizer,
    "dorefa": DorefaQuantizer,
    "pact": PactQuantizer,
    "sawb": SawbQuantizer,
    "dsq": DsqQuantizer,
    "faq": FaqQuantizer,
    "ewgs": EwgsQuantizer,
    "daq": DaqQuantizer,
    "pot": PotQuantizer,
    "post": PostQuantizer,
    "asq": AsqQuantizer,
    "qil": QilQuantizer,
    "inq": InqQuantizer,
    "apot": ApotQuantizer,
    "lq_nets": LqNetsQuantizer,
    "nipq": NipqQuantizer,
}

COMMON = ("role", "bits", "signed", "channels", "in_channels")  #: What the constructor of every method takes.

#: Names of formats that stand for the method that trains them.
ALIASES = {"uniform": "lsq"}


def find_method(name: str, role: str) -> type[Quantizer]:
    """Return the method `name` (or what it is an alias of) after checking that it serves `role`.

    Raises:
        ValueError: the name is unknown, or the method does not quantize weights (activations).
    """
    method = ALIASES.get(name, name)
    serving = [known for known, cls in QUANTIZERS.items() if role in cls.roles]
    if method not in QUANTIZERS:
        raise unknown_name(f"method for {role}", name, [*serving, *ALIASES])
    if method not in serving:
        raise ValueError(f"{name} does not quantize {role}; these methods do: {', '.join(serving)}")
    return QUANTIZERS[method]


def make_quantizer(
    name: str,
    role: str,
    bits: int,
    *,
    signed: bool = True,
    channels: int | None = None,
    in_channels: int | None = None,
    **options: Any,
) -> Quantizer:
    """Return a quantizer that still has to be initialised.

    `role` is "weights" or "activations"; `channels` asks for one scale per output channel, where the method has
    such; `in_channels` are those of the activations, for methods that depend on them; `options` are the method's own.

    Raises:
        ValueError: the method does not serve the role, or does not allow the bits, the sign or an option.
    """
    check_options(name, role, options)
    method = find_method(name, role)
    build: Any = method
    channels = channels if method.has_channel_scales else None
    if method.takes_in_channels:
        options["in_channels"] = in_channels
    quantizer: Quantizer = build(role, bits, signed=signed, channels=channels, **options)
    quantizer.format.min_level, quantizer.format.max_level  # noqa: B018  # cached: torch.compile must find numbers
    return quantizer


def check_options(name: str, role: str, options: Mapping[str, object]) -> None:
    """Check that these are options of the method and of the kind that it takes; it checks their values itself.

    Raises:
        ValueError: the method does not serve the role, has no such option, or the option takes another kind of value.
    """
    method = find_method(name, role)
    known = method_options(method)
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has {', '.join(known) or 'none'}")
        check_kind(f"{option} of {name}", value, signature(method).parameters[option].annotation)


def method_options(method: type[Quantizer]) -> list[str]:
    """Return the names of a method's own options."""
    return [name for name in signature(method).parameters if name not in COMMON]

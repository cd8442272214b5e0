"""How a network is quantized: methods, bits and what single layers have instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from hwsim.errors import check_flag, check_integer, naming, unknown_name
from trainers.quantizers import Quantizer, check_options, find_method, make_quantizer


@dataclass(frozen=True)
class QuantizationConfig:
    """How a network is quantized.

    Raises:
        ValueError: a method is unknown or does not serve its role, the method does not define the bits, a value
            is of the wrong kind, or an override changes no known field or gives one such a value.
    """

    weights: str = "uniform"  #: Method for weights: uniform (LSQ), pot, post, or a method's own name.
    activations: str = "lsq"  #: Method for activations.
    bits: int = 4  #: Bits of a weight.
    act_bits: int | None = None  #: Bits of an activation; None: as many as a weight has.
    first_last_bits: int | None = 8  #: Bits of the first and the last layer, uniform there; None: as the others.
    per_channel: bool = True  #: One weight scale per output channel rather than per layer, if the method has such.
    exponents: int | None = None  #: How many magnitudes a power-of-two format uses; None: all that fit its code.
    extended: bool = False  #: The released code's level set of POT and POST, which takes one more bit.
    weight_options: Mapping[str, Any] = field(default_factory=dict)  #: Further options of the weights' method.
    activation_options: Mapping[str, Any] = field(default_factory=dict)  #: Options of the activations' method.
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields to change for layers whose name matches a pattern, such as `{"layer3.*": {"bits": 8}}`; they come last.

    Whether the fields suit each other is known for a layer only, from all patterns that it matches: `swap_layers` says.
    """

    def __post_init__(self) -> None:
        for name, check in FIELD_CHECKS.items():
            check(name, getattr(self, name))
        check_options(self.weights, "weights", self.weight_options)
        check_options(self.activations, "activations", self.activation_options)
        self.make_weights()
        with naming(f"act_bits is {'not given, so ' if self.act_bits is None else ''}{self.activation_bits}"):
            self.make_activations()
        for pattern, changes in self.overrides.items():
            with naming(f"override {pattern!r}"):
                check_override(changes)

    @property
    def activation_bits(self) -> int:
        """Bits of an activation."""
        return self.bits if self.act_bits is None else self.act_bits

    def make_weights(self, channels: int | None = None) -> Quantizer:
        """Return a quantizer for weights, with one scale per channel if asked for."""
        named: dict[str, Any] = {"exponents": self.exponents, "extended": self.extended}
        chosen = {name: value for name, value in named.items() if value is not None and value is not False}
        for name in chosen.keys() & self.weight_options.keys():
            raise ValueError(f"{name} is given twice, for itself and in weight_options")
        return make_quantizer(self.weights, "weights", self.bits, channels=channels, **chosen, **self.weight_options)

    def make_activations(self, signed: bool = False, in_channels: int = 1) -> Quantizer:
        """Return a quantizer for activations of a layer with so many input channels."""
        bits, options = self.activation_bits, self.activation_options
        named: dict[str, Any] = {"signed": signed, "in_channels": in_channels}
        return make_quantizer(self.activations, "activations", bits, **named, **options)

    def for_layer(self, name: str, is_outer: bool) -> "QuantizationConfig":
        """Return the configuration of one layer; `is_outer` says that it is the network's first or last."""
        layer = replace(self, overrides={})
        if is_outer and self.first_last_bits is not None:
            bits = self.first_last_bits
            layer = QuantizationConfig(bits=bits, per_channel=self.per_channel)
        for pattern, changes in self.overrides.items():
            if fnmatchcase(name, pattern):
                layer = replace(layer, **changes)
        return layer


def _check_bits(name: str, value: object) -> None:
    check_integer(name, value, 1, 8)


def _check_optional_bits(name: str, value: object) -> None:
    if value is not None:
        _check_bits(name, value)


def _check_outer_bits(name: str, value: object) -> None:
    if value is not None:
        check_integer(name, value, 2, 8, " (the first and the last layer are uniform)")


def _check_exponents(name: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"{name} must be an integer, got {value!r}")  # the format knows how many fit the bits


def _check_method(name: str, value: object) -> None:
    find_method(str(value), name)


def _check_mapping(name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must give values by name, such as {{'bits': 3}}, got {value!r}")


#: What each field of a configuration must be, whatever the others are.
FIELD_CHECKS: dict[str, Callable[[str, object], None]] = {
    "weights": _check_method,
    "activations": _check_method,
    "bits": _check_bits,
    "act_bits": _check_optional_bits,
    "first_last_bits": _check_outer_bits,
    "per_channel": check_flag,
    "exponents": _check_exponents,
    "extended": check_flag,
    "weight_options": _check_mapping,
    "activation_options": _check_mapping,
    "overrides": _check_mapping,
}


def check_override(changes: object) -> None:
    """Check the fields that one pattern changes, each for itself.

    Raises:
        ValueError: a field is unknown or cannot be overridden, or its value is not allowed.
    """
    _check_mapping("changes", changes)
    assert isinstance(changes, Mapping)
    known = set(FIELD_CHECKS) - {"overrides", "first_last_bits"}
    for name, value in changes.items():
        if name not in known:
            raise unknown_name("field to override", name, sorted(known))
        FIELD_CHECKS[name](name, value)

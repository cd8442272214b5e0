"""Number formats: what a code means. One family per file."""

from typing import Any

from hwsim.errors import unknown_name
from hwsim.formats.apot import Apot
from hwsim.formats.codebook import Codebook
from hwsim.formats.format import Format
from hwsim.formats.integer_format import IntegerFormat
from hwsim.formats.offset import Offset
from hwsim.formats.post import PowerOfSqrtTwo
from hwsim.formats.pot import PowerOfTwo
from hwsim.formats.uniform import Uniform

__all__ = [
    "FORMATS",
    "Apot",
    "Codebook",
    "Format",
    "IntegerFormat",
    "Offset",
    "PowerOfSqrtTwo",
    "PowerOfTwo",
    "Uniform",
    "format_from_dict",
    "make_format",
]

FORMATS: dict[str, type[Format]] = {
    "uniform": Uniform,
    "offset": Offset,
    "pot": PowerOfTwo,
    "post": PowerOfSqrtTwo,
    "apot": Apot,
    "codebook": Codebook,
}


def make_format(name: str, bits: int, **options: Any) -> Format:
    """Return the format of that family, e.g. `make_format("pot", 4, exponents=5)`.

    Raises:
        ValueError: the family is unknown, or the family refuses the bits or an option.
    """
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    known = FORMATS[name].__dataclass_fields__
    for option in options:
        if option not in known:
            raise unknown_name(f"option of format {name}", option, known)
    return FORMATS[name](bits, **options)


def format_from_dict(values: dict[str, Any]) -> Format:
    """Return the format that `Format.to_dict` described.

    Raises:
        ValueError: a name, a field or a value is unknown or missing.
    """
    options = dict(values)
    try:
        return make_format(options.pop("name"), options.pop("bits"), **options)
    except KeyError as error:
        raise ValueError(f"a format needs {error.args[0]!r}, got {values}") from error

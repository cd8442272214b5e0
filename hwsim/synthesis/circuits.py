"""The circuits whose gates are measured and shipped as a table: every kind of multiplier at every width."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from json import dumps

from hwsim.accumulator import Accumulator, exact_bits
from hwsim.errors import check_integer, unknown_name
from hwsim.formats import Apot, Codebook, Uniform
from hwsim.multipliers import Multiplier, multiplier_for
from hwsim.multipliers.examples import example
from hwsim.synthesis.exponents import power_multiplier

TERMS = 4608  #: Products that an accumulator of the table sums exactly: 512 channels of 3 x 3, ResNet's longest sum.
LARGEST_EXPONENTS = 15  #: Magnitudes of POT and POST where the code could name more: those of a 5-bit code.
#: Layouts of POST's table and the fraction bits that the shipped table has of each. `literal` stores every product.
LAYOUTS = {"shared": (0, 2, 4, 6), "full": (2, 6), "literal": (2,)}
WIDTHS = range(2, 9)
LARGEST_LITERAL = 5  #: Widest operands of tables that are stored product by product: 2^10 words.
#: Style of the multiplier's circuit where it is not the first of its kind: by kind, or by layout of POST's table.
STYLES = {"booth": "booth", "inferred": "inferred", "literal": "rom"}
WITH_EXPONENTS = ("pot", "post")
UNITS_OF_HARDWARE = ("multiplier", "pe")

Maker = Callable[["Circuit"], Multiplier]


@dataclass(frozen=True)
class Circuit:
    """One circuit of the table: a multiplier of unsigned activations, alone or in a processing element.

    kind: a name of `KINDS`. fraction_bits and layout belong to `post`, which has both: `literal` stores every product,
    signs included, as one table. exponents: of `pot` and `post`, None for all of the code, but at most 15. unit:
    `multiplier`, or `pe`, whose accumulator always holds a sum of 4608 products.

    Raises:
        ValueError: an unknown kind, unit or layout, options of another kind, or a width outside 2..8.
    """

    kind: str
    bits: int
    act_bits: int
    unit: str = "multiplier"
    fraction_bits: int | None = None
    layout: str | None = None
    exponents: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("kind of circuit", self.kind, KINDS)
        if self.unit not in UNITS_OF_HARDWARE:
            raise unknown_name("unit", self.unit, UNITS_OF_HARDWARE)
        if (self.kind == "post") != (self.layout is not None) or (self.layout is None) != (self.fraction_bits is None):
            raise ValueError(f"post has a layout and fraction_bits, other kinds have none; got {self.kind} with "
                             f"layout={self.layout} and fraction_bits={self.fraction_bits}")  # fmt: skip
        if self.layout is not None and self.layout not in LAYOUTS:
            raise unknown_name("table layout", self.layout, LAYOUTS)
        for what, width in (("bits", self.bits), ("act_bits", self.act_bits)):
            check_integer(what, width, 2, 8, " for a circuit")
        if self.exponents is not None:
            self._check_exponents(self.exponents)

    def _check_exponents(self, exponents: int) -> None:
        """Refuse exponents of other kinds; leave out those that are meant anyway, so that equal circuits are equal."""
        if self.kind not in WITH_EXPONENTS:
            raise ValueError(f"pot and post have exponents, other kinds have none; got {self.kind} with {exponents=}")
        capacity = _capacity(self)
        check_integer("exponents", exponents, 1, capacity, f" for {self.bits}-bit {self.kind}")
        if exponents == min(capacity, LARGEST_EXPONENTS):
            object.__setattr__(self, "exponents", None)

    @cached_property
    def multiplier(self) -> Multiplier:
        """The multiplier as the simulator computes it."""
        return KINDS[self.kind](self)

    @property
    def used_exponents(self) -> int | None:
        """Magnitudes of POT and POST weights, None of the others."""
        return getattr(self.multiplier.weight, "magnitudes", None)

    @property
    def accumulator_bits(self) -> int | None:
        """Width of the accumulator, None for a bare multiplier."""
        return exact_bits(self.multiplier, TERMS) if self.unit == "pe" else None

    @property
    def accumulator(self) -> Accumulator | None:
        """What sums the products, None for a bare multiplier."""
        return Accumulator(self.accumulator_bits) if self.accumulator_bits else None

    @property
    def style(self) -> str | None:
        """Style of the multiplier's circuit, None for the first of its kind."""
        return STYLES.get(self.layout or self.kind)

    @property
    def name(self) -> str:
        """The circuit in a few words, such as `post4a4 pe, k=2, shared`."""
        options = [f"{self.exponents} exponents" if self.exponents is not None else ""]
        options += [f"k={self.fraction_bits}" if self.fraction_bits is not None else "", self.layout or ""]
        return ", ".join(filter(None, (f"{self.kind}{self.bits}a{self.act_bits} {self.unit}", *options)))


def multiplier_id(multiplier: Multiplier) -> str:
    """Return what stands for a multiplier in the shipped table: 12 hexadecimal digits of a hash of all its fields."""
    return sha256(dumps(multiplier.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


def all_circuits() -> Iterator[Circuit]:
    """Yield the circuits of the shipped table: all kinds at 2 to 8 bits, weights and activations of one width."""
    for bits in WIDTHS:
        for unit in UNITS_OF_HARDWARE:
            for kind in KINDS:
                yield from _variants(kind, bits, unit)


def _variants(kind: str, bits: int, unit: str) -> Iterator[Circuit]:
    stored = bits <= LARGEST_LITERAL
    if kind == "post":
        for layout, fraction_bits in LAYOUTS.items():
            if stored or layout != "literal":
                yield from (Circuit(kind, bits, bits, unit, k, layout) for k in fraction_bits)
    elif kind != "mitchell" or stored:
        yield Circuit(kind, bits, bits, unit)


def _uniform(circuit: Circuit) -> Multiplier:
    return multiplier_for(Uniform(circuit.bits), _activation(circuit))


def _pot(circuit: Circuit) -> Multiplier:
    return _power(circuit, "shared")


def _post(circuit: Circuit) -> Multiplier:
    return _power(circuit, "shared" if circuit.layout == "shared" else "full")  # literal: products of full, stored


def _power(circuit: Circuit, layout: str) -> Multiplier:
    terms, table = TERMS if circuit.unit == "pe" else 1, (circuit.fraction_bits or 0, layout)
    return power_multiplier(circuit.kind, circuit.bits, _exponents(circuit), _activation(circuit), table, terms)


def _apot(circuit: Circuit) -> Multiplier:
    return multiplier_for(Apot(circuit.bits), _activation(circuit))


def _codebook(circuit: Circuit) -> Multiplier:
    """Return the multiplier of the odd integers, a codebook without zero."""
    levels = tuple(range(1 - 2**circuit.bits, 2**circuit.bits, 2))
    return multiplier_for(Codebook(circuit.bits, levels), _activation(circuit))


def _mitchell(circuit: Circuit) -> Multiplier:
    return example("mitchell", Uniform(circuit.bits), _activation(circuit))


def _activation(circuit: Circuit) -> Uniform:
    return Uniform(circuit.act_bits, signed=False)


def _exponents(circuit: Circuit) -> int | None:
    if circuit.exponents is not None:
        return circuit.exponents
    return LARGEST_EXPONENTS if _capacity(circuit) > LARGEST_EXPONENTS else None


def _capacity(circuit: Circuit) -> int:
    """Return how many magnitudes the code of POT or POST can name."""
    return (1 << (circuit.bits - 1)) - 1


#: Kind -> its multiplier. `booth` is the array multiplier with radix-4 recoding, `inferred` the operator of
#: multiplication, whose gates synthesis chooses: the same products as `uniform` from other gates.
KINDS: Mapping[str, Maker] = {
    "uniform": _uniform,
    "booth": _uniform,
    "inferred": _uniform,
    "pot": _pot,
    "post": _post,
    "apot": _apot,
    "codebook": _codebook,
    "mitchell": _mitchell,
}

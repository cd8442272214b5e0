"""POT and POST multipliers for given operands, refused with the exponents that fit if products or sums are too wide."""

from hwsim.accumulator import MAX_BITS, exact_bits
from hwsim.formats import IntegerFormat, make_format
from hwsim.formats.signed_exponent import SignedExponent
from hwsim.multipliers import Multiplier, multiplier_for


def power_multiplier(
    kind: str, bits: int, exponents: int | None, activation: IntegerFormat, table: tuple[int, str], terms: int = 1
) -> Multiplier:
    """Return the multiplier of `pot` or `post` weights, the sum of so many of whose products fits 63 bits.

    exponents: None for all that the code can name. table: fraction bits and layout of POST's.

    Raises:
        ValueError: a sum does not fit (the message says how many exponents do), or an option is not in order.
    """

    def made(count: int | None) -> Multiplier:
        return multiplier_for(make_format(kind, bits, exponents=count), activation, *table)

    def fits(count: int | None) -> bool:
        try:
            return exact_bits(made(count), terms) <= MAX_BITS
        except ValueError:
            return False

    if fits(exponents):
        return made(exponents)
    smallest = make_format(kind, bits, exponents=1)
    assert isinstance(smallest, SignedExponent)
    wanted = smallest.field_capacity if exponents is None else exponents
    most = next((count for count in range(min(wanted, smallest.field_capacity), 0, -1) if fits(count)), None)
    if most is None or wanted > smallest.field_capacity:
        return made(exponents)  # says what else is not in order
    half_octaves = (wanted - 1) * smallest.half_octaves_per_step
    needed = activation.code_bits + (table[0] if kind == "post" else 0) + (half_octaves + 1) // 2
    summed = f", too wide for sums of {terms} in {MAX_BITS} bits" if terms > 1 else f", more than {MAX_BITS} in all"
    raise ValueError(
        f"{bits}-bit {kind} with {wanted} exponents makes products of {needed} bits and a sign with "
        f"{activation.code_bits}-bit activations{summed}; at most exponents={most} fit"
    )

"""What a circuit of `hwsim rtl` is made from: a kind of weights and its options, or a layer of a trained network."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hwsim.multipliers import Multiplier
    from hwsim.rtl.units import Choices

#: Options of `hwsim rtl emit` that a network's layer decides.
DECIDED_BY_LAYER = (
    *("bits", "act_bits", "exponents", "fraction_bits", "layout", "signed_activations"),
    *("accumulator_bits", "overflow", "datapath_bits", "frac_bits"),
)
KINDS = ("uniform", "pot", "post", "apot", "codebook")


def multiplier_of(
    kind: str, widths: tuple[int, int | None], exponents: int | None, table: tuple[int, str], signed: bool
) -> "Multiplier":
    """Return the multiplier of a kind at (weight, activation) bits; a table in a file has its own."""
    from hwsim.errors import unknown_name
    from hwsim.formats import Apot, Codebook, Uniform, make_format
    from hwsim.multipliers import multiplier_for
    from hwsim.multipliers.custom_files import SHIPPED, file_widths, is_for_any_width, named_table
    from hwsim.multipliers.examples import EXAMPLES

    bits, act_bits = widths[0], widths[0] if widths[1] is None else widths[1]
    activation = Uniform(act_bits, signed)
    match kind:
        case "uniform":
            return multiplier_for(Uniform(bits), activation)
        case "pot" | "post":
            return multiplier_for(make_format(kind, bits, exponents=exponents), activation, *table)
        case "apot":
            return multiplier_for(Apot(bits), activation)
        case "codebook":
            return multiplier_for(Codebook(bits, tuple(range(1 - 2**bits, 2**bits, 2))), activation)
    if kind.isidentifier() and kind not in EXAMPLES and not (SHIPPED / f"{kind}.npy").is_file():
        raise unknown_name("multiplier", kind, [*KINDS, *EXAMPLES])
    if not is_for_any_width(kind):
        bits, act_bits = file_widths(kind)
    return named_table(kind, Uniform(bits), Uniform(act_bits, signed))


def is_network(kind: str) -> bool:
    """Say whether the argument is a network's file."""
    return Path(kind).suffix == ".safetensors"


def layer_choices_of(ctx: typer.Context, kind: str, layer: str | None) -> "Choices":
    """Return what a network's layer decides; options that would say otherwise are refused."""
    from hwsim.network_file import load_network
    from hwsim.rtl.from_network import layer_choices

    if layer is None:
        raise ValueError(f"{kind} is a network: name the layer whose circuits to write by --layer")
    if not is_network(kind):
        raise ValueError(f"--layer is for a network's .safetensors file, got {kind!r}")
    for option in DECIDED_BY_LAYER:
        if is_given(ctx, option):
            raise ValueError(f"the network's layer decides --{option.replace('_', '-')}: leave it out")
    return layer_choices(load_network(Path(kind)), layer)


def is_given(ctx: typer.Context, option: str) -> bool:
    """Say whether the option is on the command line."""
    return str(ctx.get_parameter_source(option)).endswith("COMMANDLINE")

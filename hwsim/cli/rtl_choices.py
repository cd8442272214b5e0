"""What a circuit of `hwsim rtl` is made from: a kind of weights and its options, or a layer of a trained network."""

from collections.abc import Sequence
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
#: Of them, those of `hwsim rtl verify`.
OF_WEIGHTS = DECIDED_BY_LAYER[:6]
#: Options of `hwsim rtl verify` that only a network's layer has.
OF_LAYERS = ("rows", "columns", "dataflow", "simulator", "images", "count", "positions", "data_dir")
#: Options that only these kinds of weights have.
OF_KINDS = {"exponents": ("pot", "post"), "fraction_bits": ("post",), "layout": ("post",)}
KINDS = ("uniform", "pot", "post", "apot", "codebook")


def multiplier_of(
    kind: str,
    widths: tuple[int, int | None],
    exponents: int | None,
    table: tuple[int, str],
    signed: bool,
    terms: int = 1,
) -> "Multiplier":
    """Return the multiplier of a kind at (weight, activation) bits; a table in a file has its own.

    terms: products whose sum an accumulator must hold.
    """
    from hwsim.formats import Apot, Codebook, Uniform
    from hwsim.multipliers import multiplier_for
    from hwsim.multipliers.custom_files import file_widths, named_table
    from hwsim.synthesis.exponents import power_multiplier

    bits, act_bits = widths[0], widths[0] if widths[1] is None else widths[1]
    activation = Uniform(act_bits, signed)
    match kind:
        case "uniform":
            return multiplier_for(Uniform(bits), activation)
        case "pot" | "post":
            return power_multiplier(kind, bits, exponents, activation, table, terms)
        case "apot":
            return multiplier_for(Apot(bits), activation)
        case "codebook":
            return multiplier_for(Codebook(bits, tuple(range(1 - 2**bits, 2**bits, 2))), activation)
    if has_own_widths(kind):
        bits, act_bits = file_widths(kind)
    return named_table(kind, Uniform(bits), Uniform(act_bits, signed))


def has_own_widths(kind: str) -> bool:
    """Say whether the weights are a table whose size says how wide its operands are.

    Raises:
        ValueError: no kind, no example and no table has this name.
    """
    from hwsim.errors import unknown_name
    from hwsim.multipliers.custom_files import SHIPPED, is_for_any_width
    from hwsim.multipliers.examples import EXAMPLES

    if kind in KINDS:
        return False
    if kind.isidentifier() and kind not in EXAMPLES and not (SHIPPED / f"{kind}.npy").is_file():
        raise unknown_name("multiplier", kind, [*KINDS, *EXAMPLES])
    return not is_for_any_width(kind)


def is_network(kind: str) -> bool:
    """Say whether the argument is a network's file."""
    return Path(kind).suffix == ".safetensors"


def layer_choices_of(ctx: typer.Context, kind: str, layer: str | None) -> "Choices":
    """Return what a network's layer decides; options that would say otherwise are refused."""
    from hwsim.network_file import load_network
    from hwsim.rtl.from_network import layer_choices

    if layer is None:
        raise ValueError(f"{kind} is a network: name the layer whose circuits to write by --layer")
    check_layer_options(ctx, kind, DECIDED_BY_LAYER)
    return layer_choices(load_network(Path(kind)), layer)


def check_layer_options(ctx: typer.Context, kind: str, decided: Sequence[str]) -> None:
    """Refuse --layer without a network, and options that the layer decides."""
    if not is_network(kind):
        raise ValueError(f"--layer is for a network's .safetensors file, got {kind!r}")
    _refuse(ctx, decided, "the network's layer decides {}: leave it out")


def check_kind_options(ctx: typer.Context, kind: str) -> None:
    """Refuse options of other kinds, and widths of a table whose file decides them."""
    for option, kinds in OF_KINDS.items():
        if kind not in kinds:
            _refuse(ctx, [option], f"{{}} is for {' and '.join(kinds)}, got {kind}: leave it out")
    if has_own_widths(kind):
        _refuse(ctx, ["bits", "act_bits"], f"the file {kind} decides {{}}: leave it out")


def check_no_layer_options(ctx: typer.Context) -> None:
    """Refuse options that only a network's layer has."""
    _refuse(ctx, OF_LAYERS, "{} is for a network's layer: name its file and --layer, or leave it out")


def _refuse(ctx: typer.Context, options: Sequence[str], message: str) -> None:
    for option in options:
        if is_given(ctx, option):
            raise ValueError(message.format(f"--{option.replace('_', '-')}"))


def is_given(ctx: typer.Context, option: str) -> bool:
    """Say whether the option is on the command line."""
    return str(ctx.get_parameter_source(option)).endswith("COMMANDLINE")

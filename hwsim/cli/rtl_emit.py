"""`hwsim rtl emit`: circuits as Verilog."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.completion import matching
from hwsim.cli.dataclass_options import takes
from hwsim.cli.rtl_choices import KINDS, check_kind_options, is_given, is_network, layer_choices_of, multiplier_of
from hwsim.cli.rtl_options import (
    ActBitsOption,
    ColumnsOption,
    DataflowOption,
    ExponentsOption,
    FractionBitsOption,
    LayoutOption,
    RowsOption,
    SignedOption,
)
from hwsim.cli.verbosity import OPTIONS

if TYPE_CHECKING:
    from hwsim.rtl.units import Choices

KindArgument = Annotated[
    str,
    typer.Argument(
        help="Weights: uniform, pot, post, apot, codebook; a product table, as `hwsim multipliers` has; or a trained "
        "network's file, with --layer.",
        metavar="KIND|FILE",
        autocompletion=lambda incomplete: matching(KINDS, incomplete),
    ),
]


@dataclass(frozen=True)
class EmitOptions:
    """What the user gave."""

    ctx: typer.Context
    kind: KindArgument
    bits: Annotated[int, typer.Option(help="Weight bits.")] = 4
    act_bits: ActBitsOption = None
    exponents: ExponentsOption = None
    fraction_bits: FractionBitsOption = 6
    layout: LayoutOption = "shared"
    signed_activations: SignedOption = False
    style: Annotated[
        str | None, typer.Option(help="Of the multiplier: plain, booth, inferred or rom (default: its kind's first).")
    ] = None
    unit: Annotated[
        str,
        typer.Option(
            help="multiplier, pe, dot, array, requantizer, quantizer, thresholds, reciprocal, beta_product; of a "
            "network's layer also adapter (ASQ's)."
        ),
    ] = "multiplier"
    layer: Annotated[str | None, typer.Option(help="Of a network: this layer's circuits.")] = None
    accumulator_bits: Annotated[
        int | None, typer.Option(help="Of pe, array and requantizer (default: for any sum of 4608 products).")
    ] = None
    overflow: Annotated[str, typer.Option(help="Of pe and array: wrap, saturate, or error (none happens).")] = "error"
    terms: Annotated[int, typer.Option(help="Products of dot.")] = 16
    rows: RowsOption = 4
    columns: ColumnsOption = 4
    dataflow: DataflowOption = "os"
    datapath_bits: Annotated[int, typer.Option(help="Width of fixed point between layers.")] = 32
    frac_bits: Annotated[int, typer.Option(help="Fraction bits of fixed point, for thresholds.")] = 8
    rounding: Annotated[str, typer.Option(help="half_up, half_even, floor or toward_zero.")] = "half_up"
    name: Annotated[str | None, typer.Option(help="Name of the module (default: from kind, bits and unit).")] = None
    out: Annotated[Path | None, typer.Option(help="File to write (default: stdout).", metavar="FILE")] = None


@takes(EmitOptions)
def emit(options: EmitOptions) -> None:
    """Write a circuit as Verilog, with a header that says what it computes.

    Example: hwsim rtl emit post --bits 4 --act-bits 4 --fraction-bits 2 --unit pe
    """
    from hwsim.files import atomic_write
    from hwsim.rtl.units import make_unit
    from hwsim.rtl.verilog import verilog

    choices = replace(
        _choices(options),
        style=options.style,
        terms=options.terms,
        rounding=options.rounding,
        array=(options.rows, options.columns, options.dataflow),
    )
    module = checked_name(options.name or _module_name(options, choices))
    text = verilog(make_unit(options.unit, choices), module, f"command: {_command(options.ctx)}")
    if options.out is None:
        typer.echo(text, nl=False)
        return
    with atomic_write(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _choices(options: EmitOptions) -> "Choices":
    """Return what the circuit is made from: what a network's layer decides, or the kind and its options."""
    from hwsim.accumulator import Accumulator, exact_bits
    from hwsim.rtl.processing_element import LONGEST_SUM
    from hwsim.rtl.units import WITH_ACCUMULATOR, Choices

    kind, width = options.kind, options.accumulator_bits
    if options.layer is not None or is_network(kind):
        return layer_choices_of(options.ctx, kind, options.layer)
    check_kind_options(options.ctx, kind)
    summed = LONGEST_SUM if options.unit in WITH_ACCUMULATOR and width is None else 1
    widths, table = (options.bits, options.act_bits), (options.fraction_bits, options.layout)
    multiplier = multiplier_of(kind, widths, options.exponents, table, options.signed_activations, summed)
    accumulator = Accumulator(exact_bits(multiplier, summed) if width is None else width, options.overflow)
    return Choices(multiplier, accumulator, datapath_bits=options.datapath_bits, frac_bits=options.frac_bits)


def _module_name(options: EmitOptions, choices: "Choices") -> str:
    widths = f"{choices.multiplier.weight.bits}a{choices.multiplier.activation.bits}"
    source = options.layer.replace(".", "_") if options.layer else Path(options.kind).stem + widths
    return f"{source}_{options.unit}"


def checked_name(name: str) -> str:
    """Return the name of a module.

    Raises:
        ValueError: it is no identifier of letters, digits and underscores.
    """
    if not (name.isascii() and name.isidentifier()):
        raise ValueError(f"a module's name has letters, digits and underscores, got {name!r}; choose one by --name")
    return name


def _command(ctx: typer.Context) -> str:
    """Return the command line without what only says where the text goes."""
    words = ["hwsim", "rtl", "emit", str(ctx.params["kind"])]
    for parameter in ctx.command.params:
        if parameter.name not in (None, "kind", "out", *OPTIONS) and is_given(ctx, parameter.name):
            value = ctx.params[parameter.name or ""]
            words += [parameter.opts[0]] if value is True else [parameter.opts[0], str(value)]
    return shlex.join(words)

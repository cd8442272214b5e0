"""`hwsim rtl emit` and `hwsim rtl verify`: circuits as Verilog, and the proof that they are the simulator's."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.completion import matching
from hwsim.cli.options import BitsOption, DryRunOption, FormatOption, Output, parse_bits
from hwsim.cli.progress import progress
from hwsim.cli.rtl_choices import (
    KINDS,
    OF_WEIGHTS,
    check_kind_options,
    check_layer_options,
    check_no_layer_options,
    has_own_widths,
    is_given,
    is_network,
    layer_choices_of,
    multiplier_of,
)
from hwsim.cli.rtl_layer import LayerOptions, check_layer
from hwsim.cli.verbosity import OPTIONS
from hwsim.errors import CheckFailedError

if TYPE_CHECKING:
    from hwsim.multipliers import Multiplier
    from hwsim.output import Row

KindArgument = Annotated[
    str,
    typer.Argument(
        help="Weights: uniform, pot, post, apot, codebook; a product table, as `hwsim multipliers` has; or a trained "
        "network's file, with --layer.",
        metavar="KIND|FILE",
        autocompletion=lambda incomplete: matching(KINDS, incomplete),
    ),
]
ActBitsOption = Annotated[int | None, typer.Option(help="Activation bits (default: as many as the weight has).")]
ExponentsOption = Annotated[int | None, typer.Option(help="Magnitudes of pot and post (default: all of the code).")]
FractionBitsOption = Annotated[int, typer.Option(help="Fraction bits of post's table.")]
LayoutOption = Annotated[str, typer.Option(help="Layout of post's table: shared or full.")]
RowsOption = Annotated[int, typer.Option(help="Of the systolic array.")]
ColumnsOption = Annotated[int, typer.Option(help="Of the systolic array.")]
DataflowOption = Annotated[str, typer.Option(help="What stays in the array: os (outputs) or ws (weights).")]
SignedOption = Annotated[bool, typer.Option("--signed-activations", help="Two's complement, not unsigned.")]


def emit(
    ctx: typer.Context,
    kind: KindArgument,
    bits: Annotated[int, typer.Option(help="Weight bits.")] = 4,
    act_bits: ActBitsOption = None,
    exponents: ExponentsOption = None,
    fraction_bits: FractionBitsOption = 6,
    layout: LayoutOption = "shared",
    signed_activations: SignedOption = False,
    style: Annotated[
        str | None, typer.Option(help="Of the multiplier: plain, booth, inferred or rom (default: its kind's first).")
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            help="multiplier, pe, dot, array, requantizer, quantizer, thresholds, reciprocal, beta_product; of a "
            "network's layer also adapter (ASQ's)."
        ),
    ] = "multiplier",
    layer: Annotated[str | None, typer.Option(help="Of a network: this layer's circuits.")] = None,
    accumulator_bits: Annotated[
        int | None, typer.Option(help="Of pe, array and requantizer (default: for any sum of 4608 products).")
    ] = None,
    overflow: Annotated[str, typer.Option(help="Of pe and array: wrap, saturate, or error (none happens).")] = "error",
    terms: Annotated[int, typer.Option(help="Products of dot.")] = 16,
    rows: RowsOption = 4,
    columns: ColumnsOption = 4,
    dataflow: DataflowOption = "os",
    datapath_bits: Annotated[int, typer.Option(help="Width of fixed point between layers.")] = 32,
    frac_bits: Annotated[int, typer.Option(help="Fraction bits of fixed point, for thresholds.")] = 8,
    rounding: Annotated[str, typer.Option(help="half_up, half_even, floor or toward_zero.")] = "half_up",
    name: Annotated[str | None, typer.Option(help="Name of the module (default: from kind, bits and unit).")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write (default: stdout).", metavar="FILE")] = None,
) -> None:
    """Write a circuit as Verilog, with a header that says what it computes.

    Example: hwsim rtl emit post --bits 4 --act-bits 4 --fraction-bits 2 --unit pe
    """
    from dataclasses import replace

    from hwsim.accumulator import Accumulator, exact_bits
    from hwsim.files import atomic_write
    from hwsim.rtl.processing_element import LONGEST_SUM
    from hwsim.rtl.units import WITH_ACCUMULATOR, Choices, make_unit
    from hwsim.rtl.verilog import verilog

    if layer is not None or is_network(kind):
        choices = layer_choices_of(ctx, kind, layer)
    else:
        check_kind_options(ctx, kind)
        terms = LONGEST_SUM if unit in WITH_ACCUMULATOR and accumulator_bits is None else 1
        table = fraction_bits, layout
        multiplier = multiplier_of(kind, (bits, act_bits), exponents, table, signed_activations, terms)
        width = exact_bits(multiplier, terms) if accumulator_bits is None else accumulator_bits
        choices = Choices(multiplier, Accumulator(width, overflow), datapath_bits=datapath_bits, frac_bits=frac_bits)
    choices = replace(choices, style=style, terms=terms, rounding=rounding, array=(rows, columns, dataflow))
    widths = f"{choices.multiplier.weight.bits}a{choices.multiplier.activation.bits}"
    module = name or f"{layer.replace('.', '_') if layer else Path(kind).stem + widths}_{unit}"
    text = verilog(make_unit(unit, choices), checked_name(module), f"command: {_command(ctx)}")
    if out is None:
        typer.echo(text, nl=False)
        return
    with atomic_write(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def verify(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(help="Weights, as of `hwsim rtl emit`; or a network's file, with --layer.", metavar="KIND|FILE"),
    ],
    bits: BitsOption = "2,3,4",
    act_bits: ActBitsOption = None,
    exponents: ExponentsOption = None,
    fraction_bits: FractionBitsOption = 6,
    layout: LayoutOption = "shared",
    signed_activations: SignedOption = False,
    style: Annotated[str | None, typer.Option(help="Only this style (default: all that the kind has).")] = None,
    layer: Annotated[str | None, typer.Option(help="Of a network: this layer on a systolic array.")] = None,
    rows: RowsOption = 4,
    columns: ColumnsOption = 4,
    dataflow: DataflowOption = "os",
    simulator: Annotated[
        str, typer.Option(help="Of a layer: amaranth, or cxxrtl (compiled; needs a C++ compiler).")
    ] = "amaranth",
    images: Annotated[
        Path | None, typer.Option(help="Of a layer: images instead of test data, a .npy file (N, C, H, W).")
    ] = None,
    count: Annotated[int, typer.Option(help="Of a layer: so many of the images.", min=1)] = 1,
    positions: Annotated[
        int | None, typer.Option(help="Of a layer: so many output positions, spread over the images (default: all).")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Of a layer: folder of the data set's files.")] = None,
    dry_run: DryRunOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Simulate a multiplier's hardware on every pair of codes and compare each product with the simulator's table.

    Of a network's layer: simulate a systolic array of such multipliers on
    real images, and compare sums and rescaled outputs with the reference
    engine, cycles with `hwsim accelerator`'s.

    Exits with code 1 if one differs.

    Example: hwsim rtl verify post --bits 2,3,4 --fraction-bits 2
    """
    if layer is not None:
        check_layer_options(ctx, kind, OF_WEIGHTS)
        options = LayerOptions(rows, columns, dataflow, simulator, style, images, count, positions, data_dir, dry_run)
        check_layer(Path(kind), layer, options, output.value)
        return
    if is_network(kind):
        raise ValueError(f"{kind} is a network: name the layer to verify by --layer")
    from hwsim.output import write
    from hwsim.rtl.multipliers import CIRCUITS

    check_kind_options(ctx, kind)
    check_no_layer_options(ctx)
    widths = [(width, act_bits) for width in parse_bits(bits, 1, 8)][: 1 if has_own_widths(kind) else None]
    made = [multiplier_of(kind, pair, exponents, (fraction_bits, layout), signed_activations) for pair in widths]
    circuits = [(m, chosen) for m in made for chosen in ([style] if style else CIRCUITS[m.name])]
    if dry_run:
        planned = [_circuit_row(m, chosen) for m, chosen in circuits if m.rtl(chosen)]
        write(planned, output.value, title=f"Would simulate {len(planned)} circuits on all pairs of codes")
        return
    checks = [_checked(m, chosen) for m, chosen in circuits]
    write(checks, output.value, title="Hardware against the simulator, all pairs of codes")
    wrong = [row for row in checks if row["different"]]
    if wrong:
        raise CheckFailedError(f"{len(wrong)} of {len(checks)} circuits differ from the simulator")


def _checked(multiplier: "Multiplier", style: str) -> "Row":
    """Return the row of one circuit; the first difference is part of it."""
    from hwsim.rtl.verify import mismatches

    circuit = multiplier.rtl(style)
    columns = 1 << multiplier.activation.code_bits
    with progress(f"{multiplier.name} {style}", columns, "columns") as advance:
        found = list(mismatches(circuit, lambda done: advance(done, "")))
    first = f"w={found[0].w} a={found[0].a}: {found[0].got}, not {found[0].expected}" if found else None
    return {**_circuit_row(multiplier, style), "different": len(found), "first": first}


def _circuit_row(multiplier: "Multiplier", style: str) -> "Row":
    return {
        "multiplier": multiplier.name,
        "style": style,
        "weights": multiplier.weight.name,
        "weight_bits": multiplier.weight.bits,
        "act_bits": multiplier.activation.bits,
        "pairs": 1 << (multiplier.weight.code_bits + multiplier.activation.code_bits),
    }


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

"""`hwsim formats` and `hwsim multipliers`: what the library knows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.options import BitsOption, FormatOption, Output, parse_bits

if TYPE_CHECKING:
    from hwsim.formats import Format
    from hwsim.multipliers import Multiplier
    from hwsim.output import Row

ExponentsOption = Annotated[
    int | None,
    typer.Option(help="Magnitudes of pot and post, or all where a code has fewer (default: all, at most 15)."),
]

DEFAULT_EXPONENTS = 15  #: Most exponents shown unless asked for: all of 8-bit POT would make 135-bit products.


def formats(
    bits: BitsOption = "2,3,4",
    exponents: ExponentsOption = None,
    output: FormatOption = Output.table,
) -> None:
    """List the number formats: what their codes mean.

    Offset is shown with its zero point at a quarter of the codes, codebook
    with the odd integers: others can be chosen.

    Example: hwsim formats --bits 3,4 --format markdown
    """
    from hwsim.output import write

    rows = [_format_row(fmt) for width in parse_bits(bits) for fmt in _formats(width, exponents)]
    write(rows, output, title="Number formats")


def multipliers(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE]...",
            help="Product tables to measure instead: truncated, mitchell, drum, broken_array, a .npy, .csv or .h file, "
            "or file.py:function.",
        ),
    ] = None,
    bits: BitsOption = "2,3,4,8",
    act_bits: Annotated[int | None, typer.Option(help="Activation bits (default: as many as the weight has).")] = None,
    exponents: ExponentsOption = None,
    fraction_bits: Annotated[int, typer.Option(help="Fraction bits of the look-up table.")] = 6,
    parts: Annotated[bool, typer.Option("--parts", help="One row per part of each circuit instead.")] = False,
    unsigned_weights: Annotated[
        bool, typer.Option("--unsigned-weights", help="A table's weights are unsigned, not two's complement.")
    ] = False,
    signed_activations: Annotated[
        bool, typer.Option("--signed-activations", help="A table's activations are two's complement, not unsigned.")
    ] = False,
    product_bits: Annotated[
        int | None, typer.Option(help="Width that the tables' entries are checked against.", metavar="B")
    ] = None,
    output: FormatOption = Output.table,
) -> None:
    """List the multiplier circuits, or measure product tables: widths, rank, errors over all pairs of operands.

    Errors are in units of the product's last bit. Activations are
    unsigned unless a table's are said to be signed; a codebook holds the odd
    integers. Examples and functions are measured at each of --bits; a file's
    size says its own.

    Example: hwsim multipliers drum mytable.npy --bits 4 --format csv
    """
    from hwsim.cli.table_errors import table_rows
    from hwsim.output import write

    widths = [(b, b if act_bits is None else act_bits) for b in parse_bits(bits, 1 if tables else 2, 8)]
    if tables:
        rows = table_rows(tables, widths, (not unsigned_weights, signed_activations), product_bits)
        errors = dict.fromkeys(("mean_error", "mean_absolute_error", "worst_error"), "LSB")
        write(rows, output, title="Product tables", units={"product": "bits", **errors})
        return
    if unsigned_weights or signed_activations or product_bits is not None:
        raise ValueError("--unsigned-weights, --signed-activations and --product-bits belong to product tables")
    circuits = [m for pair in widths for m in _multipliers(*pair, exponents, fraction_bits)]
    rows = [row for m in circuits for row in (_part_rows(m) if parts else [_multiplier_row(m)])]
    title = "Parts of the multipliers" if parts else "Multipliers"
    write(rows, output, title=title, units={"max_error": "LSB", "product": "bits", "table": "bits"})


def _formats(bits: int, exponents: int | None) -> "Iterator[Format]":
    from hwsim.formats import Apot, Codebook, Offset, Uniform, make_format

    yield Uniform(bits)
    if bits > 1:
        yield Uniform(bits, narrow=True)
    yield Uniform(bits, signed=False)
    yield Offset(bits, 2**bits // 4)
    if 2 <= bits <= 8:
        for name in ("pot", "post"):
            for extended in (False, True):
                yield make_format(name, bits, exponents=_capped(bits, exponents, extended), extended=extended)
        yield from (Apot(bits), Apot(bits, signed=False))
        yield Codebook(bits, tuple(range(1 - 2**bits, 2**bits, 2)))


def _capped(bits: int, exponents: int | None, extended: bool = False) -> int | None:
    capacity = (1 << (bits - 1)) - (not extended)
    if exponents is not None:
        return min(exponents, capacity)
    return DEFAULT_EXPONENTS if capacity > DEFAULT_EXPONENTS else None


def _multipliers(bits: int, act_bits: int, exponents: int | None, fraction_bits: int) -> "Iterator[Multiplier]":
    from hwsim.formats import Apot, Codebook, PowerOfSqrtTwo, PowerOfTwo, Uniform
    from hwsim.multipliers import LAYOUTS, multiplier_for

    activation, used = Uniform(act_bits, signed=False), _capped(bits, exponents)
    yield multiplier_for(Uniform(bits), activation)
    yield multiplier_for(PowerOfTwo(bits, used), activation)
    for layout in LAYOUTS:
        yield multiplier_for(PowerOfSqrtTwo(bits, used), activation, fraction_bits, layout)
    yield multiplier_for(Apot(bits), activation)
    yield multiplier_for(Codebook(bits, tuple(range(1 - 2**bits, 2**bits, 2))), activation)


def _format_row(fmt: "Format") -> "Row":
    levels = fmt.levels[fmt.codes]
    return {
        "format": fmt.name,
        "variant": _variant(fmt),
        "bits": fmt.bits,
        "code_bits": fmt.code_bits,
        "levels": fmt.count,
        "exponents": getattr(fmt, "magnitudes", None),
        "lowest": float(levels[0]),
        "highest": float(levels[-1]),
        "smallest_positive": float(levels[levels > 0].min()) if (levels > 0).any() else None,
    }


def _variant(fmt: "Format") -> str:
    match fmt.name:
        case "uniform" | "apot":
            return "narrow" if getattr(fmt, "narrow", False) else "signed" if fmt.signed else "unsigned"
        case "offset":
            return f"zero point {fmt.zero_code}"
        case "codebook":
            return "odd integers"
    return "extended" if fmt.code_bits > fmt.bits else ""


def _multiplier_row(multiplier: "Multiplier") -> "Row":
    return {
        **_circuit(multiplier),
        "exponents": getattr(multiplier.weight, "magnitudes", None),
        "fraction_bits": getattr(multiplier, "fraction_bits", None),
        "product": multiplier.product_bits,
        "table_entries": multiplier.table_entries,
        "table": multiplier.table_bits,
        "max_error": multiplier.max_error,
    }


def _part_rows(multiplier: "Multiplier") -> "list[Row]":
    parts = (part for part in multiplier.parts() if part.quantity)
    return [{**_circuit(multiplier), "part": p.name, "quantity": p.quantity, "part_bits": p.bits} for p in parts]


def _circuit(multiplier: "Multiplier") -> "Row":
    return {
        "multiplier": multiplier.name,
        "layout": getattr(multiplier, "layout", None),
        "weights": multiplier.weight.name,
        "weight_bits": multiplier.weight.bits,
        "act_bits": multiplier.activation.bits,
    }

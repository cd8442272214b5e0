"""`hwsim rtl verify`: the proof that circuits are the simulator's."""

from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.cli.dataclass_options import takes
from hwsim.cli.options import parse_bits
from hwsim.cli.progress import progress
from hwsim.cli.rtl_choices import (
    OF_WEIGHTS,
    check_kind_options,
    check_layer_options,
    check_no_layer_options,
    has_own_widths,
    is_network,
    multiplier_of,
)
from hwsim.cli.rtl_layer import check_layer
from hwsim.cli.rtl_verify_options import VerifyOptions
from hwsim.errors import CheckFailedError

if TYPE_CHECKING:
    from hwsim.multipliers import Multiplier
    from hwsim.output import Row


@takes(VerifyOptions)
def verify(options: VerifyOptions) -> None:
    """Simulate a multiplier's hardware on every pair of codes and compare each product with the simulator's table.

    Of a network's layer: simulate a systolic array of such multipliers on
    real images, and compare sums and rescaled outputs with the reference
    engine, cycles with `hwsim accelerator`'s.

    Exits with code 1 if one differs.

    Example: hwsim rtl verify post --bits 2,3,4 --fraction-bits 2
    """
    if options.layer is not None:
        check_layer_options(options.ctx, options.kind, OF_WEIGHTS)
        check_layer(Path(options.kind), options.layer, options)
        return
    if is_network(options.kind):
        raise ValueError(f"{options.kind} is a network: name the layer to verify by --layer")
    check_kind_options(options.ctx, options.kind)
    check_no_layer_options(options.ctx)
    _check_circuits(_circuits(options), options)


def _circuits(options: VerifyOptions) -> "list[tuple[Multiplier, str]]":
    """Return every multiplier with each of its styles, or with the chosen one."""
    from hwsim.rtl.multipliers import CIRCUITS

    widths = parse_bits(options.bits, 1, 8)[: 1 if has_own_widths(options.kind) else None]
    table = options.fraction_bits, options.layout
    made = [
        multiplier_of(options.kind, (width, options.act_bits), options.exponents, table, options.signed_activations)
        for width in widths
    ]
    return [(m, style) for m in made for style in ([options.style] if options.style else CIRCUITS[m.name])]


def _check_circuits(circuits: "list[tuple[Multiplier, str]]", options: VerifyOptions) -> None:
    """Write what was compared, or with --dry-run what would be.

    Raises:
        CheckFailedError: a circuit differs from the simulator.
    """
    from hwsim.output import write

    if options.dry_run:
        planned = [_circuit_row(m, style) for m, style in circuits if m.rtl(style)]
        write(planned, options.output.value, title=f"Would simulate {len(planned)} circuits on all pairs of codes")
        return
    checks = [_checked(m, style) for m, style in circuits]
    write(checks, options.output.value, title="Hardware against the simulator, all pairs of codes")
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

"""`hwsim methods`: which quantization methods train here."""

from typing import Annotated

import typer

from hwsim.cli.completion import from_list
from hwsim.cli.options import FormatOption, Output


def methods(
    role: Annotated[
        str | None,
        typer.Option(
            help="Only those for weights, or for activations.", autocompletion=from_list("weights, activations")
        ),
    ] = None,
    output: FormatOption = Output.table,
) -> None:
    """List the quantization methods: widths, levels, what they learn, options.

    Levels are in units of the scale, before calibration. Parameters are those
    of a layer with 16 input and 16 output channels.

    Example: hwsim methods --role activations
    """
    from hwsim.errors import unknown_name
    from hwsim.output import write
    from trainers.method_facts import all_facts
    from trainers.quantizers import ROLES

    if role is not None and role not in ROLES:
        raise unknown_name("role", role, ROLES)
    rows = [
        {
            "method": facts.method,
            "quantizes": facts.role,
            "bits": facts.bits,
            "format": facts.format,
            "levels at 2, 3, 4 bits": facts.level_counts,
            "levels at 3 bits": facts.levels,
            "learned": facts.parameters,
            "options": facts.options or None,
            "source": facts.source,
        }
        for facts in all_facts()
        if role in (None, facts.role)
    ]
    write(rows, output, title="Quantization methods")

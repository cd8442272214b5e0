"""Options that `hwsim rtl emit` and `hwsim rtl verify` share."""

from typing import Annotated

import typer

ActBitsOption = Annotated[int | None, typer.Option(help="Activation bits (default: as many as the weight has).")]
ExponentsOption = Annotated[int | None, typer.Option(help="Magnitudes of pot and post (default: all of the code).")]
FractionBitsOption = Annotated[int, typer.Option(help="Fraction bits of post's table.")]
LayoutOption = Annotated[str, typer.Option(help="Layout of post's table: shared or full.")]
RowsOption = Annotated[int, typer.Option(help="Of the systolic array.")]
ColumnsOption = Annotated[int, typer.Option(help="Of the systolic array.")]
DataflowOption = Annotated[str, typer.Option(help="What stays in the array: os (outputs) or ws (weights).")]
SignedOption = Annotated[bool, typer.Option("--signed-activations", help="Two's complement, not unsigned.")]

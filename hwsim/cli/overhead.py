"""`hwsim overhead` and `hwsim tables`: what ASQ's adapters and POST's product tables add."""

from typing import Annotated

import typer

from hwsim.cli.options import BitsOption, FormatOption, Output, parse_bits, parse_names


def overhead(
    network: Annotated[
        str, typer.Option("--network", help="Networks of the literature or layer lists, separated by commas.")
    ] = "resnet18",
    bits: BitsOption = "8,4,3,2",
    ratio: Annotated[int, typer.Option(help="Channels per hidden unit of the adapter.")] = 4,
    rows: Annotated[bool, typer.Option("--rows", help="One row per number, with its convention and source.")] = False,
    output: FormatOption = Output.table,
) -> None:
    """What ASQ's adapters add to a network, in percent: the paper's Table 1, and as they really run.

    The columns `asq_table1` reproduce the paper (arXiv:2504.17263): the adapter is charged at 8 bits, pooling and
    reciprocals at nothing. The paper does not print the adapter's construction: it is inferred from the released code,
    and a few others round to the same numbers. The columns `asq_table1_at_32_bits` charge the adapter's 32-bit floating
    point; `as_it_runs` charges parameters at 32 bits over what the network stores, and all the adapter's operations
    (pooling and reciprocals too) over two operations per MAC of the network, each scaled by its bits / 32.

    Example: hwsim overhead --network resnet18,mobilenetv2 --bits 8,4,3,2 --format latex
    """
    from hwsim.cost.overhead import overhead as count
    from hwsim.cost.overhead import overhead_rows
    from hwsim.output import write
    from hwsim.workloads import load_workload

    tables = {name: count(load_workload(name), parse_bits(bits), ratio) for name in parse_names(network, "--network")}
    tidy = [{"network": name, **row} for name, table in tables.items() for row in table.rows()]
    title = "Overhead of ASQ's adapters"
    if rows:
        write(tidy, output.value, title=title)
    else:
        short = [{key.replace("_overhead", ""): value for key, value in row.items()} for row in overhead_rows(tables)]
        write(short, output.value, title=title, units=dict.fromkeys(set(short[0]) - {"network", "bits"}, "%"))


def tables(
    bits: BitsOption = "3,4",
    act_bits: Annotated[int | None, typer.Option(help="Activation bits (default: as many as the weight has).")] = None,
    fraction_bits: Annotated[int, typer.Option(help="Fraction bits of an entry.")] = 6,
    extended: Annotated[bool, typer.Option("--extended", help="The paper's level set, one code bit more.")] = False,
    output: FormatOption = Output.table,
) -> None:
    """Size, ROM equivalents and error of POST's product table, per bit width and layout.

    Example: hwsim tables --bits 3 --extended
    """
    from hwsim.cost import product_tables
    from hwsim.output import write

    table = product_tables(parse_bits(bits), act_bits, fraction_bits, extended)
    write(table.rows(), output.value, title="Product tables of POST")

"""A network with other hardware: the same weights and scales, another multiplier or another accumulator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from hwsim.accumulator import MAX_BITS, Accumulator, required_bits
from hwsim.choices import chosen, parse_choices
from hwsim.formats import Format, Uniform
from hwsim.multipliers import Multiplier, TableMultiplier
from hwsim.multipliers.custom_files import named_table
from hwsim.network import Network
from hwsim.nodes import Matmul


def with_tables(network: Network, choices: Sequence[str]) -> Network:
    """Return the network with product tables in the place of its layers' multipliers.

    choices: `TABLE` for every layer, `PATTERN=TABLE` for the layers whose name matches; the last match wins. A table is
    anything that `named_table` takes. An accumulator that refuses overflow becomes as wide as the new products need.

    Raises:
        FileNotFoundError: no such table.
        ValueError: a pattern that matches no layer, or tables that do not fit: the message names every such layer.
    """
    layers = {layer.name: layer for layer in network.layers}
    parsed = parse_choices(choices, layers)
    taken = {name: table for name in layers if (table := chosen(parsed, name)) is not None}
    tables = _fitting({layers[name]: table for name, table in taken.items()})
    return _with_layers(network, lambda node: _with_multiplier(node, tables.get(node.name, node.multiplier)))


def with_multiplier(network: Network, multiplier: Multiplier, layers: str = "*") -> Network:
    """Return the network with this multiplier in the layers whose name matches a shell pattern.

    An accumulator that refuses overflow becomes as wide as the new products need.

    Raises:
        ValueError: a pattern that matches no layer, or layers that the multiplier does not fit: their weights or
            activations have other formats, or their products another unit; the message names all of them.
    """
    matching = [layer for layer in network.layers if fnmatchcase(layer.name, layers)]
    if not matching:
        names = ", ".join(layer.name for layer in network.layers)
        raise ValueError(f"pattern {layers!r} matches no layer; layers are {names}")
    refused = [repr(layer.name) for layer in matching if _operands(layer.multiplier) != _operands(multiplier)]
    if refused:
        raise ValueError(
            f"a multiplier of {multiplier.weight} and {multiplier.activation} with products in units of "
            f"{multiplier.unit:g} does not fit layers {', '.join(refused)}"
        )
    return _with_layers(network, lambda n: _with_multiplier(n, multiplier) if n in matching else n)


def _operands(multiplier: Multiplier) -> tuple[Format, Format, float]:
    return multiplier.weight, multiplier.activation, multiplier.frac_bits


def with_accumulators(network: Network, choices: Sequence[str], overflow: str) -> Network:
    """Return the network with other accumulators.

    choices: `BITS` for every layer, `PATTERN=BITS` for the layers whose name matches; the last match wins.

    Raises:
        ValueError: a pattern that matches no layer, an impossible width, or overflow is "error" and the weights could
            overflow it.
    """
    names = [layer.name for layer in network.layers]
    parsed = parse_choices(choices, names)
    accumulators = {name: Accumulator(_bits(bits), overflow) for name in names if (bits := chosen(parsed, name))}
    return _with_layers(network, lambda n: replace(n, accumulator=accumulators.get(n.name, n.accumulator)))


def tables_of(network: Network) -> dict[str, list[str]]:
    """Return the names of the layers that multiply by a table of the user's, by the table's label."""
    found: dict[str, list[str]] = {}
    for layer in network.layers:
        if isinstance(layer.multiplier, TableMultiplier):
            found.setdefault(layer.multiplier.label, []).append(layer.name)
    return found


def _bits(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"accumulator bits must be an integer in 2..{MAX_BITS}, got {text!r}")
    return int(text)


def _with_layers(network: Network, change: Callable[[Matmul], Matmul]) -> Network:
    nodes = tuple(change(node) if isinstance(node, Matmul) else node for node in network.nodes)
    return replace(network, nodes=nodes)


def _fitting(tables: Mapping[Matmul, str]) -> dict[str, TableMultiplier]:
    """Return the multiplier of each layer, or name all layers that do not take their table."""
    found: dict[str, TableMultiplier] = {}
    refused: dict[str, list[str]] = {}
    for layer, table in tables.items():
        try:
            found[layer.name] = layer_table(table, layer.multiplier.weight, layer.multiplier.activation)
        except ValueError as error:
            refused.setdefault(str(error), []).append(repr(layer.name))
    if refused:
        reasons = "; ".join(
            f"layer{'s' * (len(names) > 1)} {', '.join(names)}: {why}" for why, names in refused.items()
        )
        raise ValueError(f"{reasons} (choose layers with PATTERN=TABLE)")
    return found


def layer_table(table: str, weight: Format, activation: Format) -> TableMultiplier:
    """Return the product table of that name for a layer's operands.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: it does not fit, or weights or activations are not uniform.
    """
    if not isinstance(weight, Uniform):
        raise ValueError(f"a product table replaces uniform weights, not {weight.name}")
    if not isinstance(activation, Uniform):
        raise ValueError(f"a product table replaces uniform activations, not {activation.name}")
    return named_table(table, weight, activation)


def _with_multiplier(node: Matmul, multiplier: Multiplier) -> Matmul:
    accumulator = node.accumulator
    if accumulator.overflow == "error":
        accumulator = replace(accumulator, bits=max(accumulator.bits, required_bits(multiplier, node.weight)))
    return replace(node, multiplier=multiplier, accumulator=accumulator)

"""Product tables: how large the look-up tables of POST multipliers are, as ROM, and how exact."""

from collections.abc import Iterable, Iterator
from typing import TypeGuard

from hwsim.cost.constants import constant
from hwsim.cost.table import NETWORK, CostTable, Entry
from hwsim.formats import PowerOfSqrtTwo, Uniform
from hwsim.multipliers import LAYOUTS, LookupTableMultiplier, Multiplier, TableMultiplier
from hwsim.workload import Workload

ASQ = "ASQ, arXiv:2504.17263, section 3.3.1"


def table_bits(workload: Workload) -> CostTable:
    """Return entries and bits of the tables of every distinct multiplier of the network, which its layers share.

    POST multipliers read products, multipliers of codebooks read levels.
    """
    circuits = dict.fromkeys(layer.multiplier for layer in workload.mac_layers)
    return CostTable(tuple(entry for circuit in circuits if _has_table(circuit) for entry in _sizes(circuit)))


def product_tables(
    bits: Iterable[int] = (3, 4), act_bits: int | None = None, fraction_bits: int = 6, extended: bool = False
) -> CostTable:
    """Return size, ROM equivalents and error of POST's product table, per bit width and layout.

    Layouts: `shared` (one column, shifted), `full` (a column per odd exponent) and `paper` (a column per magnitude: the
    paper's [8, 4] at 3 bits is the extended format's). act_bits is by default the weights' width.

    Raises:
        ValueError: the format or the circuit refuses a width.
    """
    tables = []
    for b in bits:
        weight, activation = PowerOfSqrtTwo(b, extended=extended), Uniform(act_bits or b, signed=False)
        circuits = [LookupTableMultiplier(weight, activation, fraction_bits, layout) for layout in LAYOUTS]
        tables += [entry for circuit in circuits for entry in (*_sizes(circuit), *_rom(circuit), *_error(circuit))]
        tables.append(_paper(circuits[-1]))
    return CostTable(tuple(tables))


def table_error(
    bits: int, act_bits: int | None = None, fraction_bits: Iterable[int] = range(13), layout: str = "shared"
) -> CostTable:
    """Return the largest product error of a POST table for each number of fraction bits.

    Raises:
        ValueError: the format or the circuit refuses a value.
    """
    weight, activation = PowerOfSqrtTwo(bits), Uniform(act_bits or bits, signed=False)
    circuits = (LookupTableMultiplier(weight, activation, k, layout) for k in fraction_bits)
    return CostTable(tuple(entry for circuit in circuits for entry in _error(circuit)))


def _has_table(circuit: Multiplier | None) -> TypeGuard[Multiplier]:
    if circuit is None or isinstance(circuit, TableMultiplier):  # a table of one's own need not be a memory
        return False
    return isinstance(circuit, LookupTableMultiplier) or bool(circuit.roms)


def _name(circuit: Multiplier) -> str:
    widths = f"{circuit.weight.bits}x{circuit.activation.bits} bits"
    return f"{widths}, {circuit.fraction_bits} fraction bits" if isinstance(circuit, LookupTableMultiplier) else widths


def _sizes(circuit: Multiplier) -> Iterator[Entry]:
    yield _entry(circuit, "table_entries", circuit.table_entries, "entry")
    yield _entry(circuit, "table_bits", circuit.table_bits, "bit")


def _rom(circuit: LookupTableMultiplier) -> Iterator[Entry]:
    """Yield what stores the table: its words in FPGA look-up tables, or in block memories."""
    yield _entry(circuit, "table_width", circuit.read_bits, "bit/entry")
    for kind in ("lut6_rom", "bram18"):
        depth, width = constant("fpga7", f"{kind}_words"), constant("fpga7", f"{kind}_width")
        blocks = -(-circuit.table_entries // int(depth.value)) * -(-circuit.read_bits // int(width.value))
        yield _entry(circuit, kind, blocks, "block", depth.source)


def _error(circuit: LookupTableMultiplier) -> Iterator[Entry]:
    """Yield the largest |product - exact|: in the product's last bit, and in weight level x activation level."""
    source = "exact arithmetic over all code pairs"
    yield _entry(circuit, "product_error", circuit.max_error, "LSB", source)
    yield _entry(circuit, "product_error_level", circuit.max_error * circuit.unit, "level", source)


def _paper(circuit: LookupTableMultiplier) -> Entry:
    entries = 2**circuit.activation.bits * circuit.weight.magnitudes
    return Entry(NETWORK, _name(circuit), "table_entries", entries, "entry", "paper layout", ASQ)


def _entry(circuit: Multiplier, quantity: str, value: float, unit: str, source: str = ASQ) -> Entry:
    layout = f"{circuit.layout} layout" if isinstance(circuit, LookupTableMultiplier) else "decoded levels"
    return Entry(NETWORK, _name(circuit), quantity, value, unit, layout, source)

"""What multipliers cost in gates: areas, delays and switching energies that synthesis measured, from the shipped table.

`tables/gates.csv` is written by `hwsim rtl table` (see `hwsim.synthesis.table`); reading it needs no tool.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from hwsim.accumulator import exact_bits
from hwsim.cost.counts import part_of
from hwsim.cost.table import NETWORK, CostTable, Entry
from hwsim.cost.technology import ENERGY_UNIT, MissingConstantError
from hwsim.multipliers import Multiplier
from hwsim.synthesis.cells import GATE_EQUIVALENT, load_cells
from hwsim.synthesis.circuits import Circuit, multiplier_id
from hwsim.synthesis.flows import UNITS
from hwsim.workload import Layer, Workload

TABLE = "gates.csv"
#: Columns that say which circuit a row is of, before those of `MEASURES`; `tool` ends a row.
IDENTITY = (
    "kind",
    "bits",
    "act_bits",
    "unit",
    "fraction_bits",
    "layout",
    "exponents",
    "accumulator_bits",
    "multiplier",
)
#: Unit of every measured column.
MEASURES = UNITS | {"energy": "fJ", "clock_energy": "fJ"}

CONVENTION = "sky130 gates"
OPERANDS = "energy per cycle on independent operands, every used code equally likely"


@dataclass(frozen=True, eq=False)
class GateRow:
    """One circuit of the table with what was measured, in the units of `MEASURES`, and by which tool."""

    circuit: Circuit
    accumulator_bits: int | None
    multiplier: str
    measures: Mapping[str, float]
    tool: str

    @property
    def gate_equivalents(self) -> float:
        """Area in NAND2 gates."""
        return self.measures["area"] / load_cells()[GATE_EQUIVALENT].area_um2

    @property
    def origin(self) -> str:
        """The circuit, its accumulator and the tool, as cost entries say it."""
        sums = f" with a {self.accumulator_bits}-bit accumulator" if self.accumulator_bits else ""
        return f"{self.circuit.name}{sums}, {self.tool}"

    @property
    def source(self) -> str:
        """Where the energy comes from, as cost entries say it."""
        return f"{self.origin}; {OPERANDS}"


@cache
def load_gates() -> tuple[GateRow, ...]:
    """Return the rows of the shipped table."""
    text = resources.files("hwsim.cost").joinpath("tables", TABLE).read_text(encoding="utf-8")
    return parse_gates(text, TABLE)


def parse_gates(text: str, where: str) -> tuple[GateRow, ...]:
    """Return the rows of a CSV text with the columns `IDENTITY`, `MEASURES` and `tool`; `where` names it in messages.

    Raises:
        ValueError: a column is missing, or a row is not in order; it is named.
    """
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in (*IDENTITY, *MEASURES, "tool") if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{where}: no column {missing[0]!r}")
    return tuple(_row(row, f"{where}, row {place}") for place, row in enumerate(reader, start=1))


@lru_cache(maxsize=256)
def find_gates(multiplier: Multiplier, unit: str) -> GateRow:
    """Return the row of a multiplier, alone (`multiplier`) or in a processing element (`pe`).

    Raises:
        MissingConstantError: the table has none.
    """
    row = _by_multiplier(unit).get(multiplier_id(multiplier))
    if row is None:
        formats = f"{multiplier.weight} weights with {multiplier.activation} activations"
        raise MissingConstantError(
            f"{TABLE} has no {unit} of the {multiplier.name} multiplier of {formats}; it holds unsigned activations as "
            "wide as the weights"
        )
    return row


def gates(workload: Workload) -> CostTable:
    """Return what the network's processing elements are made of, and what their switching costs.

    Per distinct multiplier: area, NAND2 equivalents, transistors and delay of one element with its accumulator, under a
    convention that names it, so that elements are never added up. Per layer: products times an element's energy per
    cycle. Layers whose multiplier the table lacks are listed as `unpriced_macs`: they are not free.
    """
    users: dict[Multiplier | None, list[Layer]] = {}
    for layer in workload.mac_layers:
        users.setdefault(layer.multiplier, []).append(layer)
    rows = (row for layers in users.values() for row in _element(layers))
    return CostTable((*rows, *(_switching(layer) for layer in workload.mac_layers)))


def element_of(layer: Layer) -> GateRow:
    """Return the processing element that a layer's products need.

    Raises:
        MissingConstantError: the table lacks the layer's multiplier, or the layer has none.
    """
    if layer.multiplier is None:
        raise MissingConstantError(f"layer {layer.key} computes in floating point: {TABLE} has no such element")
    return find_gates(layer.multiplier, "pe")


def origin_for(row: GateRow, layers: Iterable[Layer]) -> str:
    """Return where an element of these layers comes from, and how wide their own sums are: its accumulator is fixed.

    The width of a layer's sums is its accumulator's where one was chosen, else what every sum of its products needs.
    """
    widths = (layer.accumulator_bits or exact_bits(row.circuit.multiplier, layer.terms) for layer in layers)
    longest = max(widths)
    more = ", more than it holds" if longest > (row.accumulator_bits or 0) else ""
    return f"{row.origin}; the sums of its layers have at most {longest} bits{more}"


@lru_cache(maxsize=4)
def _by_multiplier(unit: str) -> Mapping[str, GateRow]:
    rows = reversed(load_gates())  # of two circuits for one multiplier, such as booth and uniform, the first is taken
    return {row.multiplier: row for row in rows if row.circuit.unit == unit}


def _element(layers: Sequence[Layer]) -> Iterator[Entry]:
    """Yield what the one element of these layers is made of, nothing if the table lacks it."""
    try:
        row = element_of(layers[0])
    except MissingConstantError:
        return
    numbers = {name: (row.measures[name], MEASURES[name]) for name in ("area", "transistors", "delay")}
    numbers["gate_equivalents"] = (row.gate_equivalents, "NAND2")
    convention, source = f"{CONVENTION} of {row.circuit.name}", origin_for(row, layers)
    for quantity, (value, unit) in numbers.items():
        yield Entry(NETWORK, row.circuit.name, f"element_{quantity}", value, unit, convention, source)


def _switching(layer: Layer) -> Entry:
    part = part_of(layer, "element")
    try:
        row = element_of(layer)
    except MissingConstantError as error:
        return Entry(layer.name, part, "unpriced_macs", layer.macs, "MAC", CONVENTION, str(error))
    energy = layer.macs * row.measures["energy"] / 1000
    return Entry(layer.name, part, "energy", energy, ENERGY_UNIT, CONVENTION, row.source)


def _row(cells: Mapping[str, str], where: str) -> GateRow:
    try:
        fraction_bits = int(cells["fraction_bits"]) if cells["fraction_bits"] else None
        widths = int(cells["bits"]), int(cells["act_bits"])
        circuit = Circuit(cells["kind"], *widths, cells["unit"], fraction_bits, cells["layout"] or None)
        measures = {name: float(cells[name]) for name in MEASURES if cells[name]}
        accumulator_bits = int(cells["accumulator_bits"]) if cells["accumulator_bits"] else None
        return GateRow(circuit, accumulator_bits, cells["multiplier"], measures, cells["tool"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error

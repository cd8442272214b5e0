"""Many designs at once: precisions x arrays, in chunks, so that memory does not grow with the sweep."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hwsim.cost.accelerator import Execution, Hardware, Widths, clock_mhz, energies, execute
from hwsim.cost.design import Design
from hwsim.cost.systolic import Gemms, gemms
from hwsim.workload import Layer, Workload, WorkloadError
from hwsim.workloads.quantized import EIGHT_BITS, Precision, quantized

CHUNK = 512  #: Designs that are evaluated together.

Totals = dict[str, float | int]


@dataclass(frozen=True)
class Point:
    """One design of a sweep with its totals over the network.

    totals: bops, weight_storage_bits, cycles, total_cycles, dram_bits, energy_pj, time_s: each as `accelerator` and the
    other metrics count it for this precision and design alone.
    """

    precision: Precision
    design: Design
    totals: Totals


def sweep(
    workload: Workload,
    precisions: Iterable[Precision],
    designs: Sequence[Design],
    first_last: Precision | None = EIGHT_BITS,
) -> Iterator[Point]:
    """Yield every precision on every design, precision by precision, designs in their order.

    Raises:
        WorkloadError: no layer has products.
        ValueError: a technology has no row for an operation or an access, or a clock that the gates do not allow.
    """
    if not workload.mac_layers:
        raise WorkloadError(f"workload {workload.name} has no layer with products to put on an array")
    g = gemms(workload.mac_layers)
    for precision in precisions:
        layers = quantized(workload, precision, first_last).mac_layers
        for start in range(0, len(designs), CHUNK):
            chunk = designs[start : start + CHUNK]
            yield from map(Point, [precision] * len(chunk), chunk, _totals(g, layers, chunk))


def _totals(g: Gemms, layers: Sequence[Layer], designs: Sequence[Design]) -> list[Totals]:
    """Return the totals of each design; those that share dataflow, style and memories are evaluated as arrays."""
    widths = Widths.of(layers)
    fixed = {
        "bops": int((g.macs * widths.weight * widths.activation).sum()),
        "weight_storage_bits": sum(layer.weights * layer.weight_bits for layer in layers),
    }
    totals: list[Totals] = [{} for _ in designs]
    for members in _alike(designs):
        chosen = [designs[i] for i in members]
        run = execute(g, widths, Hardware.of(chosen), chosen[0].dataflow, chosen[0].style)
        energy = [values for values, _ in energies(layers, widths, run, chosen[0]).values()]
        for row, i in enumerate(members):
            energy_pj = math.fsum(value for values in energy for value in values[row])
            clock, _ = clock_mhz(layers, designs[i])
            totals[i] = fixed | _row(run, row, clock) | {"energy_pj": energy_pj}
    return totals


def _alike(designs: Sequence[Design]) -> Iterable[list[int]]:
    """Return the indices of designs that differ only in what `Hardware` holds as arrays."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, d in enumerate(designs):
        key = (d.dataflow, d.style, d.technology, d.arithmetic, d.input_kib, d.weight_kib, d.output_kib)
        groups.setdefault(key, []).append(i)
    return groups.values()


def _row(run: Execution, row: int, clock: float) -> Totals:
    total_cycles = int(run.total_cycles[row].sum())
    return {
        "cycles": int(run.cycles[row].sum()),
        "total_cycles": total_cycles,
        "dram_bits": int(run.dram[row].sum()),
        "time_s": total_cycles / (clock * 1e6),
    }

"""`hwsim rtl synth`, `hwsim rtl compare` and `hwsim rtl table`: what circuits cost in gates."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.options import BitsOption, DryRunOption, FormatOption, Output, parse_bits, parse_names
from hwsim.cli.progress import progress
from hwsim.cli.verbosity import note

if TYPE_CHECKING:
    from hwsim.cost.gates import GateRow
    from hwsim.output import Row
    from hwsim.synthesis.circuits import Circuit
    from hwsim.synthesis.hardware import CustomCircuit

KindArgument = Annotated[
    str,
    typer.Argument(
        help="uniform, booth, inferred (multiplication as one operator), pot, post, apot, codebook, mitchell (a table "
        "as an example), or a product table, as `hwsim multipliers` has.",
        metavar="KIND|FILE",
    ),
]
UnitOption = Annotated[str, typer.Option(help="multiplier, or pe: with an accumulator for 4608 products.")]


def synth(
    kind: KindArgument,
    bits: Annotated[int | None, typer.Option(help="Weight bits, 2 to 8 (default: 4, or the table's).")] = None,
    act_bits: Annotated[int | None, typer.Option(help="Activation bits (default: as many as the weight has).")] = None,
    unit: UnitOption = "multiplier",
    signed_activations: Annotated[
        bool, typer.Option("--signed-activations", help="Two's complement, not unsigned.")
    ] = False,
    accumulator_bits: Annotated[int | None, typer.Option(help="Of pe (default: for any sum of 4608 products).")] = None,
    overflow: Annotated[str | None, typer.Option(help="Of pe: wrap (default) or saturate.")] = None,
    fraction_bits: Annotated[int | None, typer.Option(help="Of post: fraction bits of its table.")] = None,
    layout: Annotated[str | None, typer.Option(help="Of post: shared, full or literal.")] = None,
    exponents: Annotated[int | None, typer.Option(help="Of pot and post: magnitudes (default: at most 15).")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Synthesise it now and compare with the shipped row.")] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Prove by SAT that the netlist computes what the hardware description does.")
    ] = False,
    network: Annotated[
        Path | None, typer.Option(help="A trained network: switching on the operands of one of its layers.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="That layer.")] = None,
    output: FormatOption = Output.table,
) -> None:
    """What one circuit costs: area, delay, transistors, look-up tables, depth, switching energy.

    Answers from the shipped table; what that does not hold, and everything with --fresh, is synthesised by Yosys and
    kept in the user's cache. The mapped netlist is checked against the simulator on the way.

    Example: hwsim rtl synth post --bits 4 --fraction-bits 2 --layout shared --fresh
    """
    from hwsim.cli.gate_circuit import Operands, Sum, chosen_circuit
    from hwsim.output import write

    if kind == "post":
        fraction_bits, layout = 6 if fraction_bits is None else fraction_bits, layout or "shared"
    operands, total = Operands(bits, act_bits, signed_activations), Sum(accumulator_bits, overflow)
    circuit = chosen_circuit(kind, unit, operands, (fraction_bits, layout), exponents, total)
    measures, remark = _answer(circuit, fresh)
    rows = _measure_rows(measures)
    if network is not None or layer is not None:
        rows += _switching(circuit, network, layer)
    if prove:
        from hwsim.synthesis.measure import prove as prove_circuit

        prove_circuit(circuit)
        note("proven: the netlist computes what the hardware description does, for all inputs")
    write(rows, output.value, title=circuit.name)
    note(remark)


def compare(
    bits: BitsOption = "2,3,4,8",
    units: Annotated[str, typer.Option("--unit", help="multiplier, pe, or both with a comma.")] = "multiplier,pe",
    study: Annotated[
        Path | None, typer.Option(help="Folder of run records: adds the accuracy of designs of these widths.")
    ] = None,
    output: FormatOption = Output.table,
) -> None:
    """The claim that shifts and tables make products about B-fold faster, beside what synthesis measured.

    `claimed` and the columns from `area` on are relative to the uniform circuit of the same widths; nand2 is the area
    in NAND2 gates. Standard cells: sky130; energy: switching on independent operands. From the shipped table. With
    --study, whether accuracies differ from the uniform network's is said on stderr, paired over seeds.

    Example: hwsim rtl compare --bits 4 --format markdown
    """
    from hwsim.cost.gate_comparison import compare_gates
    from hwsim.output import write

    widths = parse_bits(bits, 2, 8)
    found, sentences = None, list[str]()
    if study is not None:
        from reports.gates import accuracies, differences
        from reports.records import load_study

        runs = load_study(study)
        found, sentences = accuracies(runs), differences(runs, widths)
    rows = compare_gates(widths, parse_names(units, "--unit"), found)
    write(rows, output.value, title="Gates relative to the uniform circuit")
    for sentence in sentences:
        note(sentence)


def table(
    out: Annotated[Path, typer.Option(help="The table to write.", metavar="FILE")] = Path("gates.csv"),
    bits: BitsOption = "2,3,4,5,6,7,8",
    workers: Annotated[int, typer.Option(help="Processes that synthesise at once.", min=1)] = 2,
    dry_run: DryRunOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Measure every circuit of the shipped table anew.

    Interrupted, it goes on where it was: what is mapped is in the user's cache.

    Example: hwsim rtl table --out hwsim/cost/tables/gates.csv
    """
    from hwsim.files import check_file
    from hwsim.output import write
    from hwsim.synthesis.circuits import all_circuits
    from hwsim.synthesis.flows import FLOWS
    from hwsim.synthesis.mapping import cache_folder
    from hwsim.synthesis.table import rebuild
    from hwsim.synthesis.yosys import find_yosys

    check_file(out)
    widths = parse_bits(bits, 2, 8)
    circuits = [circuit for circuit in all_circuits() if circuit.bits in widths]
    if dry_run:
        rows = [{"circuit": circuit.name, "flows": ", ".join(FLOWS)} for circuit in circuits]
        kept = len(list(cache_folder().glob("*.json")))
        note(f"{cache_folder()} holds {kept} mapped circuits; those of this Yosys are not mapped again")
        write(rows, output.value, title=f"Would measure {len(circuits)} circuits and write {out}")
        return
    note(f"Yosys {find_yosys().version}")  # its first start takes a minute: before the processes
    done = 0
    with progress("gates", len(circuits), "circuits") as advance:

        def report(name: str) -> None:
            nonlocal done
            done += 1
            advance(done, name)

        rebuild(out, workers, report, circuits)
    note(out)


def _shipped(circuit: "Circuit") -> "GateRow | None":
    from hwsim.cost.gates import load_gates

    return next((row for row in load_gates() if row.circuit == circuit), None)


def _answer(circuit: "Circuit | CustomCircuit", fresh: bool) -> tuple[Mapping[str, float], str]:
    """Return what is measured of a circuit, and where that comes from."""
    from hwsim.synthesis.circuits import Circuit
    from hwsim.synthesis.measure import measure
    from hwsim.synthesis.table import differences, measured_row
    from hwsim.synthesis.yosys import find_yosys

    shipped = _shipped(circuit) if isinstance(circuit, Circuit) else None
    if shipped is None:
        return measure(circuit), f"not in the shipped table; synthesised by Yosys {find_yosys().version}"
    if not fresh:
        return shipped.measures, f"shipped row, {shipped.tool}"
    row = measured_row(shipped.circuit)
    found = differences(shipped, row)
    remark = f"differs from the shipped row: {'; '.join(found)}" if found else f"equal to the shipped row, {row.tool}"
    return row.measures, remark


def _measure_rows(measures: Mapping[str, float]) -> "list[Row]":
    from hwsim.cost.gates import MEASURES
    from hwsim.synthesis.cells import GATE_EQUIVALENT, load_cells

    rows: list[Row] = [
        {"quantity": name, "value": measures[name], "unit": unit} for name, unit in MEASURES.items() if name in measures
    ]
    gates = measures["area"] / load_cells()[GATE_EQUIVALENT].area_um2
    return [*rows, {"quantity": "gate_equivalents", "value": gates, "unit": "NAND2"}]


def _switching(circuit: "Circuit | CustomCircuit", network: Path | None, layer: str | None) -> "list[Row]":
    from hwsim.cli.images import load_images
    from hwsim.network_file import load_network
    from hwsim.rtl.from_network import layer_named
    from hwsim.synthesis.codes import check_codes
    from hwsim.synthesis.layer_operands import IMAGES, layer_operands
    from hwsim.synthesis.measure import CYCLES, STREAMS, mapped_energy

    if network is None or layer is None:
        raise ValueError("--network and --layer belong together: switching is counted on one layer's operands")
    loaded = load_network(network)
    check_codes(circuit, layer, layer_named(loaded, layer).multiplier)
    images = load_images(loaded, None, None, None, None).pixels[:IMAGES]
    found = mapped_energy(circuit, layer_operands(loaded, layer, images, CYCLES, STREAMS))
    return [{"quantity": f"{name} on {layer}", "value": value, "unit": "fJ"} for name, value in found.items()]

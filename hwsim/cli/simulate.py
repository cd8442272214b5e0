"""`hwsim simulate`: an integer network on real images, bit by bit."""

from typing import TYPE_CHECKING, Any

from hwsim.cli.batches import batches, run_batches
from hwsim.cli.dataclass_options import takes
from hwsim.cli.images import load_images
from hwsim.cli.progress import progress
from hwsim.cli.simulate_options import SimulateOptions
from hwsim.cli.verbosity import detail, note

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwsim.network import Network
    from hwsim.nodes import Matmul
    from hwsim.output import Row
    from hwsim.streaming import Totals


@takes(SimulateOptions)
def simulate(options: SimulateOptions) -> None:
    """Run an integer network bit by bit and report its accuracy and overflows.

    The images are the test images of the data set that the network was
    trained on, or of --data, normalized as in training; or --images, taken
    as they are.

    Example: hwsim simulate runs/digits-digits_resnet-post-w4a4-s0/network.safetensors --engine reference
    """
    from hwsim.files import check_file
    from hwsim.network_file import load_network, save_network
    from hwsim.output import write

    if options.save is not None:
        check_file(options.save)
    network = _with_hardware(load_network(options.network_file), options)
    if options.queue is not None and options.workers != 1:
        raise ValueError("give either --workers or --queue; each machine of a queue runs `hwsim worker`")
    loaded = load_images(network, options.data, options.data_dir, options.images, options.labels)
    title = f"{network.name} on the {options.engine} engine"
    if options.dry_run:
        write(_plan(network, len(loaded.pixels), options), options.output.value, title=f"Would simulate {title}")
        return
    with progress("simulating", len(loaded.pixels), "images") as advance:
        totals = run_batches(network, loaded, options, lambda done: advance(done, ""))
    for layer, path in totals.paths.items():
        detail(f"{layer}: {path}")
    if options.save is not None:
        save_network(network, options.save)
    summary = [_summary(network, totals, loaded.labels, options.engine)]
    write(_layer_rows(network, totals) if options.layers else summary, options.output.value, title=title)


def _with_hardware(network: "Network", options: SimulateOptions) -> "Network":
    from hwsim.exchange import tables_of, with_accumulators, with_tables

    if options.multiplier:
        network = with_tables(network, options.multiplier)
    for table, names in tables_of(network).items():
        note(f"{table}: in {len(names)} of {len(network.layers)} layers, {', '.join(names)}")
    if options.accumulator_bits:
        return with_accumulators(network, options.accumulator_bits, options.overflow)
    if options.overflow != "error":
        raise ValueError("--overflow belongs to --accumulator-bits")
    return network


def _plan(network: "Network", images: int, options: SimulateOptions) -> "list[Row]":
    """Return what would be simulated, with --layers by which path each layer; the engine is prepared for it."""
    from hwsim.engines.simulate import prepare_engine
    from hwsim.executor import Processes
    from hwsim.files import check_folder

    paths = prepare_engine(network, options.engine, [network.output.name]).paths
    if options.layers:
        return [{**_layer_row(layer), "path": paths[layer.name]} for layer in network.layers]
    by = f"{Processes(options.workers).workers} processes"
    if options.queue is not None:
        check_folder(options.queue / "jobs")
        by = f"queue {options.queue}, which holds {len(list(options.queue.glob('results/*.json')))} results"
    return [
        {
            "network": network.name,
            "engine": options.engine,
            "images": images,
            "batches": len(list(batches(images, options.batch_size))),
            "by": by,
            "writes": None if options.save is None else str(options.save),
        }
    ]


def _summary(network: "Network", totals: "Totals", truth: "NDArray[Any] | None", engine: str) -> "Row":
    row: dict[str, Any] = {"network": network.name, "engine": engine, "images": len(totals.predictions)}
    if truth is not None:
        correct = totals.correct(truth)
        row |= {"correct": correct, "accuracy": correct / len(truth)}
    return row | {"overflows": sum(totals.overflows.values())}


def _layer_rows(network: "Network", totals: "Totals") -> "list[Row]":
    return [
        {
            **_layer_row(layer),
            "accumulator_overflows": totals.overflows.get(layer.name, 0),
            "path": totals.paths[layer.name],
        }
        for layer in network.layers
    ]


def _layer_row(layer: "Matmul") -> "Row":
    return {
        "layer": layer.name,
        "multiplier": getattr(layer.multiplier, "label", layer.multiplier.name),
        "accumulator_bits": layer.accumulator.bits,
        "required_bits": layer.required_bits,
        "overflow": layer.accumulator.overflow,
    }

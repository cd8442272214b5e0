"""`hwsim rtl verify NETWORK_FILE --layer NAME`: a layer of a trained network on an array in simulation."""

from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.cli.images import load_images
from hwsim.cli.progress import progress
from hwsim.cli.rtl_verify_options import VerifyOptions
from hwsim.errors import CheckFailedError

if TYPE_CHECKING:
    from hwsim.output import Row
    from hwsim.rtl.verify_layer import LayerCheck


def check_layer(network_file: Path, layer: str, options: VerifyOptions) -> None:
    """Run a layer on a simulated array, write what was compared, and exit with code 1 if anything differs.

    Raises:
        ValueError, OSError: the network, the layer, the array or the images are not in order.
    """
    from hwsim.network_file import load_network
    from hwsim.output import write
    from hwsim.rtl.verify_layer import ArrayChoice, plan_layer, verify_layer

    choice = ArrayChoice(options.rows, options.columns, options.dataflow, options.simulator, options.style)
    network = load_network(network_file)
    pixels = load_images(network, None, options.data_dir, options.images, None).pixels[: options.count]
    if options.dry_run:
        plan = plan_layer(network, layer, len(pixels), options.positions, choice)
        sizes = dict(zip("MKN", plan.size, strict=True))
        row: Row = {"layer": layer, "images": len(pixels), **sizes, "groups": plan.groups, "cycles": plan.model_cycles}
        write([row], options.output.value, title=f"Would simulate {layer} by {choice.simulator}")
        return
    with progress(f"{layer} on {choice.rows}x{choice.columns} {choice.dataflow}", 100, "%") as advance:

        def told(cycles: int, total: int) -> None:
            if 100 * cycles // total > 100 * (cycles - 1) // total:
                advance(100 * cycles // total, f"{total} cycles")

        check = verify_layer(network, layer, pixels, options.positions, choice, told)
    m, k, n = check.size
    size = f"M={m} K={k} N={n}" + (f" in {check.groups} groups" if check.groups > 1 else "")
    title = f"{layer} ({check.layer.multiplier.name}) on {choice.rows}x{choice.columns} {choice.dataflow}, {size}"
    write(check_rows(check), options.output.value, title=title)
    if not check.passed:
        raise CheckFailedError(
            f"layer {layer!r} ({check.layer.multiplier.name}) on the array differs from the simulator"
        )


def check_rows(check: "LayerCheck") -> "list[Row]":
    """Return a row for the sums, each node that rescales them, the adapter if there is one, and the cycles."""
    compared = [("sums", check.sums), *(("rescaled", part) for part in check.rescaled)]
    compared += [("beta", check.beta)] if check.beta else []
    rows: list[Row] = [
        {"check": what, "node": part.node, "values": part.values, "different": part.differing, "first": part.first}
        for what, part in compared
    ]
    more = check.cycles - check.model_cycles
    said = f"the model says {check.model_cycles}" if more else ""
    rows.append(
        {"check": "cycles", "node": check.layer.name, "values": check.cycles, "different": abs(more), "first": said}
    )
    return rows

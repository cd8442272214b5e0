"""`hwsim train`: one design, from training to its record."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli.options import FormatOption, Output
from hwsim.cli.progress import Advance, progress

if TYPE_CHECKING:
    from trainers.config import TrainConfig
    from trainers.promises import ExportCheck


def train(
    data: Annotated[str, typer.Option(help="Data set: digits, cifar10.")] = "digits",
    data_dir: Annotated[str | None, typer.Option(help="Folder of the data set's files, if it has any.")] = None,
    model: Annotated[str | None, typer.Option(help="Network (default: the data set's own).")] = None,
    weights: Annotated[str, typer.Option(help="Weights: float, uniform, pot, post.")] = "uniform",
    activations: Annotated[str, typer.Option(help="Method for activations.")] = "lsq",
    bits: Annotated[int, typer.Option(help="Bits of a weight.")] = 4,
    act_bits: Annotated[int | None, typer.Option(help="Bits of an activation (default: as a weight).")] = None,
    exponents: Annotated[int | None, typer.Option(help="Magnitudes of pot and post (default: all).")] = None,
    extended: Annotated[bool, typer.Option("--extended", help="The papers' level set, one code bit more.")] = False,
    fraction_bits: Annotated[int, typer.Option(help="Fraction bits of post's look-up table.")] = 6,
    layout: Annotated[str, typer.Option(help="Layout of that table: shared or full.")] = "shared",
    epochs: Annotated[int | None, typer.Option(help="Passes over the images (default: the data set's recipe).")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step (default: the recipe).")] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate (default: the recipe).")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2 decay (default: the recipe).")] = None,
    seed: Annotated[int, typer.Option(help="Where all random numbers start.")] = 0,
    init: Annotated[
        str, typer.Option(help="Float weights to start from: a file, a run's folder, auto (train them first) or none.")
    ] = "auto",
    study: Annotated[str, typer.Option(help="Name of the group of runs in reports.")] = "runs",
    out: Annotated[Path, typer.Option(help="Folder that gets one folder per run.")] = Path("runs"),
    output: FormatOption = Output.table,
) -> None:
    """Train a design, export it to integers, simulate and count it, and write its record.

    A run that was killed continues when the same command runs again, and ends with the same record; a finished run is
    reused. A quantized design starts from float weights, which are trained first unless `--init` names some.

    Example: hwsim train --weights post --bits 4 --seed 1
    """
    from trainers.study import run_design

    given: dict[str, Any] = {
        "data": data,
        "data_dir": data_dir,
        "model": model,
        "weights": weights,
        "activations": activations,
    }
    given |= {"bits": bits, "act_bits": act_bits, "exponents": exponents, "extended": extended, "layout": layout}
    given |= {"fraction_bits": fraction_bits, "epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
    given |= {"weight_decay": weight_decay, "activations": activations}
    given |= {"study": study, "init": None if init in ("auto", "none") else init}
    config = _config(given)
    if init == "auto" and config.is_quantized:
        config = _with_float_run(config, out)
    with progress(config.run_id, config.epochs, "epochs") as advance:
        record = run_design(config, out / config.run_id, Bar(advance), _print_promises)
    _print_record(record, output)


class Bar:
    """Shows a training run's epochs as progress."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Show one more finished epoch."""
        self.advance(epoch, f"loss {metrics['loss']:.3f}, test accuracy {metrics['test_accuracy']:.2%}")


def _config(given: Mapping[str, Any]) -> "TrainConfig":
    """Return the data set's recipe with what the user gave in its place."""
    from dataclasses import replace

    from hwsim.errors import unknown_name
    from trainers.config import FLOAT
    from trainers.presets import PRESETS

    if given["data"] not in PRESETS:
        raise unknown_name("data set", given["data"], PRESETS)
    recipe = PRESETS[given["data"]][given["weights"] != FLOAT]
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def _with_float_run(config: "TrainConfig", out: Path) -> "TrainConfig":
    """Train the float network that the run starts from, or find it finished, and return the run that starts from it."""
    from dataclasses import replace

    from trainers.presets import float_recipe
    from trainers.study import run_design

    before = float_recipe(config)
    with progress(before.run_id, before.epochs, "epochs") as advance:
        run_design(before, out / before.run_id, Bar(advance))
    return replace(config, init=before.run_id)


def _print_promises(check: "ExportCheck") -> None:
    """Print what export promises, on stderr."""
    import sys

    from hwsim.output import write

    rows: list[dict[str, Any]] = [
        {
            "layer": layer.layer,
            "trained_equals_decoded": layer.law_holds,
            "activation_codes": layer.codes,
            "differing": layer.codes_differing,
            "accumulator_bits": layer.accumulator_bits,
            "accumulator_overflows": layer.accumulator_overflows,
            "datapath_overflows": layer.datapath_overflows,
        }
        for layer in check.layers
    ]
    title = f"Export: {check.agreeing} of {check.images} predictions agree with the fake-quantized model"
    write(rows, "table", title=title, stream=sys.stderr)


def _print_record(record: Mapping[str, Any], output: Output) -> None:
    from hwsim.output import write

    row: dict[str, Any] = {
        "run": record["run_id"],
        **{f"accuracy_{kind}": value for kind, value in record["accuracy"].items()},
    }
    write([row], output.value, title="Test accuracy")

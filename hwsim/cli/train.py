"""`hwsim train`: one design, from training to its record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli.designs import FirstLastOption
from hwsim.cli.options import FormatOption, Output, parse_bits, parse_names, parse_settings, parse_width
from hwsim.cli.progress import Advance, progress

if TYPE_CHECKING:
    from trainers.bwrf import BwrfConfig
    from trainers.config import TrainConfig
    from trainers.promises import ExportCheck


def train(
    data: Annotated[
        str, typer.Option(help="Data set: digits, mnist, fashion_mnist, cifar10, cifar100, strokes, imagefolder.")
    ] = "digits",
    data_dir: Annotated[str | None, typer.Option(help="Folder of the data set's files, if it has any.")] = None,
    skip_broken: Annotated[
        bool,
        typer.Option("--skip-broken", help="Leave out images that do not decode; the record names them."),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="Network: digits_resnet, resnet20, resnet32, resnet44, resnet56, vgg_small, resnet18, resnet34, "
            "resnet50, mobilenetv2, vgg16, alexnet "
            "(default: the data's own)."
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Weights: float, uniform, lsq_plus, dorefa, sawb, dsq, faq, ewgs, daq, pot, post, qil, inq, apot, "
            "lq_nets, nipq."
        ),
    ] = "uniform",
    activations: Annotated[
        str,
        typer.Option(
            help="Method for activations: lsq, lsq_plus, dorefa, pact, dsq, faq, ewgs, daq, asq, qil, apot, lq_nets, "
            "nipq."
        ),
    ] = "lsq",
    weight_option: Annotated[
        list[str] | None,
        typer.Option(help="Option of the weights' method, as hwsim methods lists.", metavar="NAME=VALUE"),
    ] = None,
    activation_option: Annotated[
        list[str] | None, typer.Option(help="Option of the activations' method.", metavar="NAME=VALUE")
    ] = None,
    bits: Annotated[int, typer.Option(help="Bits of a weight.")] = 4,
    act_bits: Annotated[int | None, typer.Option(help="Bits of an activation (default: as a weight).")] = None,
    first_last: FirstLastOption = None,
    overrides: Annotated[
        Path | None,
        typer.Option(help="JSON file of changes by layer name, such as hwsim allocate writes.", metavar="FILE"),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="What learned bits (nipq) are kept within, on average or per image.", metavar="bits=N|bops=N"
        ),
    ] = None,
    exponents: Annotated[int | None, typer.Option(help="Magnitudes that pot and post use (default: all).")] = None,
    extended: Annotated[bool, typer.Option("--extended", help="The papers' level set, one code bit more.")] = False,
    bwrf: Annotated[bool, typer.Option("--bwrf", help="Train with block-wise replacement by float stages.")] = False,
    bwrf_stages: Annotated[
        str | None, typer.Option(help="Modules that its stages end with, by commas (default: the network's stages).")
    ] = None,
    bwrf_distillation: Annotated[float | None, typer.Option(help="Weight of its teacher's divergence (1).")] = None,
    bwrf_branch_task: Annotated[float | None, typer.Option(help="Weight of its branches' cross-entropy (1).")] = None,
    bwrf_branch_distillation: Annotated[
        float | None, typer.Option(help="Weight of its branches' divergence from the teacher (1).")
    ] = None,
    bwrf_branch_teaching: Annotated[
        float | None, typer.Option(help="Weight of the network's divergence from the branches (0).")
    ] = None,
    bwrf_temperature: Annotated[float | None, typer.Option(help="Temperature of the divergences (4).")] = None,
    progressive: Annotated[
        str | None,
        typer.Option(help="Bits to train before, falling: a run each, from the one before.", metavar="B,B,..."),
    ] = None,
    train_quantizers_only: Annotated[
        bool, typer.Option("--train-quantizers-only", help="Freeze weights; quantizers imitate the float network.")
    ] = False,
    calibration_data: Annotated[
        str | None, typer.Option(help="Data set that they learn on (default: the task's).")
    ] = None,
    calibration_dir: Annotated[str | None, typer.Option(help="Folder of its files, if it has any.")] = None,
    fraction_bits: Annotated[int, typer.Option(help="Fraction bits of post's look-up table.")] = 6,
    layout: Annotated[str, typer.Option(help="Layout of that table: shared or full.")] = "shared",
    multiplier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE|PATTERN=TABLE",
            help="Product table to train through, in every layer or in layers of a name; repeatable. An example's "
            "name, a .npy, .csv or .h file, or file.py:function.",
        ),
    ] = None,
    accumulator_bits: Annotated[int | None, typer.Option(help="Accumulator width to train through.")] = None,
    overflow: Annotated[str | None, typer.Option(help="What such an accumulator does: wrap or saturate.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images (default: the data's recipe).")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step (default: the recipe).")] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate (default: the recipe).")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2 decay (default: the recipe).")] = None,
    seed: Annotated[int, typer.Option(help="Where all random numbers start.")] = 0,
    init: Annotated[
        str, typer.Option(help="Float weights to start from: auto (train them first), none, a file or a run's folder.")
    ] = "auto",
    study: Annotated[str, typer.Option(help="Name of the group of runs in reports.")] = "runs",
    out: Annotated[Path, typer.Option(help="Folder that gets one folder per run.")] = Path("runs"),
    output: FormatOption = Output.table,
) -> None:
    """Train a design, export it to integers, simulate and count it, and write its record.

    A run that was killed continues when the same command runs again, and
    ends with the same record; a finished run is reused. A quantized design
    starts from float weights, which are trained first unless --init names
    some.

    The run's folder, below --out, gets the record (JSON), the weights and
    the integer network (safetensors), which hwsim simulate and hwsim cost
    take; hwsim report makes tables and figures of all runs below a folder.

    Example: hwsim train --weights post --bits 4 --seed 1
    """
    from trainers.progressive import progressive_runs
    from trainers.study import check_design

    given: dict[str, Any] = {"data": data, "data_dir": data_dir, "model": model, "seed": seed, "study": study}
    given["skip_broken"] = skip_broken
    given |= {"weights": weights, "activations": activations, "bits": bits, "act_bits": act_bits}
    given["weight_options"] = parse_settings(weight_option, "--weight-option") or None
    given["activation_options"] = parse_settings(activation_option, "--activation-option") or None
    given |= {"budget": budget, "overrides": _overrides(overrides)}
    given |= {"exponents": exponents, "extended": extended, "fraction_bits": fraction_bits, "layout": layout}
    given |= {"multiplier": tuple(multiplier) if multiplier else None}
    given |= {"accumulator_bits": accumulator_bits, "overflow": overflow}
    given |= {"epochs": epochs, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay}
    replacement = {"distillation": bwrf_distillation, "branch_task": bwrf_branch_task}
    replacement |= {"branch_distillation": bwrf_branch_distillation, "branch_teaching": bwrf_branch_teaching}
    replacement |= {"temperature": bwrf_temperature}
    given["bwrf"] = _bwrf(bwrf, bwrf_stages, replacement)
    given["progressive"] = tuple(parse_bits(progressive, 2, 8, "--progressive")) if progressive is not None else None
    given |= {"quantizers_only": train_quantizers_only, "calibration_data": calibration_data}
    given["calibration_dir"] = calibration_dir
    config = _config({**given, "init": None if init in ("auto", "none") else init}, first_last)
    for run in progressive_runs(config):
        check_design(run)
    if init == "auto" and config.is_quantized:
        config = with_float_run(config, out)
    _print_records([_run(run, out) for run in progressive_runs(config)], output)


def _run(config: "TrainConfig", out: Path) -> Mapping[str, Any]:
    """Train one design in its folder below `out`, or continue it, or find it finished, and return its record."""
    import sys

    from trainers.run_folder import RECORD
    from trainers.study import run_design

    folder = out / config.run_id
    was_finished = (folder / RECORD).exists()
    checks: list[ExportCheck] = []
    with progress(f"{config.design}-s{config.seed}", config.epochs, "epochs") as advance:
        record = run_design(config, folder, Bar(advance), checks.append)
    if was_finished:
        print(f"{config.run_id}: finished before, reused from {folder}", file=sys.stderr)
    for check in checks:
        _print_layers(folder)
        _print_promises(check)
    return record


class Bar:
    """Shows a training run's steps as progress, with the last finished epoch's metrics."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance
        self.note = ""

    def step(self, done: float, is_saved: bool) -> None:
        """Show one more finished step; the end of an epoch waits for its metrics."""
        if done % 1:
            self.advance(round(done, 3), self.note)

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Show one more finished epoch."""
        self.note = f"loss {metrics['loss']:.3f}, test {metrics['test_accuracy']:.2%}"
        self.advance(epoch, self.note)


def _config(given: Mapping[str, Any], first_last: str | None) -> "TrainConfig":
    """Return the data set's recipe with what the user gave in its place."""
    from dataclasses import replace

    from hwsim.errors import unknown_name
    from trainers.config import FLOAT
    from trainers.presets import PRESETS

    if given["data"] not in PRESETS:
        raise unknown_name("data set", given["data"], PRESETS)
    recipe = PRESETS[given["data"]][given["weights"] != FLOAT]
    if first_last is not None:
        width = None if first_last == "same" else parse_width(first_last, 2, 8, "--first-last")
        recipe = replace(recipe, first_last_bits=width)
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def _overrides(path: Path | None) -> Mapping[str, Any] | None:
    """Return the changes by layer that a file holds."""
    from hwsim.files import read_json

    if path is None:
        return None
    changes = read_json(path)
    for pattern, fields in changes.items():
        if not isinstance(fields, dict):
            raise ValueError(f'{path}: {pattern!r} must name fields to change, such as {{"bits": 3}}, got {fields!r}')
    return changes


def _bwrf(asked: bool, stages: str | None, weights: Mapping[str, float | None]) -> "BwrfConfig | None":
    """Return the settings of block-wise replacement, None if it is not asked for."""
    from trainers.bwrf import BwrfConfig

    given = {name: value for name, value in {"stages": stages, **weights}.items() if value is not None}
    if not asked:
        for name in given:
            raise ValueError(f"--bwrf-{name.replace('_', '-')} needs --bwrf")
        return None
    names = parse_names(stages, "--bwrf-stages") if stages is not None else ()
    return BwrfConfig(tuple(names), **{name: value for name, value in weights.items() if value is not None})


def with_float_run(config: "TrainConfig", out: Path) -> "TrainConfig":
    """Train the float network that the run starts from, or find it finished, and return the run that starts from it."""
    from dataclasses import replace

    from trainers.presets import float_recipe

    before = float_recipe(config)
    _run(before, out)
    return replace(config, init=before.run_id)


def _print_layers(folder: Path) -> None:
    """Print what was quantized and how, on stderr."""
    import sys
    from dataclasses import asdict

    from hwsim.output import write
    from trainers.model_file import load_model
    from trainers.quantize import describe
    from trainers.run_folder import QUANTIZED_WEIGHTS

    rows = [asdict(layer) for layer in describe(load_model(folder / QUANTIZED_WEIGHTS))]
    write(rows, "table", title="Layers as quantized", stream=sys.stderr)


def _print_promises(check: "ExportCheck") -> None:
    """Print what export promises, on stderr."""
    import sys

    from hwsim.output import write

    rows: list[dict[str, Any]] = [
        {
            "layer": layer.layer,
            "as_trained": layer.law_holds,
            "input_codes": layer.codes,
            "differing": layer.codes_differing,
            "accumulator": layer.accumulator_bits,
            "overflows": layer.accumulator_overflows + layer.datapath_overflows,
        }
        for layer in check.layers
    ]
    title = f"Export: {check.agreeing} of {check.images} predictions agree with the fake-quantized model"
    write(rows, "table", title=title, units={"accumulator": "bits"}, stream=sys.stderr)


def _print_records(records: Sequence[Mapping[str, Any]], output: Output) -> None:
    from hwsim.output import write

    columns = {
        "accuracy_float": "float",
        "accuracy_qat": "qat",
        "accuracy_integer": "integer",
        "agreement": "agreement",
    }
    rows = [
        {"run": record["run_id"], **{name: record["accuracy"].get(kind) for name, kind in columns.items()}}
        for record in records
    ]
    write(rows, output.value, title="Test accuracy")

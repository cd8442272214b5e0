"""`hwsim train`: one design, from training to its record."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.cli.dataclass_options import takes
from hwsim.cli.dry_run import print_runs
from hwsim.cli.options import Output
from hwsim.cli.progress import Advance, progress
from hwsim.cli.train_config import configs_of
from hwsim.cli.train_options import TrainOptions
from hwsim.cli.verbosity import is_quiet, note

if TYPE_CHECKING:
    from trainers.config import TrainConfig
    from trainers.promises import ExportCheck


MAX_PARALLEL = 64  #: Processes that train at a time.


@takes(TrainOptions)
def train(options: TrainOptions) -> None:
    """Train a design, export it to integers, simulate and count it, and write its record.

    A run that was killed continues when the same command runs again, and
    ends with the same record; a finished run is reused. A quantized design
    starts from float weights, which are trained first unless --init names
    some. Several processes share each batch if torchrun starts them.

    The run's folder, below --out, gets the record (JSON), the weights and
    the integer network (safetensors), which hwsim simulate and hwsim cost
    take; hwsim report makes tables and figures of all runs below a folder.

    Example: hwsim train --weights post --bits 4 --seed 1
    """
    from hwsim.errors import check_integer
    from trainers.plan import plan_runs
    from trainers.processes import is_first, joined
    from trainers.study import check_design

    check_integer("--parallel", options.parallel, 1, MAX_PARALLEL)
    configs = configs_of(options)
    for design in designs_of(configs):
        check_design(design)
    before: list[TrainConfig] = []
    if options.init == "auto" and configs[0].is_quantized:
        pairs = [after_float(config) for config in configs]
        before, configs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    designs = designs_of(configs)
    with joined():
        _check_parallel(options.parallel)
        if options.dry_run:
            plans = plan_runs([*before, *designs], options.out)
            if is_first():
                print_runs(plans, options.output)
            return
        records = _run_all([*before, *designs], options.out, options.parallel)
        if is_first():
            _print_records([records[design.run_id] for design in designs], options.output)


def designs_of(configs: "Iterable[TrainConfig]") -> "list[TrainConfig]":
    """Return the runs that the configurations ask for: each one's own, and those that progressive training adds."""
    from trainers.progressive import progressive_runs

    return [design for config in configs for design in progressive_runs(config)]


def after_float(config: "TrainConfig") -> "tuple[TrainConfig, TrainConfig]":
    """Return the run of the float network that a quantized run starts from, and the run that starts from it."""
    from dataclasses import replace

    from trainers.presets import float_recipe

    before = float_recipe(config)
    return before, replace(config, init=before.run_id)


def _run_all(configs: "Iterable[TrainConfig]", out: Path, parallel: int) -> dict[str, Mapping[str, Any]]:
    """Return the records of the runs by name, each trained below `out`, continued there, or found finished."""
    if parallel == 1:
        return {config.run_id: run(config, out) for config in configs}
    from trainers.study import run_study

    return {record["run_id"]: record for record in run_study([*configs], out, parallel, _print_done)}


def _check_parallel(parallel: int) -> None:
    from trainers.processes import count

    if parallel > 1 and count() > 1:
        raise ValueError("--parallel trains each run in a process, torchrun each run in several: use one of them")


def run(config: "TrainConfig", out: Path) -> Mapping[str, Any]:
    """Train one design in its folder below `out`, or continue it, or find it finished, and return its record."""
    from trainers.model_file import load_model
    from trainers.processes import is_first
    from trainers.quantize import print_layers
    from trainers.run_folder import QUANTIZED_WEIGHTS, RECORD
    from trainers.study import run_design

    folder = out / config.run_id
    was_finished = (folder / RECORD).exists()
    checks: list[ExportCheck] = []
    with progress(f"{config.design}-s{config.seed}", config.epochs, "epochs") as advance:
        record = run_design(config, folder, Bar(advance), checks.append)
    if was_finished and is_first():
        note(f"{config.run_id}: finished before, reused from {folder}")
    for check in [] if is_quiet() else checks:
        print_layers(load_model(folder / QUANTIZED_WEIGHTS))
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


def _print_done(record: Mapping[str, Any]) -> None:
    """Print on stderr that one of several runs is finished."""
    accuracy = record["accuracy"].get("qat", record["accuracy"].get("float"))
    note(f"{record['run_id']}: finished, test {accuracy:.2%}")


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

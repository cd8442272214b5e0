"""`hwsim demo`: the main job, end to end, on real handwritten digits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli.dry_run import print_runs
from hwsim.cli.options import DryRunOption, FormatOption, Output
from hwsim.cli.progress import progress
from hwsim.cli.report import print_designs
from hwsim.cli.verbosity import note

if TYPE_CHECKING:
    from trainers.config import TrainConfig

DESIGNS = (
    ("uniform", 2),
    ("uniform", 3),
    ("uniform", 4),
    ("uniform", 8),
    ("pot", 3),
    ("pot", 4),
    ("post", 3),
    ("post", 4),
)


def demo(
    out: Annotated[Path, typer.Option(help="Where run records, networks, tables and figures go.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(help="How often each design is trained.", min=1)] = 3,
    workers: Annotated[int, typer.Option(help="Processes that train at once.", min=1)] = 2,
    dry_run: DryRunOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Train, export, simulate bit by bit, count and report: uniform, POT and POST weights at several bit widths.

    The data are the 1,797 handwritten digits that come with scikit-learn.
    Finished runs are reused.

    Example: hwsim demo --seeds 1 --out runs/quick
    """
    from itertools import count

    from reports.records import load_study
    from reports.report import write_report
    from trainers.plan import plan_runs
    from trainers.study import run_study

    configs = [config for seed in range(seeds) for config in _configs(seed)]
    if dry_run:
        print_runs(plan_runs(configs, out), output)
        note(f"then the report would be written into {out}")
        return
    with progress("demo", len(configs), "runs") as advance:
        finished = count(1)
        records = run_study(configs, out, workers, lambda record: advance(next(finished), record["run_id"]))
    study = load_study(out)
    written = write_report(study, out)
    print_designs(study, output)
    note(_promises([record for record in records if "export" in record]))
    note(f"{len(configs)} run records and {len(written)} pages, tables and figures are in {out}")
    note(f"open {written[-1]} in a browser")


def _promises(records: Sequence[Mapping[str, Any]]) -> str:
    """Return in one line what export promised and what came of it, over all integer networks."""
    layers = [layer for record in records for layer in record["export"]["layers"]]
    agreeing, images = (sum(record["counts"][name] for record in records) for name in ("agree", "test_images"))
    differing, codes = (sum(layer[name] for layer in layers) for name in ("codes_differing", "codes"))
    overflows = sum(layer["accumulator_overflows"] + layer["datapath_overflows"] for layer in layers)
    held = sum(layer["law_holds"] for layer in layers)
    return (
        f"{len(records)} integer networks: {held} of {len(layers)} layers compute with exactly what was trained; "
        f"{agreeing} of {images} predictions agree with the fake-quantized networks; "
        f"{differing} of {codes} activation codes differ; {overflows} overflows"
    )


def _configs(seed: int) -> "list[TrainConfig]":
    """Return the float baseline and the designs of one seed."""
    from dataclasses import replace

    from trainers.presets import PRESETS

    baseline, quantized = (replace(recipe, study="demo", seed=seed) for recipe in PRESETS["digits"])
    designs = [replace(quantized, weights=weights, bits=bits, init=baseline.run_id) for weights, bits in DESIGNS]
    return [baseline, *designs]

"""Accuracy of every method on the digits, and docs/methods.md: `python methods_digits.py --train`.

A method for weights trains with LSQ activations, a method for activations with LSQ weights, by the digits' recipe, and
is exported and simulated bit by bit. Runs stay in --out: an interrupted study continues, a finished run is reused.
Results go to methods_digits.csv beside this file, and from there and the methods' own docstrings into the page. Without
--train only the page is written.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from methods_page import BITS, PAGE, RESULTS, methods, read_results, write_page, write_results

from hwsim.cli.progress import progress
from hwsim.executor import Processes
from trainers.config import TrainConfig
from trainers.presets import PRESETS
from trainers.study import run_design

Item = Mapping[str, Any]


def make_config(item: Item) -> TrainConfig:
    """Return the run of an item: the float network, or one method with LSQ beside it.

    Raises:
        ValueError: the method does not allow the bits.
    """
    baseline, quantized = (replace(recipe, study="methods", seed=item["seed"]) for recipe in PRESETS["digits"])
    if item["role"] == "float":
        return baseline
    chosen = {"weights": "lsq", "activations": "lsq", item["role"]: item["method"]}
    budget = f"bits={item['bits']}" if item["method"] == "nipq" else None
    return replace(quantized, bits=item["bits"], init=baseline.run_id, budget=budget, **chosen)


def run_item(item: Item) -> dict[str, Any]:
    """Return a row of results; of a run that is refused or fails, with the reason."""
    row: dict[str, Any] = {name: item[name] for name in ("role", "method", "bits", "seed")}
    try:
        config = make_config(item)
        record = run_design(config, Path(item["out"]) / config.run_id)
    except (ValueError, FloatingPointError) as error:
        return {**row, "error": str(error)}
    counts = record["counts"]
    names = ("test_images", "float_correct", "qat_correct", "integer_correct", "agree")
    return {**row, **{name: counts.get(name) for name in names}}


def items(seeds: int, out: Path) -> list[dict[str, Any]]:
    """Return the float runs and then every method at every width; LSQ for activations is LSQ for weights."""
    shared = [{"seed": seed, "out": str(out)} for seed in range(seeds)]
    baselines = [{"name": "float", "role": "float", "method": "float", "bits": 32, **run} for run in shared]
    designs = [
        {"name": f"{role} {method} {bits}", "role": role, "method": method, "bits": bits, **run}
        for role in ("weights", "activations")
        for method in methods(role)
        for bits in BITS
        for run in shared
        if (role, method) != ("activations", "lsq")
    ]
    return baselines + designs


def train(seeds: int, out: Path, workers: int) -> list[dict[str, Any]]:
    """Return a row per run, in the order of `items`; the float networks are trained first, by this process."""
    todo = items(seeds, out)
    rows = [run_item(item) for item in todo[:seeds]]
    finished = count(seeds + 1)
    with progress("methods", len(todo), "runs") as advance:
        for item, row in zip(todo[seeds:], Processes(workers).map(run_item, todo[seeds:]), strict=True):
            advance(next(finished), item["name"] + (" refused" if "error" in row else ""))
            rows.append(row)
    return rows


def main() -> None:
    """Train if asked to, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="train what is not finished, and write the results")
    parser.add_argument("--seeds", type=int, default=1, help="how often each design is trained")
    parser.add_argument("--workers", type=int, default=2, help="processes that train at once")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"), help="folder of the runs")
    options = parser.parse_args()
    if options.train:
        write_results(RESULTS, train(options.seeds, options.out, options.workers))
    write_page(PAGE, read_results(RESULTS))


if __name__ == "__main__":
    main()

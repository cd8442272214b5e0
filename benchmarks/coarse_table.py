"""Accuracy lost to a coarse product table, and what training through it brings back, on the handwritten digits.

Per seed: a float network, a 4-bit network trained with exact products, the same weights with products from the table,
and a 4-bit network trained through the table from the same float weights, with the same recipe. All accuracies are of
integer networks, simulated bit by bit. Run it as `python coarse_table.py`.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hwsim.engines import simulate
from hwsim.exchange import with_tables
from hwsim.network_file import load_network
from hwsim.output import OUTPUTS, Row, write
from trainers.config import TrainConfig
from trainers.data import load_dataset
from trainers.presets import PRESETS
from trainers.study import NETWORK, run_study


def seed_row(seed: int, tables: tuple[str, ...], folder: Path, workers: int) -> dict[str, int]:
    """Return the right answers of one seed's networks, on the test images."""
    baseline, recipe = (replace(preset, study="coarse", seed=seed) for preset in PRESETS["digits"])
    exact = replace(recipe, init=baseline.run_id)
    through = replace(exact, multiplier=tables)
    records = run_study([baseline, exact, through], folder, workers)
    integer = [record["counts"]["integer_correct"] for record in records[1:]]
    return {"exact": integer[0], "swapped": swapped(exact, tables, folder), "through": integer[1]}


def swapped(exact: TrainConfig, tables: tuple[str, ...], folder: Path) -> int:
    """Return the right answers of the network that was trained with exact products, with the table's."""
    data = load_dataset("digits")
    network = with_tables(load_network(folder / exact.run_id / NETWORK), tables)
    predictions = simulate(network, data.normalized(data.test_images)).predictions
    return int((predictions == data.test_labels).sum())


def table_rows(results: Sequence[dict[str, int]], images: int) -> list[Row]:
    """Return a row per kind of network: right answers per seed, and the mean accuracy."""
    titles = {"exact": "exact products", "swapped": "same weights, table", "through": "trained through the table"}
    return [
        {
            "network": title,
            **{f"seed {seed}": result[kind] for seed, result in enumerate(results)},
            "mean_accuracy": statistics.mean(result[kind] for result in results) / images,
        }
        for kind, title in titles.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--multiplier", nargs="+", default=["drum"], help="TABLE or PATTERN=TABLE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--format", choices=list(OUTPUTS), default="markdown")
    options = parser.parse_args()
    images = len(load_dataset("digits").test_labels)
    tables = tuple(options.multiplier)
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for seed in range(options.seeds):
            results.append(seed_row(seed, tables, Path(folder), options.workers))
            print(f"seed {seed}: {results[-1]}", file=sys.stderr)
    write(table_rows(results, images), options.format, title=f"Digits at 4 bits, {', '.join(tables)}, of {images}")


if __name__ == "__main__":
    main()

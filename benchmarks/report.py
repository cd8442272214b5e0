"""How long a report over 500 records takes, and how large its page is.

The records are those of one ResNet-20 on CIFAR-10 under other names: 100 designs of 5 seeds, with accuracies drawn
around a curve. Prints one row; the target is 10 s and 6 MB.
"""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hwsim.output import write

TEMPLATE = Path(__file__).parent / "results/cifar10/cifar10_1_epochs/cifar10-resnet20-post-w4a4-s0/record.json"
FAMILIES = ("uniform", "pot", "post", "apot")
WIDTHS = tuple((bits, act_bits) for bits in range(2, 7) for act_bits in range(4, 9))
SEEDS = 5


def synthetic_records() -> Iterator[dict[str, Any]]:
    """Yield 500 records: every family at every pair of widths, five seeds of each."""
    template, noise = json.loads(TEMPLATE.read_text()), random.Random(0)
    for family in FAMILIES:
        for bits, act_bits in WIDTHS:
            for seed in range(SEEDS):
                design = f"{family}-w{bits}a{act_bits}"
                config = template["config"] | {"weights": family, "bits": bits, "act_bits": act_bits, "seed": seed}
                integer = 0.92 - 0.2 * 2.0**-bits - 0.5 * 2.0**-act_bits + noise.gauss(0, 0.002)
                yield template | {
                    "run_id": f"cifar10-resnet20-{design}-s{seed}",
                    "seed": seed,
                    "config": config,
                    "accuracy": template["accuracy"] | {"integer": integer},
                    "cost": [_scaled(row, bits * act_bits / 16) for row in template["cost"]],
                }


def _scaled(row: dict[str, Any], factor: float) -> dict[str, Any]:
    return {**row, "value": row["value"] * factor} if row["quantity"] in ("bops", "storage_bits") else row


def main() -> None:
    """Write the records, time the report over them, and print its size."""
    from reports.report import write_report

    with TemporaryDirectory() as folder:
        records = list(synthetic_records())
        for record in records:
            path = Path(folder) / record["run_id"] / "record.json"
            path.parent.mkdir()
            path.write_text(json.dumps(record))
        start = time.perf_counter()
        written = write_report(folder, Path(folder) / "report")
        seconds = time.perf_counter() - start
        print(len(written))
    write([{"records": len(records), "seconds": seconds}], "table", title="A report")


if __name__ == "__main__":
    main()

"""How long a report over 500 records takes, how large its index is, and how soon that can be used.

The records are those of one ResNet-20 on CIFAR-10 under other names: 100 designs of 5 seeds, with accuracies drawn
around a curve; no networks lie beside them. The time is of a new process, with its imports. How soon the page can be
used, from navigation to a drawn plot, is measured in Chromium if there is one.

`python benchmarks/report.py [--format table|csv|json|markdown|latex]`
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hwsim.output import OUTPUTS, write

TEMPLATE = Path(__file__).parent / "results/cifar10/cifar10_1_epochs/cifar10-resnet20-post-w4a4-s0/record.json"
FAMILIES = ("uniform", "pot", "post", "apot")
WIDTHS = tuple((bits, act_bits) for bits in range(2, 7) for act_bits in range(4, 9))
SEEDS = 5
COMMAND = (sys.executable, "-c", "from hwsim.cli import main; main()", "report")


def main() -> None:
    """Write the records, time the report over them, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--format", choices=list(OUTPUTS), default="table")
    chosen = parser.parse_args().format
    with TemporaryDirectory() as name:
        folder = Path(name)
        for record in synthetic_records():
            path = folder / "runs" / record["run_id"] / "record.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(record))
        start = time.perf_counter()
        subprocess.run([*COMMAND, folder / "runs", "--out", folder / "report"], check=True, capture_output=True)
        seconds = time.perf_counter() - start
        index = folder / "report" / "index.html"
        rows = [
            {"what": "report over 500 records", "value": round(seconds, 2), "limit": 10, "unit": "s"},
            {"what": "index.html", "value": round(index.stat().st_size / 1e6, 2), "limit": 6, "unit": "MB"},
            {"what": "until its plot is drawn", "value": seconds_to_draw(index), "limit": 2, "unit": "s"},
        ]
    write(rows, chosen, title="A report")


def synthetic_records() -> Iterator[dict[str, Any]]:
    """Yield 500 records: every family at every pair of widths, five seeds of each."""
    template, noise = json.loads(TEMPLATE.read_text()), random.Random(0)
    for family in FAMILIES:
        for bits, act_bits in WIDTHS:
            for seed in range(SEEDS):
                design = f"{family}-w{bits}a{act_bits}"
                config = template["config"] | {"weights": family, "bits": bits, "act_bits": act_bits, "seed": seed}
                integer = 0.92 - 0.2 * 2.0**-bits - 0.5 * 2.0**-act_bits + noise.gauss(0, 0.002)
                images = template["counts"]["test_images"]
                right = round(integer * images)
                yield template | {
                    "run_id": f"cifar10-resnet20-{design}-s{seed}",
                    "seed": seed,
                    "config": config,
                    "accuracy": template["accuracy"] | {"integer": right / images},
                    "counts": template["counts"] | {"integer_correct": right},
                    "cost": [_scaled(row, bits * act_bits / 16) for row in template["cost"]],
                }


def _scaled(row: dict[str, Any], factor: float) -> dict[str, Any]:
    return {**row, "value": row["value"] * factor} if row["quantity"] in ("bops", "storage_bits") else row


def seconds_to_draw(index: Path) -> float | None:
    """Return the median of five loads in new windows; None without Chromium or playwright."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        times = []
        for _ in range(5):
            with browser.new_context() as context:
                page = context.new_page()
                page.goto(index.as_uri())
                page.wait_for_selector("#plot .point")
                times.append(page.evaluate("performance.now()") / 1000)
    return round(sorted(times)[2], 2)


if __name__ == "__main__":
    main()

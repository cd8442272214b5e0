"""How long the cost model takes: `python benchmarks/cost.py [--format table|csv|json|markdown|latex]`.

Times are medians of several runs after import, in milliseconds; the limits are those that the project promises.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from hwsim.cost import METRICS, Design, evaluate, overhead, sweep
from hwsim.output import OUTPUTS, write
from hwsim.workloads import Precision, literature, quantized

SWEEP_PRECISIONS = [
    *(Precision("uniform", bits, act_bits) for bits, act_bits in itertools.product(range(2, 9), range(2, 9))),
    *(Precision("pot", bits, act_bits) for bits, act_bits in itertools.product((3, 4), range(2, 9))),
    *(Precision("post", bits, act_bits) for bits, act_bits in itertools.product((3, 4), range(2, 9))),
]
SWEEP_DESIGNS = [
    Design(rows=rows, columns=columns, dataflow=dataflow, style=style)
    for rows, columns in itertools.product((8, 12, 16, 24, 32, 64), repeat=2)
    for dataflow in ("os", "ws", "is")
    for style in ("native", "bitfusion")
][:131]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--format", choices=list(OUTPUTS), default="table")
    write(rows(), parser.parse_args().format, title="Cost model", units={"median_ms": "ms", "limit_ms": "ms"})


def rows() -> list[dict[str, str | float | None]]:
    """Return one row per task: what, how often, median time, promised limit."""
    workload = quantized(literature("resnet50"), Precision("post", 4))
    tasks: list[tuple[str, Callable[[], object], int, float | None]] = [
        *((f"ResNet-50, {name}", _call(metric, workload), 10, None) for name, metric in METRICS.items()),
        ("ResNet-50, every metric", lambda: evaluate(workload), 10, 50),
        ("ResNet-18, overhead at 8, 4, 3, 2 bits", lambda: overhead(literature("resnet18")), 10, None),
        (f"ResNet-18, sweep of {len(SWEEP_PRECISIONS) * len(SWEEP_DESIGNS)} designs", _sweep, 3, 5000),
        ("a new process: import and overhead of ResNet-18", _process, 3, 1500),
    ]
    return [
        {"task": what, "runs": runs, "median_ms": round(_median(task, runs), 3), "limit_ms": limit}
        for what, task, runs, limit in tasks
    ]


def _call(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _sweep() -> None:
    for _ in sweep(literature("resnet18"), SWEEP_PRECISIONS, SWEEP_DESIGNS):
        pass


def _process() -> None:
    code = "from hwsim.cost import overhead; from hwsim.workloads import literature; overhead(literature('resnet18'))"
    subprocess.run([sys.executable, "-c", code], check=True)


def _median(task: Callable[[], object], runs: int) -> float:
    """Return the median of several runs, in ms."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()

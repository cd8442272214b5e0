"""A training step of ResNet-20 on the CPU, eager against the loop's options, interleaved: `python train_step.py`.

Batch 128, 3 x 32 x 32 images, SGD with momentum; `--weights` trains a quantized network. A ratio is the median time of
a row over the eager step's in the same rounds. Compiling takes minutes and does not count.
"""

import argparse
from collections.abc import Callable

import torch
from interleaved import machine, measure, report

from trainers.acceleration import accelerated
from trainers.averaging import Average
from trainers.config import FLOAT
from trainers.device import placed
from trainers.models import make_model
from trainers.objective import TaskObjective
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.quantize import QuantizationConfig, quantize

ROWS: dict[str, set[str]] = {
    "eager": set(),
    "eager, averaged": {"average"},
    "eager, channels last": {"channels_last"},
    "eager, bf16": {"bf16"},
    "compiled": {"compile"},
    "compiled, channels last": {"compile", "channels_last"},
}


def make_step(options: set[str], weights: str, batch: int) -> Callable[[], None]:
    """Return what takes one step with these options of the loop."""
    torch.manual_seed(0)
    x, labels, device = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,)), torch.device("cpu")
    model = make_model("resnet20")
    if weights != FLOAT:
        model = quantize(model, QuantizationConfig(weights=weights), x)
    if "channels_last" in options:
        x = x.contiguous(memory_format=torch.channels_last)
    model = placed(model.train(), device, "channels_last" in options)
    objective = accelerated(TaskObjective(model), device, bf16="bf16" in options, compiled="compile" in options)
    optimizer = make_optimizer(model, momentum=0.9, weight_decay=1e-4)
    set_learning_rate(optimizer, 1e-3)
    average = Average(model, 0.999) if "average" in options else None

    def step() -> None:
        loss, _ = objective(x, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if average is not None:
            average.update(model, 1)

    return step


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default=FLOAT, help="float, or a method for weights at 4 bits")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=ROWS, help="rows besides the eager one (default: all)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = [row for row in ROWS if row == "eager" or options.only is None or row in options.only]
    steps = {row: make_step(ROWS[row], options.weights, options.batch) for row in chosen}
    for step in steps.values():
        step()
    where = machine()  # from here on in real time
    seconds = measure(steps, options.rounds)
    rows: list[dict[str, object]] = [
        {"row": row, "ms": round(s * 1e3, 1), "ratio": round(s / seconds["eager"], 2)} for row, s in seconds.items()
    ]
    report(where, rows, options.json)


if __name__ == "__main__":
    main()

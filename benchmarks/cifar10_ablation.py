"""Table 5 of the ASQ paper rerun on CIFAR-10: `python cifar10_ablation.py --data-dir DIR --init FILE`.

ResNet-20 from float weights, by one recipe for every method, exported and simulated bit by bit on all test images. Runs
stay in --out: what was interrupted continues, what is finished is reused. With --minutes the script stops at a
checkpoint, with exit status 3 while there is more to do; the same command goes on. At its end, or without --data-dir
right away, it prints the table of the records that --out holds. It needs torch, numba, safetensors and Pillow, but no
installation: PYTHONPATH=. in the source tree is enough.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cifar10_results import METHODS, read_records, summaries, table

from hwsim.errors import unknown_name
from hwsim.output import render
from trainers.bwrf import BwrfConfig
from trainers.config import TrainConfig
from trainers.presets import PRESETS
from trainers.run_folder import RECORD
from trainers.study import check_design, run_design

UNFINISHED = 3  #: Exit status of a slice that leaves something to do.
EVALUATION_S = 120.0  #: What is kept of a slice for the evaluation of a trained network on all test images.


class TimeUpError(Exception):
    """A slice is over; what it computed is saved."""


class Slice:
    """The time until an attempt stops, watched at every checkpoint; prints a line per epoch.

    It lasts for one checkpoint at least, so that many short slices come to an end too. A network whose training ends
    late in a slice is evaluated in the next one.
    """

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes
        self.run_id = ""

    def begin(self, run_id: str) -> None:
        """Take note that a run begins, and stop if another one came before and there is no time for a checkpoint.

        Raises:
            TimeUpError: as `stop_unless`.
        """
        if self.run_id:
            self.stop_unless(TrainConfig.checkpoint_seconds)
        self.run_id = run_id

    def stop_unless(self, seconds: float) -> None:
        """Stop unless so much time is left.

        Raises:
            TimeUpError: it is not.
        """
        if time.monotonic() + seconds >= self.end:
            raise TimeUpError

    def step(self, done: float, is_saved: bool) -> None:
        """Stop at a checkpoint if the next one would come after the end."""
        if is_saved:
            self.stop_unless(TrainConfig.checkpoint_seconds)

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Say how an epoch went, and stop if too little time is left for what comes next."""
        result = f"loss {metrics['loss']:.4f}, test {metrics['test_accuracy']:.2%}"
        print(f"{self.run_id}: epoch {epoch} of {epochs}, {result}", file=sys.stderr, flush=True)
        self.stop_unless(EVALUATION_S if epoch == epochs else TrainConfig.checkpoint_seconds)


def make_config(method: str, bits: int, seed: int, options: argparse.Namespace) -> TrainConfig:
    """Return a run of the ablation: the preset for quantized CIFAR-10 networks, but for what is asked.

    Raises:
        ValueError: the method is unknown or does not allow the bits.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    weights, activations, replaces = METHODS[method]
    design: dict[str, Any] = {
        "weights": weights,
        "activations": activations,
        "bwrf": BwrfConfig() if replaces else None,
    }
    given: dict[str, Any] = {"study": f"cifar10_{options.epochs}_epochs", "bits": bits, "seed": seed}
    given |= {name: getattr(options, name) for name in ("epochs", "lr", "data_dir", "init", "device")}
    return replace(PRESETS["cifar10"][1], **given, **design)


def configs(options: argparse.Namespace) -> Iterator[TrainConfig]:
    """Yield the runs asked for: all methods at one width, then the other widths, then other seeds.

    Raises:
        ValueError: as `make_config`, or `check_design` refuses one; nothing is trained before all are checked.
    """
    for seed in numbers(options.seeds, "--seeds"):
        for bits in numbers(options.bits, "--bits"):
            for method in options.methods.split(","):
                config = make_config(method, bits, seed, options)
                check_design(config)
                yield config


def numbers(text: str, option: str) -> list[int]:
    """Return whole numbers separated by commas.

    Raises:
        ValueError: one of them is none.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{option} must be whole numbers separated by commas, got {text!r}") from error


def train(options: argparse.Namespace) -> bool:
    """Train what is not finished and return whether everything is; runs of each number of epochs have a folder.

    Raises:
        ValueError, FileNotFoundError: as `configs` and `run_design`.
    """
    watch = Slice(options.minutes)
    for config in list(configs(options)):
        folder = options.out / config.study / config.run_id
        try:
            if not (folder / RECORD).exists():
                watch.begin(config.run_id)
            run_design(config, folder, watch)
        except TimeUpError:
            return False
    return True


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder that holds cifar-10-batches-py; without it nothing is trained")
    parser.add_argument("--init", help="float weights of resnet20 to start from")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar10"), help="folder of the runs")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of each run (the paper: 300)")
    parser.add_argument("--lr", type=float, default=0.01, help="largest learning rate (the paper: 0.04)")
    parser.add_argument("--methods", default=",".join(METHODS), help="rows of the table, separated by commas")
    parser.add_argument("--bits", default="4,3", help="bits of weights and activations, separated by commas")
    parser.add_argument("--seeds", default="0", help="seeds of each run, separated by commas")
    parser.add_argument("--device", default="cpu", help="what computes: cpu, cuda or cuda:N")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop at a checkpoint after this time")
    parser.add_argument("--format", choices=("markdown", "json"), default="markdown", help="format of the table")
    options = parser.parse_args(arguments)
    if options.data_dir and not options.init:
        parser.error("--data-dir needs --init, the float weights to start from")
    if not options.minutes >= 0:
        parser.error(f"--minutes must not be negative, got {options.minutes}")
    return options


def show(folder: Path, output: str) -> None:
    """Print the table of the records below a folder."""
    rows = summaries(read_records(folder))
    sys.stdout.write(render(rows if output == "json" else table(rows), output))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train if there are data, print the table, and return the exit status."""
    options = parsed(arguments)
    try:
        is_done = train(options) if options.data_dir else True
        show(options.out, options.format)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not is_done:
        print(f"stopped after {options.minutes:g} minutes; the same command goes on", file=sys.stderr)
    return 0 if is_done else UNFINISHED


if __name__ == "__main__":
    sys.exit(main())

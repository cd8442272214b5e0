"""Bit-accurate ResNet-18 against torch's float32, in one process, interleaved; run it as `python simulate_resnet18.py`.

Every row simulates all 20 convolutions and the classifier bit by bit. A ratio is the median time of a row over the
median time of torch float32 eager, both measured in the same rounds. Real-time scheduling is asked for, because on
shared machines OpenMP timings mean little without it.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import numba
import numpy as np
import torch
from interleaved import machine, measure, report
from peers import PEERS, prepare_peer
from resnet18 import float_resnet18, resnet18

from hwsim.accumulator import Accumulator
from hwsim.engines import compiled, tensor, vector_code
from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import Multiplier, TableMultiplier, multiplier_for

FEATURES = vector_code.processor_features()
OUTPUT = "classifier.rescale"
PEER_ROUNDS = 3
PAUSE_S = 0.02  #: Lets the other library's threads stop spinning.


@dataclass(frozen=True)
class Case:
    """A row: what is simulated, how, and the ratio that is asked for at batch 1 and 8."""

    name: str
    engine: str
    multiplier: Multiplier
    accumulator: Accumulator | None
    target: tuple[float, float]
    portable: bool = False


def cases() -> list[Case]:
    """Return the rows of the table."""
    activation = Uniform(4, signed=False)
    uniform, pot = multiplier_for(Uniform(4), activation), multiplier_for(PowerOfTwo(4), activation)
    post = multiplier_for(PowerOfSqrtTwo(4), activation)
    full = multiplier_for(PowerOfSqrtTwo(4), activation, layout="full")
    table, wide_table = random_table(4), random_table(8)
    saturating, saturating16 = Accumulator(12, "saturate"), Accumulator(16, "saturate")
    wrapping = Accumulator(12, "wrap")
    return [
        Case("uniform, exact", "tensor", uniform, None, (0.35, 0.28)),
        Case("uniform, 12-bit wrapping", "tensor", uniform, wrapping, (0.35, 0.28)),
        Case("POT, exact", "tensor", pot, None, (0.35, 0.28)),
        Case("POST shared column, exact", "tensor", post, None, (0.55, 0.48)),
        Case("POST shared column, 16-bit wrapping", "tensor", post, Accumulator(16, "wrap"), (0.55, 0.48)),
        Case("POST full table, exact", "compiled", full, None, (0.90, 0.85)),
        Case("random 4x4-bit table, exact", "compiled", table, None, (0.90, 0.85)),
        Case("uniform, 12-bit saturating", "compiled", uniform, saturating, (1.6, 1.3)),
        Case("random 4x4-bit table, 12-bit saturating", "compiled", table, saturating, (1.6, 1.3)),
        Case("POT, 12-bit saturating", "compiled", pot, saturating, (1.6, 1.3)),
        Case("POST shared column, 12-bit saturating", "compiled", post, saturating, (1.6, 1.3)),
        Case("POST full table, 12-bit saturating", "compiled", full, saturating, (1.6, 1.3)),
        Case("uniform, 16-bit saturating", "compiled", uniform, saturating16, (1.6, 1.3)),
        Case("POT, 16-bit saturating", "compiled", pot, saturating16, (1.6, 1.3)),
        Case("POST shared column, 16-bit saturating", "compiled", post, saturating16, (1.6, 1.3)),
        Case("POST full table, 16-bit saturating", "compiled", full, saturating16, (1.6, 1.3)),
        Case("random 8x8-bit table, exact", "compiled", wide_table, None, (5, 5)),
        Case("random 8x8-bit table, 16-bit saturating", "compiled", wide_table, saturating16, (5, 5)),
        Case("random 4x4-bit table, exact, portable", "compiled", table, None, (2.2, 2.0), True),
        Case("random 4x4-bit table, 12-bit saturating, portable", "compiled", table, saturating, (2.2, 2.0), True),
        Case("POST full table, exact, portable", "compiled", full, None, (2.2, 2.0), True),
        Case("random 8x8-bit table, exact, portable", "compiled", wide_table, None, (5, 5), True),
    ]


def random_table(bits: int) -> TableMultiplier:
    """Return a table of random products of twice as many bits."""
    largest = 2 ** (2 * bits - 1) - 1
    products = np.random.default_rng(0).integers(-largest, largest + 1, (2**bits, 2**bits))
    return TableMultiplier.from_table(products, Uniform(bits), Uniform(bits, signed=False))


def prepared(case: Case, pixels: np.ndarray) -> Callable[[], object]:
    """Return what runs one batch of a row."""
    network = resnet18(case.multiplier, case.accumulator)
    with patch.object(vector_code, "processor_features", lambda: set() if case.portable else FEATURES):
        engine = {"tensor": tensor, "compiled": compiled}[case.engine].prepare(network, [OUTPUT])
    return lambda: engine.run(pixels)


def table_rows(batch: int, rounds: int, names: list[str]) -> list[dict[str, object]]:
    """Return one row per case and the reference."""
    pixels = np.random.default_rng(0).random((batch, 3, 224, 224))
    image, model = torch.from_numpy(pixels).float(), float_resnet18()
    chosen = [case for case in cases() if not names or any(name in case.name for name in names)]
    runs = {"torch float32 eager": lambda: model(image)} | {case.name: prepared(case, pixels) for case in chosen}
    with torch.no_grad():
        seconds = measure(runs, rounds, PAUSE_S)
    base = seconds["torch float32 eager"]
    targets = {case.name: case.target[batch > 1] for case in chosen}
    return [
        {"row": name, "batch": batch, "ms": round(s * 1e3, 2), "ratio": round(s / base, 3), "target": targets.get(name)}
        for name, s in seconds.items()
    ]


def peer_rows() -> list[dict[str, object]]:
    """Return a row per peer, at batch 1, the reference beside it in each round: the same table, and the same sums."""
    pixels = np.random.default_rng(0).random((1, 3, 224, 224))
    image, model, network = torch.from_numpy(pixels).float(), float_resnet18(), resnet18(random_table(4))
    expected = compiled.prepare(network, [OUTPUT]).run(pixels).values[OUTPUT]
    rows: list[dict[str, object]] = []
    for name in PEERS:
        engine = prepare_peer(name, network, [OUTPUT])
        np.testing.assert_array_equal(engine.run(pixels).values[OUTPUT], expected)
        with torch.no_grad():
            seconds = measure({"base": lambda: model(image), name: partial(engine.run, pixels)}, PEER_ROUNDS, PAUSE_S)
        ratio = round(seconds[name] / seconds["base"], 1)
        rows.append({"row": name, "batch": 1, "ms": round(seconds[name] * 1e3), "ratio": ratio, "target": None})
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", choices=("markdown", "json"), default="markdown")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name contains one of these")
    parser.add_argument("--peers", action="store_true", help="the loops of other simulators, too, at batch 1")
    options = parser.parse_args()
    where = machine(numba=numba.__version__, numpy=np.__version__)
    rows = [row for batch in options.batch for row in table_rows(batch, options.rounds, options.only)]
    if options.peers:
        rows += peer_rows()
    report(where, rows, options.format == "json")


if __name__ == "__main__":
    main()

"""Bit-accurate ResNet-18 on a GPU against torch's float32 without TF32: `PYTHONPATH=. python simulate_gpu.py`.

Neither an installation nor numba is needed. Every row simulates all 20 convolutions and the classifier bit by bit,
pixels to outputs; `--check` compares some images with the tensor engine on the CPU first, which does need numba.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from resnet18 import float_resnet18, resnet18

from hwsim.accumulator import Accumulator
from hwsim.engines import device, simulate
from hwsim.formats import PowerOfSqrtTwo, PowerOfTwo, Uniform
from hwsim.multipliers import multiplier_for

OUTPUT = "classifier.rescale"
TARGET = 1.2
ROWS: dict[str, tuple[Any, Accumulator | None]] = {
    "uniform, exact": (Uniform(4), None),
    "uniform, 12-bit wrapping": (Uniform(4), Accumulator(12, "wrap")),
    "POT, exact": (PowerOfTwo(4), None),
    "POST shared column, exact": (PowerOfSqrtTwo(4), None),
}


def seconds(run: Callable[[], object], synchronize: Callable[[], None], rounds: int) -> float:
    """Return the median time of a run, after two that choose algorithms."""
    times = []
    for _ in range(rounds + 2):
        synchronize()
        start = time.perf_counter()
        run()
        synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def main() -> None:
    """Print one JSON object: the machine, and a row per multiplier."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", type=int, default=0, help="images to compare with the tensor engine")
    options = parser.parse_args()
    on_gpu = torch.device(options.device).type == "cuda"
    synchronize = torch.cuda.synchronize if on_gpu else lambda: None
    pixels = np.random.default_rng(0).random((options.batch, 3, 224, 224))
    model, image = float_resnet18().to(options.device), torch.from_numpy(pixels).float().to(options.device)
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        base = seconds(lambda: model(image), synchronize, options.rounds)
    rows = [{"row": "torch float32, TF32 off", "ms": round(base * 1e3, 2), "ratio": 1.0}]
    for name, (weight, accumulator) in ROWS.items():
        network = resnet18(multiplier_for(weight, Uniform(4, signed=False)), accumulator)
        engine = device.prepare(network, [OUTPUT], options.device)
        if options.check:
            expected = simulate(network, pixels[: options.check], "tensor").outputs
            found = engine.to_numpy(engine.run(pixels[: options.check]).values[OUTPUT])
            np.testing.assert_array_equal(found, expected, err_msg=name)
        took = seconds(lambda run=engine.run: run(pixels), synchronize, options.rounds)
        rows.append({"row": name, "ms": round(took * 1e3, 2), "ratio": round(took / base, 3), "target": TARGET})
    where = torch.cuda.get_device_name() if on_gpu else "CPU"
    json.dump({"device": where, "torch": torch.__version__, "batch": options.batch, "rows": rows}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

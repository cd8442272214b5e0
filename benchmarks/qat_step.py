"""A quantization-aware training step against the float step, in one process, interleaved: `python qat_step.py`.

ResNet-20, 3 x 32 x 32 images, SGD with momentum; 18 of 20 layers at 4 bits, the outer ones at 8. A ratio is the
median time of a row over the median time of the float step in the same rounds; a step is timed after another of the
same row, so that it finds memory as in a training. A method for weights runs with LSQ activations, a method for
activations with LSQ weights; BWRF takes the network's own three stages. Brevitas has a row if it is installed:
`pip install 'hwsim[bench]'`. With --compiled the float step and every row are compiled by torch.compile first, which
takes minutes.
"""

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from interleaved import machine, measure, report
from torch import Tensor, nn

from hwsim.cli.progress import progress
from trainers.bwrf import BlockReplacement, BwrfConfig
from trainers.models import make_model
from trainers.objective import Objective, TaskObjective
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.quantize import QuantizationConfig, quantize
from trainers.quantizers import QUANTIZERS

IMAGE = (3, 32, 32)
FLOAT = "float"
USUAL_TARGET = (2.0, None)

#: The ratios that are asked for, eager and compiled; the other methods have the usual target.
TARGETS: dict[str, tuple[float | None, float | None]] = {
    FLOAT: (None, None),
    **dict.fromkeys(("weights lsq", "weights pot", "weights post"), (1.3, 1.1)),
    "activations asq": (1.45, 1.2),
    "bwrf lsq": (2.4, None),
    "brevitas": (None, None),
}

Step = Callable[[], object]


@dataclass(frozen=True)
class Batch:
    """What every row trains on: images and their classes."""

    x: Tensor
    labels: Tensor


def rows() -> list[str]:
    """Return the names of the rows that can run here."""
    methods = [f"{role} {name}" for name, method in QUANTIZERS.items() for role in method.roles]
    unique = [name for name in methods if name != "activations lsq"]  # it is the row "weights lsq"
    return [FLOAT, *unique, "bwrf lsq", *(["brevitas"] if find_spec("brevitas") else [])]


def make_step(row: str, base: nn.Module, batch: Batch, compiled: bool) -> Step:
    """Return what takes one training step of a row."""
    model = make_row(row, base, batch.x)
    objective: Objective = TaskObjective(model)
    if row.startswith("bwrf"):
        objective = BlockReplacement(model, base, BwrfConfig())
    run = compile_row(row, objective) if compiled else objective
    optimizer = make_optimizer(model, momentum=0.9, weight_decay=1e-4)
    set_learning_rate(optimizer, 1e-3)

    def step() -> None:
        loss, _ = run(batch.x, batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def compile_row(row: str, objective: Objective) -> Objective:
    """Return the objective compiled for itself: rows share their code, of which only a few versions would be kept.

    Raises:
        torch._dynamo.exc.Unsupported: a row of ours is not one graph.
    """
    settings = {"fullgraph": row != "brevitas", "dynamic": False, "isolate_recompiles": True}
    run: Objective = torch.compile(objective, **settings)  # type: ignore[call-overload]  # which lacks the last
    return run


def make_row(row: str, base: nn.Module, x: Tensor) -> nn.Module:
    """Return the network of a row; ours start from the weights of `base`."""
    if row == FLOAT:
        return copy.deepcopy(base)
    if row == "brevitas":
        return brevitas_network(base)
    role, method = row.split()
    config = QuantizationConfig(activations=method) if role == "activations" else QuantizationConfig(weights=method)
    return quantize(base, config, x, verbose=False)


def brevitas_network(base: nn.Module) -> nn.Module:
    """Return the network with Brevitas' layers: 4 bits, 8 in the outer ones, learned scales."""
    from brevitas import nn as brevitas_nn
    from brevitas.inject.enum import ScalingImplType
    from brevitas.quant import Int8WeightPerChannelFloat, Uint8ActPerTensorFloat

    learned = {
        "weight_quant": Int8WeightPerChannelFloat,
        "weight_scaling_impl_type": ScalingImplType.PARAMETER_FROM_STATS,
        "input_quant": Uint8ActPerTensorFloat,
    }
    model = copy.deepcopy(base)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    for name, layer in layers.items():
        bits = 8 if name in ("conv1", "linear") else 4
        options = {**learned, "weight_bit_width": bits, "input_bit_width": bits}
        if isinstance(layer, nn.Linear):
            swapped = brevitas_nn.QuantLinear(layer.in_features, layer.out_features, bias=True, **options)
        else:
            sizes = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
            swapped = brevitas_nn.QuantConv2d(*sizes, bias=False, **options)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, swapped)
    return model


def make_steps(options: argparse.Namespace) -> dict[str, Step]:
    """Return the steps of the rows that are asked for, the float one first, each taken once: compiled, if it is."""
    torch.manual_seed(0)
    batch = Batch(torch.randn(options.batch, *IMAGE), torch.randint(10, (options.batch,)))
    base = make_model("resnet20")
    chosen = [row for row in rows() if row == FLOAT or not options.only or row in options.only]
    steps: dict[str, Step] = {}
    with progress("first steps", len(chosen), "rows") as advance:
        for row in chosen:
            advance(len(steps), row)
            steps[row] = make_step(row, base, batch, options.compiled)
            steps[row]()
        advance(len(steps), "")
    return steps


def table_rows(steps: dict[str, Step], rounds: int, compiled: bool) -> list[dict[str, object]]:
    """Return one row per step."""
    seconds = measure(steps, rounds, warm=True)
    return [
        {
            "row": row,
            "ms": round(s * 1e3, 1),
            "ratio": round(s / seconds[FLOAT], 3),
            "target": TARGETS.get(row, USUAL_TARGET)[compiled],
        }
        for row, s in seconds.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", choices=("markdown", "json"), default="markdown")
    parser.add_argument("--batch", type=int, default=128, help="images per step")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--only", nargs="*", default=[], choices=rows(), metavar="ROW", help="such as 'weights lsq' or brevitas"
    )
    parser.add_argument("--compiled", action="store_true", help="compile every row with torch.compile")
    options = parser.parse_args()
    steps = make_steps(options)
    where = machine()  # from here on in real time
    report(where, table_rows(steps, options.rounds, options.compiled), options.format == "json")


if __name__ == "__main__":
    main()

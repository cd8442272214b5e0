"""`hwsim allocate`: bits for each layer, from learned importance and a budget."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli.completion import from_list
from hwsim.cli.options import DryRunOption, FormatOption, Output, complete_data, parse_bits
from hwsim.cli.progress import Advance, progress
from hwsim.cli.train_options import NETWORKS

if TYPE_CHECKING:
    from hwsim.output import Row
    from trainers.allocation import LayerChoices
    from trainers.config import TrainConfig


def allocate(
    budget: Annotated[
        list[str],
        typer.Option(help="bops=N per image, size=BYTES of weights, or bits=B: the bops of B bits. Repeatable."),
    ],
    data: Annotated[
        str, typer.Option(help="Data set, as hwsim train takes it.", autocompletion=complete_data)
    ] = "digits",
    data_dir: Annotated[str | None, typer.Option(help="Folder of the data set's files, if it has any.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Network (default: the data's own).", autocompletion=from_list(NETWORKS))
    ] = None,
    candidates: Annotated[str, typer.Option(help="Widths that a layer may get.", metavar="B,B,...")] = "2,3,4,5,6",
    epochs: Annotated[int, typer.Option(help="Passes over the images that learn the importance.")] = 5,
    lr: Annotated[float, typer.Option(help="Largest learning rate.")] = 0.01,
    weight_decay: Annotated[float, typer.Option(help="L2 decay.")] = 2.5e-5,
    seed: Annotated[int, typer.Option(help="Where all random numbers start.")] = 0,
    init: Annotated[
        str, typer.Option(help="Float weights to start from: auto (train them first), a file or a run's folder.")
    ] = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    overrides: Annotated[
        Path | None, typer.Option(help="File that gets the bits, for hwsim train --overrides.", metavar="FILE")
    ] = None,
    dry_run: DryRunOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Choose the bits of each layer: least sum of learned importances within a budget.

    The layers between the first and the last share the budget; those two have
    8 bits and do not count. The importance is what LSQ's steps become when
    all widths are trained together (LIMPQ, arXiv:2203.08368).

    Example: hwsim allocate --budget bits=3 --overrides bits.json
    """
    from dataclasses import asdict, replace

    from hwsim.files import check_file, write_json
    from hwsim.output import write
    from trainers import allocation
    from trainers.budget import parse_budget
    from trainers.presets import recipe_for

    budgets, widths = [parse_budget(text) for text in budget], parse_bits(candidates, 2, 8, "--candidates")
    recipe = recipe_for(data, is_quantized=True)
    config = replace(recipe, data_dir=data_dir, model=model or recipe.model, epochs=epochs, lr=lr, seed=seed)
    config = replace(config, weight_decay=weight_decay, init=None if init == "auto" else init)
    if overrides is not None:
        check_file(overrides)
    if dry_run:
        write(_plan(config, widths, out, overrides), output.value, title="Would learn the importance of layers")
        return
    rows = allocation.allocate(_importance(config, widths, out), budgets)
    if overrides is not None:
        write_json(overrides, allocation.overrides(rows))
    total = sum(row.bops for row in rows)
    title = f"Bits by layer: {total} bit operations, {sum(row.weight_storage_bits for row in rows) / 8:g} bytes"
    write([asdict(row) for row in rows], output.value, title=title)


def _plan(config: "TrainConfig", widths: list[int], out: Path, overrides: Path | None) -> "list[Row]":
    """Return the float run, unless weights are named, and the training of the importance, which keeps no files."""
    from hwsim.cli.dry_run import run_row
    from hwsim.cli.train import after_float
    from trainers.data import open_data
    from trainers.plan import plan_runs
    from trainers.quantizers_only import in_memory
    from trainers.run_folder import find_init

    images = len(in_memory(open_data(config.data, config.data_dir)).train_labels)
    steps = config.epochs * -(-images // config.batch_size)
    row: Row = {"run": f"importance at {', '.join(map(str, widths))} bits", "would": "train", "epochs": config.epochs}
    written = None if overrides is None else str(overrides)
    learning = {**row, "steps": steps, "steps_left": steps, "writes": written}
    if config.init is not None:
        find_init(config.init, out / "importance")
        return [learning]
    before, _ = after_float(config)
    return [*map(run_row, plan_runs([before], out)), learning]


def _importance(config: "TrainConfig", widths: list[int], out: Path) -> "list[LayerChoices]":
    """Learn the importance, from a float network that is trained first if none is named."""
    from hwsim.cli.train import after_float, run
    from trainers.importance import learn_importance

    if config.init is None:
        before, config = after_float(config)
        run(before, out)
    with progress("importance", config.epochs, "epochs") as advance:
        return learn_importance(config, widths, out / "importance", _Bar(advance))


class _Bar:
    """Shows the epochs as progress."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance

    def step(self, done: float, is_saved: bool) -> None:
        """Do nothing: epochs are short."""

    def update(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Show one more finished epoch."""
        self.advance(epoch, f"loss {metrics['loss']:.3f}")

"""`hwsim evaluate`: the accuracy of float weights."""

from typing import Annotated, Any

import typer

from hwsim.cli.completion import from_list
from hwsim.cli.options import DryRunOption, FormatOption, Output, complete_data, parse_settings
from hwsim.cli.progress import progress
from hwsim.cli.train_options import NETWORKS


def evaluate(
    init: Annotated[str, typer.Argument(help="Float weights: a file, such as a public checkpoint, or a run's folder.")],
    data: Annotated[
        str, typer.Option(help="Data set, as hwsim train takes it.", autocompletion=complete_data)
    ] = "digits",
    data_dir: Annotated[str | None, typer.Option(help="Folder of the data set's files, if it has any.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Network, as hwsim train takes it (default: the data's own).", autocompletion=from_list(NETWORKS)
        ),
    ] = None,
    model_option: Annotated[
        list[str] | None,
        typer.Option(help="Option of the network, such as shortcut=B or classes=100.", metavar="NAME=VALUE"),
    ] = None,
    dry_run: DryRunOption = False,
    output: FormatOption = Output.table,
) -> None:
    """Report the accuracy of a float network on all test images.

    The integer networks that hwsim train leaves are for hwsim simulate.

    Example: hwsim evaluate runs/digits-digits_resnet-float-s0
    """
    from dataclasses import replace
    from pathlib import Path

    from hwsim.errors import unknown_name
    from hwsim.output import write
    from trainers.data import open_data
    from trainers.evaluate import count_correct
    from trainers.loop import float_network
    from trainers.presets import PRESETS
    from trainers.run_folder import find_init
    from trainers.study import check_fits

    if data not in PRESETS:
        raise unknown_name("data set", data, PRESETS)
    preset = PRESETS[data][0]
    model_options = {**preset.model_options, **parse_settings(model_option, "--model-option")}
    recipe = replace(preset, data_dir=data_dir, model_options=model_options)
    config = recipe if model is None else replace(recipe, model=model)
    weights = find_init(init, Path())
    check_fits(config)
    dataset, network = open_data(data, data_dir), float_network(config, weights)
    images = len(dataset.test_labels)
    row: dict[str, Any] = {"network": config.model, "data": data, "images": images}
    if dry_run:
        write([row], output.value, title=f"Would evaluate the float weights of {weights}")
        return
    with progress("evaluating", images, "images") as advance:
        correct = count_correct(network, dataset, lambda done: advance(done, ""))
    row |= {"correct": correct, "accuracy": correct / images}
    write([row], output.value, title=f"Float weights of {weights}")

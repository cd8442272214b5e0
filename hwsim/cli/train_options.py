"""The options of `hwsim train`: one dataclass, whose fields are options, in the order and the panels of `--help`.

An option with the name of a field of `trainers.config.TrainConfig` sets that field; `hwsim.cli.train_config` says what
the others mean. None leaves the data set's recipe as it is. The registries of `trainers` would take a second to import,
so what can be chosen is listed here once more, and a test compares.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Option

from hwsim.cli.completion import from_list
from hwsim.cli.options import DATA_SETS, DryRunOption, FormatOption, Output, complete_data

NETWORKS = (
    "digits_resnet, resnet20, resnet32, resnet44, resnet56, vgg_small, resnet18, resnet34, resnet50, mobilenetv2, "
    "vgg16, alexnet"
)
WEIGHTS = "float, uniform, lsq_plus, dorefa, sawb, dsq, faq, ewgs, daq, pot, post, qil, inq, apot, lq_nets, nipq"
ACTIVATIONS = "lsq, lsq_plus, dorefa, pact, dsq, faq, ewgs, daq, asq, qil, apot, lq_nets, nipq"
SCHEDULES = "cosine, step, constant"
AUGMENTATIONS = "none, crop_flip"

_data = partial(Option, rich_help_panel="Data and network")
_method = partial(Option, rich_help_panel="Quantization")
_hardware = partial(Option, rich_help_panel="Hardware to train through")
_recipe = partial(Option, rich_help_panel="Recipe")
_learning = partial(Option, rich_help_panel="Other ways to learn")
_bwrf = partial(Option, rich_help_panel="Block-wise replacement")
_machine = partial(Option, rich_help_panel="Machine")
_run = partial(Option, rich_help_panel="Runs")


@dataclass(frozen=True)
class TrainOptions:
    """What the user gave."""

    data: Annotated[str, _data(help=f"Data set: {DATA_SETS}.", autocompletion=complete_data)] = "digits"
    data_dir: Annotated[str | None, _data(help="Folder of the data set's files, if it has any.")] = None
    skip_broken: Annotated[
        bool, _data("--skip-broken", help="Leave out images that do not decode; the record names them.")
    ] = False
    model: Annotated[
        str | None, _data(help=f"Network: {NETWORKS} (default: the data's own).", autocompletion=from_list(NETWORKS))
    ] = None
    model_option: Annotated[
        list[str] | None,
        _data(help="Option of the network, such as shortcut=B or classes=100.", metavar="NAME=VALUE"),
    ] = None
    init: Annotated[
        str, _data(help="Float weights to start from: auto (train them first), none, a file or a run's folder.")
    ] = "auto"

    weights: Annotated[str, _method(help=f"Weights: {WEIGHTS}.", autocompletion=from_list(WEIGHTS))] = "uniform"
    activations: Annotated[
        str, _method(help=f"Method for activations: {ACTIVATIONS}.", autocompletion=from_list(ACTIVATIONS))
    ] = "lsq"
    weight_option: Annotated[
        list[str] | None,
        _method(help="Option of the weights' method, as hwsim methods lists.", metavar="NAME=VALUE"),
    ] = None
    activation_option: Annotated[
        list[str] | None, _method(help="Option of the activations' method.", metavar="NAME=VALUE")
    ] = None
    bits: Annotated[int, _method(help="Bits of a weight.")] = 4
    act_bits: Annotated[int | None, _method(help="Bits of an activation (default: as a weight).")] = None
    first_last: Annotated[str | None, _method(help="Bits of the first and last layer (default: 8), or `same`.")] = None
    overrides: Annotated[
        Path | None, _method(help="JSON file of changes by layer name, such as hwsim allocate writes.", metavar="FILE")
    ] = None
    budget: Annotated[
        str | None,
        _method(help="What learned bits (nipq) are kept within, on average or per image.", metavar="bits=N|bops=N"),
    ] = None
    exponents: Annotated[int | None, _method(help="Magnitudes that pot and post use (default: all).")] = None
    extended: Annotated[bool, _method("--extended", help="The papers' level set, one code bit more.")] = False

    fraction_bits: Annotated[int, _hardware(help="Fraction bits of post's look-up table.")] = 6
    layout: Annotated[str, _hardware(help="Layout of that table: shared or full.")] = "shared"
    multiplier: Annotated[
        list[str] | None,
        _hardware(
            metavar="TABLE|PATTERN=TABLE",
            help="Product table to train through, in every layer or in layers of a name; repeatable. An example's "
            "name, a .npy, .csv or .h file, or file.py:function.",
        ),
    ] = None
    accumulator_bits: Annotated[int | None, _hardware(help="Accumulator width to train through.")] = None
    overflow: Annotated[str | None, _hardware(help="What such an accumulator does: wrap or saturate.")] = None

    epochs: Annotated[int | None, _recipe(help="Passes over the images (default: the data's recipe).")] = None
    batch_size: Annotated[int | None, _recipe(help="Images per step (default: the recipe).")] = None
    lr: Annotated[float | None, _recipe(help="Largest learning rate (default: the recipe).")] = None
    momentum: Annotated[float | None, _recipe(help="Momentum of SGD (0.9).")] = None
    nesterov: Annotated[bool, _recipe("--nesterov", help="Let momentum look ahead.")] = False
    weight_decay: Annotated[float | None, _recipe(help="L2 decay (default: the recipe).")] = None
    schedule: Annotated[
        str | None, _recipe(help=f"How the rate falls: {SCHEDULES} (cosine).", autocompletion=from_list(SCHEDULES))
    ] = None
    warmup_epochs: Annotated[int | None, _recipe(help="Epochs in which the rate rises first (0).")] = None
    milestones: Annotated[
        str | None, _recipe(help="Epochs after which the schedule step falls.", metavar="E,E,...")
    ] = None
    gamma: Annotated[float | None, _recipe(help="What it multiplies the rate by (0.1).")] = None
    label_smoothing: Annotated[float | None, _recipe(help="Share of a label spread over all classes (0).")] = None
    average: Annotated[
        float | None, _recipe(help="Keep the weights' moving average beside them, of this decay.", metavar="DECAY")
    ] = None
    augment: Annotated[
        str | None,
        _recipe(
            help=f"Random changes of the images: {AUGMENTATIONS} (default: the recipe).",
            autocompletion=from_list(AUGMENTATIONS),
        ),
    ] = None

    progressive: Annotated[
        str | None,
        _learning(help="Bits to train before, falling: a run each, from the one before.", metavar="B,B,..."),
    ] = None
    train_quantizers_only: Annotated[
        bool, _learning("--train-quantizers-only", help="Freeze weights; quantizers imitate the float network.")
    ] = False
    calibration_data: Annotated[str | None, _learning(help="Data set that they learn on (default: the task's).")] = None
    calibration_dir: Annotated[str | None, _learning(help="Folder of its files, if it has any.")] = None

    bwrf: Annotated[bool, _bwrf("--bwrf", help="Train with block-wise replacement by float stages.")] = False
    bwrf_stages: Annotated[
        str | None, _bwrf(help="Modules that its stages end with, by commas (default: the network's stages).")
    ] = None
    bwrf_distillation: Annotated[float | None, _bwrf(help="Weight of its teacher's divergence (1).")] = None
    bwrf_branch_task: Annotated[float | None, _bwrf(help="Weight of its branches' cross-entropy (1).")] = None
    bwrf_branch_distillation: Annotated[
        float | None, _bwrf(help="Weight of its branches' divergence from the teacher (1).")
    ] = None
    bwrf_branch_teaching: Annotated[
        float | None, _bwrf(help="Weight of the network's divergence from the branches (0).")
    ] = None
    bwrf_temperature: Annotated[float | None, _bwrf(help="Temperature of the divergences (4).")] = None

    device: Annotated[str, _machine(help="What trains: cpu, cuda or cuda:N.")] = "cpu"
    threads: Annotated[int | None, _machine(help="Threads of a CPU's arithmetic, part of the result (1).")] = None
    bf16: Annotated[bool, _machine("--bf16", help="Convolutions in bfloat16; quantizers stay in float32.")] = False
    channels_last: Annotated[bool, _machine("--channels-last", help="Channels last in memory.")] = False
    compile: Annotated[bool, _machine("--compile", help="Compile the training step; takes a minute or two.")] = False
    tensorboard: Annotated[bool, _machine("--tensorboard", help="Write metrics for TensorBoard, too.")] = False

    seed: Annotated[int | None, _run(help="Where all random numbers start (0).")] = None
    seeds: Annotated[str | None, _run(help="Several seeds, a run each.", metavar="S,S,...")] = None
    parallel: Annotated[int, _run(help="Runs at a time, each in a process of its own.")] = 1
    study: Annotated[str, _run(help="Name of the group of runs in reports.")] = "runs"
    out: Annotated[Path, _run(help="Folder that gets one folder per run.")] = Path("runs")
    dry_run: DryRunOption = False
    output: FormatOption = Output.table

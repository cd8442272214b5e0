"""What the options of `hwsim train` mean: the configurations of the runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.cli.options import parse_bits, parse_integers, parse_names, parse_settings, parse_width
from hwsim.cli.train_options import TrainOptions

if TYPE_CHECKING:
    from trainers.bwrf import BwrfConfig
    from trainers.config import TrainConfig


def configs_of(options: TrainOptions) -> "list[TrainConfig]":
    """Return the design that the options ask for, once for each seed.

    Raises:
        ValueError: an option or a combination is not one of those allowed.
        OSError: the file of overrides cannot be read.
    """
    from dataclasses import replace

    config = config_of(options)
    if options.seeds is None:
        return [config]
    if options.seed is not None:
        raise ValueError("--seed is one run and --seeds are several: give one of them")
    return [replace(config, seed=seed) for seed in parse_integers(options.seeds, "--seeds")]


def config_of(options: TrainOptions) -> "TrainConfig":
    """Return the data set's recipe with what the user gave in its place."""
    from dataclasses import replace

    from trainers.config import FLOAT, TrainConfig
    from trainers.presets import recipe_for

    recipe = recipe_for(options.data, options.weights != FLOAT, bool(options.train_quantizers_only))
    given = vars(options) | _converted(options)
    given["model_options"] = {**recipe.model_options, **parse_settings(options.model_option, "--model-option")}
    fields = {name: value for name, value in given.items() if name in TrainConfig.__dataclass_fields__}
    if options.first_last is not None:
        recipe = replace(recipe, first_last_bits=_first_last(options.first_last))
    return replace(recipe, **{name: value for name, value in fields.items() if value is not None})


def _converted(options: TrainOptions) -> dict[str, Any]:
    """Return the fields whose options are text, or have other names."""
    progressive, milestones, multiplier = options.progressive, options.milestones, options.multiplier
    return {
        "init": None if options.init in ("auto", "none") else options.init,
        "weight_options": parse_settings(options.weight_option, "--weight-option") or None,
        "activation_options": parse_settings(options.activation_option, "--activation-option") or None,
        "overrides": _overrides(options.overrides),
        "multiplier": tuple(multiplier) if multiplier else None,
        "milestones": tuple(parse_integers(milestones, "--milestones")) if milestones is not None else None,
        "progressive": tuple(parse_bits(progressive, 2, 8, "--progressive")) if progressive is not None else None,
        "quantizers_only": options.train_quantizers_only,
        "bwrf": _bwrf(options),
    }


def _first_last(text: str) -> int | None:
    """Return the bits of the outer layers; None: as the others."""
    return None if text == "same" else parse_width(text, 2, 8, "--first-last")


def _overrides(path: Path | None) -> Mapping[str, Any] | None:
    """Return the changes by layer that a file holds."""
    from hwsim.files import read_json

    if path is None:
        return None
    changes = read_json(path)
    for pattern, fields in changes.items():
        if not isinstance(fields, dict):
            raise ValueError(f'{path}: {pattern!r} must name fields to change, such as {{"bits": 3}}, got {fields!r}')
    return changes


def _bwrf(options: TrainOptions) -> "BwrfConfig | None":
    """Return the settings of block-wise replacement, None if it is not asked for."""
    from trainers.bwrf import BwrfConfig

    prefix = "bwrf_"
    given = {name.removeprefix(prefix): value for name, value in vars(options).items() if name.startswith(prefix)}
    given = {name: value for name, value in given.items() if value is not None}
    if not options.bwrf:
        for name in given:
            raise ValueError(f"--bwrf-{name.replace('_', '-')} needs --bwrf")
        return None
    if "stages" in given:
        given["stages"] = tuple(parse_names(given["stages"], "--bwrf-stages"))
    return BwrfConfig(**given)

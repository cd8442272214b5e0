"""Recipes that are known to work, one pair per data set: for the float network, and for a quantized one after it."""

from dataclasses import replace

from hwsim.errors import unknown_name
from trainers.config import TrainConfig

DIGITS = (
    TrainConfig(data="digits", model="digits_resnet", epochs=40, batch_size=128, lr=0.2, weight_decay=2e-3),
    TrainConfig(
        data="digits", model="digits_resnet", epochs=20, batch_size=128, lr=0.05, weight_decay=1e-3, weights="uniform"
    ),
)

CIFAR = (
    TrainConfig(data="cifar10", model="resnet20", epochs=200, batch_size=128, lr=0.1, augment="crop_flip"),
    TrainConfig(
        data="cifar10", model="resnet20", epochs=30, batch_size=128, lr=0.01, augment="crop_flip", weights="uniform"
    ),
)
GREY = tuple(replace(recipe, epochs=10, model_options={"channels": 1}) for recipe in DIGITS)  # not tuned

#: Data set -> (float recipe, quantized recipe).
PRESETS: dict[str, tuple[TrainConfig, TrainConfig]] = {
    "digits": DIGITS,
    "strokes": (replace(DIGITS[0], data="strokes"), replace(DIGITS[1], data="strokes")),
    "mnist": (replace(GREY[0], data="mnist"), replace(GREY[1], data="mnist")),
    "fashion_mnist": (replace(GREY[0], data="fashion_mnist"), replace(GREY[1], data="fashion_mnist")),
    "cifar10": CIFAR,
    "imagefolder": (
        TrainConfig(data="imagefolder", model="resnet18", epochs=90, batch_size=256, lr=0.1),
        TrainConfig(data="imagefolder", model="resnet18", epochs=30, batch_size=256, lr=0.01, weights="uniform"),
    ),
    "cifar100": (
        replace(CIFAR[0], data="cifar100", model_options={"classes": 100}),
        replace(CIFAR[1], data="cifar100", model_options={"classes": 100}),
    ),
}


#: Learning rate of quantizers that learn alone, relative to the recipe's: with batch norm at rest nothing takes up what
#: a step that moves too far does to the size of all that follows (`trainers.quantizers_only` has figures).
ALONE = 0.04


def recipe_for(data: str, is_quantized: bool, quantizers_only: bool = False) -> TrainConfig:
    """Return the recipe of a data set; quantizers that learn alone do so at a smaller rate.

    Raises:
        ValueError: there is no recipe for this data set.
    """
    if data not in PRESETS:
        raise unknown_name("data set", data, PRESETS)
    recipe = PRESETS[data][is_quantized]
    return replace(recipe, lr=ALONE * recipe.lr) if quantizers_only else recipe


def float_recipe(config: TrainConfig) -> TrainConfig:
    """Return the float run that a quantized run starts from: the preset with this run's data, model and machine."""
    recipe = PRESETS[config.data][0]
    data = ("study", "data_dir", "model", "model_options", "skip_broken", "seed")
    machine = ("threads", "device", "bf16", "channels_last", "compile", "tensorboard", "checkpoint_seconds")
    return replace(recipe, **{name: getattr(config, name) for name in (*data, *machine)})

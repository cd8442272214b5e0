"""Everything that decides what a training run computes."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from hwsim.accumulator import Accumulator
from hwsim.choices import parse_choices
from hwsim.errors import unknown_name
from trainers.augment import AUGMENTATIONS
from trainers.budget import parse_budget
from trainers.bwrf import BwrfConfig
from trainers.device import check_device
from trainers.quantize import QuantizationConfig
from trainers.quantizers import ALIASES, QUANTIZERS
from trainers.schedule import SCHEDULES, Plan

FLOAT = "float"


@dataclass(frozen=True)
class TrainConfig:
    """One training run: of a float network, or of a quantized one that starts from it.

    Raises:
        ValueError: a name is unknown, or a number is outside what its field allows.
    """

    study: str = "runs"  #: Which group of runs this one belongs to.
    data: str = "digits"  #: Data set.
    data_dir: str | None = None  #: Folder of the data set's files, if it has any.
    skip_broken: bool = False  #: Leave out images of a folder that do not decode; the record names them.
    model: str = "digits_resnet"  #: Network.
    model_options: Mapping[str, Any] = field(default_factory=dict)  #: Arguments of the network, such as widths.
    weights: str = FLOAT  #: Method for weights: uniform, pot, post, or float for a network that is not quantized.
    activations: str = "lsq"  #: Method for activations.
    bits: int = 4  #: Bits of a weight.
    act_bits: int | None = None  #: Bits of an activation; None: as many as a weight has.
    first_last_bits: int | None = 8  #: Bits of the first and last layer, uniform there; None: as the others.
    per_channel: bool = True  #: One weight scale per output channel rather than per layer, if the method has such.
    exponents: int | None = None  #: How many magnitudes POT and POST use; None: all that the code holds.
    extended: bool = False  #: The released code's level set of POT and POST, which takes one more bit.
    weight_options: Mapping[str, Any] = field(default_factory=dict)  #: Further options of the weights' method.
    activation_options: Mapping[str, Any] = field(default_factory=dict)  #: Options of the activations' method.
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  #: Per-layer changes by name pattern.
    bwrf: BwrfConfig | None = None  #: Block-wise replacement around the methods, if any.
    fraction_bits: int = 6  #: Fraction bits of the product table that export builds for POST.
    layout: str = "shared"  #: Layout of that table: shared or full.
    multiplier: tuple[str, ...] | None = None  #: Product tables to train through, each `TABLE` or `PATTERN=TABLE`.
    accumulator_bits: int | None = None  #: Width of the accumulators to train through; None: as wide as needed.
    overflow: str | None = None  #: What such an accumulator does: wrap or saturate.
    epochs: int = 30  #: Passes over the training images.
    batch_size: int = 64  #: Images per step; the last step of an epoch takes what is left.
    lr: float = 0.1  #: Largest learning rate.
    momentum: float = 0.9  #: Momentum of SGD.
    weight_decay: float = 1e-4  #: L2 decay of weights and batch norm; scales do not decay.
    nesterov: bool = False  #: Momentum looks ahead.
    schedule: str = "cosine"  #: How the learning rate falls, step by step: cosine, step or constant.
    warmup_epochs: int = 0  #: Epochs at the start in which the learning rate rises linearly.
    milestones: tuple[int, ...] = ()  #: Epochs after which the schedule `step` falls.
    gamma: float = 0.1  #: What it multiplies the learning rate by.
    label_smoothing: float = 0.0  #: Share of a label that is spread over all classes.
    average: float | None = None  #: Decay of the weights' moving average, kept and evaluated beside them.
    augment: str = "none"  #: Random changes of the training images.
    seed: int = 0  #: Where all random numbers start.
    init: str | None = None  #: Float weights to start from: a file, a run's folder, or the name of a run beside this.
    progressive: tuple[int, ...] = ()  #: Bits of the runs before this one, falling; `init` is then the last of them.
    budget: str | None = None  #: What learned bits are kept within: `bits=4` on average, or `bops=0.5G` per image.
    quantizers_only: bool = False  #: Weights and batch norm stay as they are, only the quantizers learn.
    calibration_data: str | None = None  #: Data set whose images the quantizers learn on, if not the task's.
    calibration_dir: str | None = None  #: Folder of that data set's files, if it has any.
    calibration_images: int = 256  #: Training images that the scales start from.
    threads: int = 1  #: Threads of the arithmetic; part of the result, since it decides the order of sums.
    device: str = "cpu"  #: What computes: cpu, cuda or cuda:N.
    bf16: bool = False  #: Convolutions and matrix products of training steps in bfloat16; quantizers in float32.
    channels_last: bool = False  #: Images and weights have their channels last in memory.
    compile: bool = False  #: Training steps are compiled, on a GPU as CUDA graphs.
    tensorboard: bool = False  #: Metrics go to a folder for TensorBoard, too.
    checkpoint_seconds: float = 30.0  #: A long epoch is saved this often.

    def __post_init__(self) -> None:
        self._check_numbers()
        for kind, known in (("schedule", SCHEDULES), ("augment", AUGMENTATIONS)):
            if getattr(self, kind) not in known:
                raise unknown_name(kind, getattr(self, kind), known)
        self._check_recipe()
        self._check_hardware()
        if self.is_quantized:
            self._check_methods()
            self.quantization  # noqa: B018  # its own checks run now rather than after loading the data

        self._check_budget()
        self._check_bwrf()
        self._check_progressive()
        self._check_quantizers_only()

    def _check_numbers(self) -> None:
        for name in ("epochs", "batch_size", "calibration_images", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lr", "weight_decay", "seed", "checkpoint_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number that is not negative, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {self.momentum}")

    def _check_recipe(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))  # a list, where it comes from JSON
        self.plan  # noqa: B018  # its own checks
        if bool(self.milestones) != (self.schedule == "step"):
            raise ValueError(f"the schedule step needs milestones and the others have none, got {self.schedule} "
                             f"with {len(self.milestones)}")  # fmt: skip
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum over 0")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, got {self.label_smoothing}")
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"average is a decay over 0 and below 1, got {self.average}")
        check_device(self.device, (self.weights, self.activations))

    def _check_budget(self) -> None:
        learns = "nipq" in (self.weights, self.activations)
        if learns and self.hardware:
            raise ValueError("nipq changes its formats as it learns, so there are no product tables to train through")
        if self.budget is None:
            return
        if not learns:
            raise ValueError("a budget is for methods that learn their bits: nipq for weights or activations")
        if parse_budget(self.budget).kind == "size":
            raise ValueError(f"the budget of a training is bits=NUMBER or bops=NUMBER, got {self.budget!r}")

    def _check_bwrf(self) -> None:
        if self.bwrf is not None and not self.is_quantized:
            raise ValueError("BWRF trains a quantized network, but weights are float")

    def _check_progressive(self) -> None:
        object.__setattr__(self, "progressive", tuple(self.progressive))  # a list, where it comes from JSON
        if not self.progressive:
            return
        if not self.is_quantized:
            raise ValueError("progressive training is of a quantized network, but weights are float")
        widths = (9, *self.progressive, self.bits)
        if any(low >= high for high, low in pairwise(widths)):
            before = ", ".join(str(bits) for bits in self.progressive)
            raise ValueError(f"progressive bits must fall from 8 at most to above the run's {self.bits}, got {before}")
        if self.bwrf is not None:
            raise ValueError("BWRF starts from float weights, so the run cannot be progressive")

    def _check_quantizers_only(self) -> None:
        if not self.quantizers_only:
            if self.calibration_data is not None:
                raise ValueError("calibration_data is for quantizers_only: weights learn from the task's data")
            return
        if not self.is_quantized:
            raise ValueError("quantizers_only is for a quantized network, but weights are float")
        for name in ("progressive", "bwrf"):
            if getattr(self, name):
                raise ValueError(f"{name} trains weights, so it does not go with quantizers_only")
        if self.label_smoothing:
            raise ValueError("quantizers_only learns from the float network, not from labels: no label_smoothing")

    def _check_methods(self) -> None:
        for role, names in (("weights", (FLOAT,)), ("activations", ())):
            method = getattr(self, role)
            if method not in (*ALIASES, *QUANTIZERS):
                known = [name for name, cls in QUANTIZERS.items() if role in cls.roles]
                raise unknown_name(f"method for {role}", method, [*names, *ALIASES, *known])

    def _check_hardware(self) -> None:
        if not self.is_quantized and (self.multiplier or self.accumulator_bits is not None):
            raise ValueError("a float network has no product tables and no accumulators to train through")
        if self.hardware and (self.device != "cpu" or self.compile):
            raise ValueError("product tables and accumulators are trained through on the CPU, not compiled")
        if (self.accumulator_bits is None) != (self.overflow is None):
            raise ValueError("accumulator_bits and overflow belong together")
        if self.overflow == "error":
            raise ValueError("overflow of the accumulator to train through must be wrap or saturate, got 'error'")
        if self.accumulator_bits is not None and self.overflow is not None:
            Accumulator(self.accumulator_bits, self.overflow)  # its own checks

    @property
    def plan(self) -> Plan:
        """What the schedule of the learning rate needs to know."""
        return Plan(self.epochs, self.warmup_epochs, self.milestones, self.gamma)

    @property
    def hardware(self) -> str:
        """Short name of the tables and accumulators to train through, such as "drum"; empty if there are none."""
        tables = [Path(choice.value).stem for choice in parse_choices(self.multiplier or ())]
        register = [] if self.accumulator_bits is None else [f"{self.overflow}{self.accumulator_bits}"]
        return "+".join(re.sub(r"[^\w.]+", "_", name) for name in tables + register)

    @property
    def is_quantized(self) -> bool:
        """Whether the network learns quantized weights."""
        return self.weights != FLOAT

    @property
    def quantization(self) -> QuantizationConfig:
        """The part of the configuration that `quantize` takes."""
        names = QuantizationConfig.__dataclass_fields__
        return QuantizationConfig(**{name: getattr(self, name) for name in names})

    @property
    def design(self) -> str:
        """Short name of what is trained: float, uniform-w4a4, pot-w3a8, post-w4a4-bwrf, ..."""
        if not self.is_quantized:
            return FLOAT
        method = self.weights if self.activations == "lsq" else f"{self.weights}-{self.activations}"
        bits = f"{method}-w{self.bits}a{self.quantization.activation_bits}"
        return "-".join(filter(None, [bits, *self._codes, *self._training, self.hardware]))

    @property
    def _codes(self) -> list[str]:
        """What the design's name says of POT's and POST's codes and tables; nothing of the usual ones."""
        usual = TrainConfig.__dataclass_fields__
        return [
            *([f"e{self.exponents}"] if self.exponents is not None else []),
            *(["extended"] if self.extended else []),
            *([f"k{self.fraction_bits}"] if self.fraction_bits != usual["fraction_bits"].default else []),
            *([self.layout] if self.layout != usual["layout"].default else []),
        ]

    @property
    def _overrides_hash(self) -> str:
        """Six digits that tell overrides apart."""
        return hashlib.sha256(json.dumps(self.overrides, sort_keys=True).encode()).hexdigest()[:6]

    @property
    def _training(self) -> list[str]:
        """What the design's name says of how it is trained; nothing of the usual way."""
        return [
            *(["mixed", self._overrides_hash] if self.overrides else []),
            *([self.budget.replace("=", "")] if self.budget is not None else []),
            *(["bwrf"] if self.bwrf is not None else []),
            *(["after", *map(str, self.progressive)] if self.progressive else []),
            *(["quantizers"] if self.quantizers_only else []),
            *(["on", self.calibration_data] if self.calibration_data is not None else []),
        ]

    @property
    def run_id(self) -> str:
        """Name of the run and of its folder: data, model, design and seed."""
        return f"{self.data}-{self.model}-{self.design}-s{self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON values; the activations' bits are spelled out, a GPU's number is left out."""
        values = asdict(self)
        values["device"] = self.device.partition(":")[0]
        values["act_bits"] = self.bits if self.act_bits is None else self.act_bits
        values |= {name: list(getattr(self, name)) for name in ("progressive", "milestones")}
        return values

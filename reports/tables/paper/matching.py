"""Which of our runs belong to which row of a published table: by what their records say they were configured as."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reports.run_groups import RunGroup


class Method(NamedTuple):
    """How a run quantizes: methods by their names here, and whether block-wise replacement is around them."""

    weights: str
    activations: str
    bwrf: bool = False


LSQ = Method("lsq", "lsq")
APOT = (Method("apot", "apot"), Method("apot", "lsq"))

#: Row of a paper -> methods here that it is compared with; each of several gets a line of its own.
METHODS: Mapping[str, tuple[Method, ...]] = {
    "LSQ": (LSQ,),
    "LSQ*": (LSQ,),
    "LSQ (in LSQ+)": (LSQ,),
    "LSQ with BWRF": (Method("lsq", "lsq", bwrf=True),),
    "LSQ+": (Method("lsq_plus", "lsq_plus"),),
    "POT": (Method("pot", "lsq"),),
    "POST": (Method("post", "lsq"),),
    "ASQ": (Method("lsq", "asq"),),
    "ASQ+POST": (Method("post", "asq"),),
    "ASQ+POST with BWRF": (Method("post", "asq", bwrf=True),),
    "APoT": APOT,
    "APoT*": APOT,
    "APoT, released": APOT,
    "LQ-Nets": (Method("lq_nets", "lq_nets"),),
    "QIL": (Method("qil", "qil"),),
    "DSQ": (Method("dsq", "dsq"),),
    "DAQ": (Method("daq", "daq"),),
    "FAQ": (Method("faq", "faq"),),
    "DoReFa": (Method("dorefa", "dorefa"),),
    "PACT": (Method("dorefa", "pact"), Method("sawb", "pact")),
}
ALIASES = {"uniform": "lsq"}  #: Names of formats that stand for the method that trains them.

MODELS = {
    "ResNet-18": "resnet18",
    "ResNet-20": "resnet20",
    "ResNet-34": "resnet34",
    "ResNet-50": "resnet50",
    "ResNet-56": "resnet56",
    "MobileNetV2": "mobilenetv2",
}
#: Data of a paper -> data set here, and the number of test images that its accuracies are of. A folder of images is
#: taken for ImageNet if it has as many as that has.
DATA = {"CIFAR-10": ("cifar10", 10_000), "ImageNet": ("imagefolder", 50_000)}

#: Settings that make a run something else than one method at one width.
PECULIAR = ("overrides", "budget", "multiplier", "accumulator_bits", "quantizers_only")


def method_of(group: RunGroup) -> Method:
    """Return how the runs of a design quantize."""
    config = group.config
    weights, activations = (str(config.get(role)) for role in ("weights", "activations"))
    return Method(
        ALIASES.get(weights, weights), ALIASES.get(activations, activations), bwrf=config.get("bwrf") is not None
    )


def matching(groups: Iterable[RunGroup], data: str, model: str, method: str) -> list[RunGroup]:
    """Return the designs that were trained as the row says, at any width, in their order."""
    known = METHODS.get(method, ())
    return [group for group in groups if is_of(group, data, model) and method_of(group) in known]


def is_of(group: RunGroup, data: str, model: str) -> bool:
    """Say whether a design is of this data set and network, with nothing peculiar."""
    config = group.config
    images = {record.get("counts", {}).get("test_images") for record in group.runs.values()}
    if any(config.get(name) for name in PECULIAR) or config["model"] != MODELS.get(model):
        return False
    return data in DATA and DATA[data] == (config["data"], *images)

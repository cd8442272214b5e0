"""The integer networks that a study's runs left, with test images: for figures of how they do on other hardware."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hwsim.network import Network
from hwsim.network_file import load_network
from reports.pages.networks import NETWORK_NAME
from reports.records import Record, Study
from reports.run_groups import settings

MAX_DESIGNS = 4  #: that a figure has room for

NO_WEIGHTS = {"data_dir", "threads", "checkpoint_seconds"}  #: Settings that weights do not depend on.
EXPORT = {"fraction_bits", "layout"}  #: These neither, unless training itself runs through tables or accumulators.


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A run's integer network and the images that it is tested on.

    Attributes:
        design: what the run's seeds have in common.
        seed: of the run.
        network: the program.
        images: as the network takes them, (N, C, H, W).
        labels: their classes, (N,).
        training: what the run's weights depend on, as `training_of` gives it; networks of which it is equal differ in
            their export only.
    """

    design: str
    seed: int
    network: Network
    images: NDArray[Any]
    labels: NDArray[Any]
    training: str


def training_of(record: Record) -> str:
    """Return the configuration of a run, its seed and start included, without what only its export depends on."""
    config = record["config"]
    through_tables = any(config.get(name) is not None for name in ("multiplier", "accumulator_bits"))
    return settings(config, NO_WEIGHTS if through_tables else NO_WEIGHTS | EXPORT)


def networks_of(study: Study) -> Iterator[tuple[Record, Network]]:
    """Yield record and integer network of each run that left one, in the order of the study's runs.

    Raises:
        ValueError: no run left one, or a network's file is damaged; it is named.
    """
    paths = {path.with_name(NETWORK_NAME): record for path, record in study.records.items()}
    left = {path: record for path, record in paths.items() if path.is_file()}
    if not left:
        raise ValueError(f"no run below {study.folder} left an integer network ({NETWORK_NAME})")
    yield from ((record, load_network(path)) for path, record in left.items())


def check_designs(networks: Sequence[TrainedNetwork]) -> None:
    """Check that a figure can show these networks.

    Raises:
        ValueError: there are more designs than it has room for, or two networks are of one design and seed.
    """
    designs = list(dict.fromkeys(run.design for run in networks))
    if len(designs) > MAX_DESIGNS:
        raise ValueError(
            f"the figure shows at most {MAX_DESIGNS} designs, got {len(designs)} ({', '.join(designs)}): name the "
            "folders of their runs"
        )
    named = [(run.design, run.seed) for run in networks]
    for design, seed in named:
        if named.count((design, seed)) > 1:
            raise ValueError(f"two networks of the figure are {design} with seed {seed}")

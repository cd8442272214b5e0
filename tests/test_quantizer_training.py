"""Each method makes a trained float network of the digits learn again."""

from pathlib import Path

import pytest

from trainers.config import TrainConfig
from trainers.loop import train

PAIRS = [
    ("lsq_plus", "lsq_plus"),
    ("dorefa", "dorefa"),
    ("dorefa", "pact"),
    ("sawb", "pact"),
    ("dsq", "dsq"),
    ("faq", "faq"),
    ("ewgs", "ewgs"),
    ("daq", "daq"),
]


@pytest.fixture(scope="module")
def float_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a float network's run."""
    folder = tmp_path_factory.mktemp("float")
    train(TrainConfig(epochs=12), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "activations"), PAIRS)
def test_digits_are_learned(weights: str, activations: str, float_run: Path, tmp_path: Path) -> None:
    config = TrainConfig(weights=weights, activations=activations, bits=3, epochs=5, lr=0.05, init=str(float_run))
    assert train(config, tmp_path).record["curves"][-1]["test_accuracy"] > 0.7  # chance is 0.1

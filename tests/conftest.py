"""Real data and checkpoints for the tests that want them."""

import runpy
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """Let started processes be interrupted, also where the tests run in a background that ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository."""
    folder = Path(__file__).parents[1] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder of real data beside the repository")
    return folder.resolve()


@pytest.fixture(scope="session")
def cifar10_folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10's official batches, unpacked for this session."""
    folder = tmp_path_factory.mktemp("cifar10")
    unpack = runpy.run_path(str(shared_data / "unpack_cifar10.py"))["main"]
    unpack(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of one epoch, a float and a POST network; nothing may be changed in it."""
    from trainers.config import TrainConfig
    from trainers.study import run_study

    folder = tmp_path_factory.mktemp("tiny_study")
    baseline = TrainConfig(study="tiny", epochs=1, batch_size=512)
    run_study([baseline, replace(baseline, weights="post", bits=3, init=baseline.run_id)], folder)
    return folder


@pytest.fixture(scope="session")
def tiny_network(tiny_study: Path) -> Path:
    """The file of the tiny study's integer network."""
    return tiny_study / "digits-digits_resnet-post-w3a3-s0" / "network.safetensors"

"""Real data and checkpoints for the tests that want them."""

import runpy
from pathlib import Path

import pytest


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

"""Runs of every kind whose process is killed by SIGKILL end, started again, with the record of an undisturbed one."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainers.bwrf import BwrfConfig
from trainers.config import TrainConfig
from trainers.loop import train
from trainers.record import finish

FLOAT = TrainConfig(study="test", epochs=3, batch_size=256)
POST = replace(FLOAT, weights="post", init=FLOAT.run_id)
BEFORE = replace(POST, bits=4)
KINDS = {
    "asq": replace(POST, activations="asq"),
    "bwrf": replace(POST, bwrf=BwrfConfig()),
    "progressive": replace(POST, bits=3, progressive=(4,), init=BEFORE.run_id),
    "quantizers_only": replace(POST, lr=0.002, quantizers_only=True, calibration_data="strokes"),
}
SCRIPT = """
import sys
from trainers.bwrf import BwrfConfig
from trainers.config import TrainConfig
from trainers.loop import train
train({config!r}, sys.argv[1])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs that others start from."""
    folder = tmp_path_factory.mktemp("killed")
    for config in (FLOAT, BEFORE):
        finish(train(config, folder / config.run_id))
    return folder


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "volatile"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_of_this_kind_ends_as_an_undisturbed_one(kind: str, folder: Path) -> None:
    config = replace(KINDS[kind], checkpoint_seconds=0.0)
    killed, quiet = folder / f"{kind}-killed", folder / f"{kind}-quiet"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT.format(config=config), str(killed)])
    deadline = time.monotonic() + 300
    while not (killed / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the process ended before its first checkpoint"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "model.safetensors").exists()
    records = [finish(train(config, path)) for path in (killed, quiet)]
    assert lasting(records[0]) == lasting(records[1])
    assert (killed / "model.safetensors").read_bytes() == (quiet / "model.safetensors").read_bytes()

"""Training by several processes: what one process would have computed, in float64; sharing, agreeing, refusing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from command import error
from shared_training import DESIGNS, in_float64, main, take_steps
from torch import Tensor, nn

from hwsim.files import read_json
from trainers import loop, processes, shard
from trainers.data import load_dataset
from trainers.evaluate import as_inputs, count_correct
from trainers.model_file import read_tensors
from trainers.shard import Shard
from trainers.shared_layers import SharedBatchNorm2d, SharedDropout, shared_layers

#: A sum of n terms taken in another order changes by at most (n - 1) u sum|terms|, u = 2^-53. The longest sums, of the
#: first layer's gradients over batch and pixels, have n = 63 * 64 terms: 4.5e-13. There are 8 layers, one sum forward
#: and one backward, in each of 3 steps: 48 n u = 2.1e-11, times 5 for sums whose terms cancel.
TOLERANCE = 1e-10

FAST = ("float", "post-asq", "lq_nets-lq_nets", "nipq-nipq", "ewgs-ewgs", "bwrf", "quantizers_only")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def by_two(designs: tuple[str, ...], folder: Path) -> Path:
    """Let two processes train each design, and return the folder of what they leave."""
    context, port = get_context("spawn"), free_port()
    pair = [context.Process(target=main, args=(rank, 2, port, folder, designs)) for rank in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join()
    assert [process.exitcode for process in pair] == [0, 0]
    return folder


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave of some designs."""
    return by_two(FAST, tmp_path_factory.mktemp("fast"))


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave of the other designs."""
    return by_two(tuple(set(DESIGNS) - set(FAST)), tmp_path_factory.mktemp("slow"))


@pytest.fixture
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the loop compute in float64, with one thread, for one test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    in_float64()
    yield
    loop.as_inputs = as_inputs  # type: ignore[attr-defined]
    count_correct.__globals__["as_inputs"] = as_inputs
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "design", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in DESIGNS]
)
def test_two_processes_compute_what_one_does(design: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue("fast" if design in FAST else "slow")
    first, second = (read_tensors(folder / f"{design}-{rank}.safetensors")[0] for rank in range(2))
    alone = take_steps(design)
    assert first.keys() == second.keys() == alone.keys()
    for name, expected in alone.items():
        assert torch.equal(first[name], second[name]), name
        assert float((first[name] - expected).double().norm()) <= TOLERANCE * float(expected.double().norm()), name
    assert int(first["correct"].sum()) == int(alone["correct"].sum()) > 0


def start_pair(*arguments: object) -> list[subprocess.Popen[str]]:
    """Start two processes of a command, with the variables that torchrun sets."""
    where = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hwsim", *map(str, arguments)]
    return [
        subprocess.Popen(command, env=os.environ | where | {"RANK": str(rank)}, stdout=-1, stderr=-1, text=True)
        for rank in range(2)
    ]


def run_pair(*arguments: object) -> list[tuple[int, str, str]]:
    """Return exit code, output and messages of two processes that run a command together."""
    outputs = [(process, *process.communicate()) for process in start_pair(*arguments)]
    return [(process.returncode, out, messages) for process, out, messages in outputs]


SHORT = ("train", "--weights", "float", "--epochs", "3", "--batch-size", "256", "--format", "csv", "--out")
RUN = "digits-digits_resnet-float-s0"


def train_by_two(out: Path) -> Path:
    """Let two processes train to the end, and return the run's folder."""
    (code, table, messages), (other_code, *silent) = run_pair(*SHORT, out)
    assert (code, other_code) == (0, 0), messages
    assert table.startswith("run,")
    assert "3/3 epochs" in messages
    assert silent == ["", ""]
    return out / RUN


def kill_and_continue(killed: int, out: Path) -> Path:
    """Kill one of two processes after the first checkpoint, let two go on, and return the run's folder."""
    pair = start_pair(*SHORT, out)
    deadline = time.monotonic() + 600
    while not (out / RUN / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        assert pair[0].poll() is None, pair[0].communicate()
        time.sleep(0.002)
    pair[killed].send_signal(signal.SIGKILL)
    _, messages = pair[1 - killed].communicate(timeout=300)
    pair[killed].communicate()
    assert pair[killed].returncode == -signal.SIGKILL
    assert pair[1 - killed].returncode == 2
    assert "hwsim: error: another process of this training ended or cannot be reached" in messages
    assert "Traceback" not in messages
    assert not (out / RUN / "record.json").exists()
    assert "holds a run with processes=2, this one has 1" in error(*SHORT, out)
    return train_by_two(out)


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes of which the second was killed."""
    return kill_and_continue(1, tmp_path_factory.mktemp("continued"))


def test_first_process_alone_writes(continued: Path) -> None:
    record = read_json(continued / "record.json")
    assert record["processes"] == 2
    assert record["curves"][-1]["test_accuracy"] == record["accuracy"]["float"]
    assert {file.name for file in continued.iterdir()} == {
        *(".lock", "config.json", "float.safetensors", "record.json")
    }


@pytest.mark.slow
def test_killed_run_ends_with_the_same_record(continued: Path, tmp_path: Path) -> None:
    runs = (continued, train_by_two(tmp_path / "undisturbed"), kill_and_continue(0, tmp_path))
    first, *others = ({**read_json(folder / "record.json"), "volatile": {}} for folder in runs)
    assert all(other == first for other in others)


@pytest.mark.slow
def test_torchrun_trains_and_exports(tmp_path: Path) -> None:
    """The command of the documentation, with BWRF and every role of a quantizer, and what one process makes of it."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "hwsim"]
    options = ["train", "--weights", "post", "--activations", "asq", "--bwrf", "--epochs", "2"]
    subprocess.run([sys.executable, *launch, *SHORT, str(tmp_path)], check=True, capture_output=True)
    options += ["--init", str(tmp_path / RUN), "--format", "csv", "--out", str(tmp_path)]
    result = subprocess.run([sys.executable, *launch, *options], check=True, capture_output=True, text=True)
    assert result.stdout.count("digits-digits_resnet-post-asq-w4a4-bwrf-s0") == 1
    again = subprocess.run([sys.executable, "-m", "hwsim", *options], check=True, capture_output=True, text=True)
    assert again.stdout == result.stdout
    assert "finished before" in again.stderr


def test_batches_that_cannot_be_shared_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 4)
    with pytest.raises(ValueError, match="4 processes cannot share a batch of 2 images, as 1346 images in batches of"):
        processes.check_batches(1346, 64)
    with pytest.raises(ValueError, match="4 processes cannot share a batch of 3 images"):
        processes.check_batches(1347, 3)
    processes.check_batches(1348, 64)


def test_values_that_differ_between_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "on_first", lambda function: "a")
    processes.check_same("data", "a")
    with pytest.raises(ValueError, match="process 0 has data b, the first one has a: all must see the same"):
        processes.check_same("data", "b")


@pytest.mark.parametrize("images", [20, 21, 22])
def test_parts_are_the_batch_in_order(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 3)
    parts = []
    for place in range(3):
        monkeypatch.setattr(processes, "place", lambda place=place: place)
        parts.append(processes.own_places(np.arange(images)))
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(images))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.fixture
def one_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process share the batch with nobody: its part is the whole."""
    monkeypatch.setattr(shard, "is_shared", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda *_: None)
    for name in ("is_shared", "batch_sum"):
        monkeypatch.setattr(f"trainers.shared_layers.{name}", getattr(shard, name))


def gradients(module: nn.Module) -> list[Tensor]:
    """Return the gradients of a module's parameters."""
    return [value.grad for value in module.parameters() if value.grad is not None]


@pytest.mark.usefixtures("one_of_one")
@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_batch_norm_is_batch_norm(momentum: float | None) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64) * 2 + 1
    weights = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    results: list[list[Tensor]] = []
    for kind in (nn.BatchNorm2d, SharedBatchNorm2d):
        norm = kind(3, momentum=momentum).double()
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
        given = x.clone().requires_grad_()
        for _ in range(2):
            out = norm(given)
            (out * weights).sum().backward()
        assert given.grad is not None
        results.append([out, given.grad, *gradients(norm), *norm.buffers()])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("one_of_one")
def test_shared_batch_norm_sums_bfloat16_in_float32() -> None:
    x = (torch.randn(5, 3, 4, 4) + 10).bfloat16()
    plain, shared = nn.BatchNorm2d(3), SharedBatchNorm2d(3)
    torch.testing.assert_close(shared(x), plain(x), rtol=2**-7, atol=2**-8)  # one rounding of the output
    for expected, found in zip(plain.buffers(), shared.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("one_of_one")
def test_shared_dropout_is_dropout() -> None:
    x = torch.randn(6, 5)
    torch.manual_seed(0)
    expected = nn.Dropout(0.3)(x)
    torch.manual_seed(0)
    assert torch.equal(SharedDropout(0.3)(x), expected)


def test_dropout_draws_for_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    x, parts = torch.randn(7, 5), []
    torch.manual_seed(0)
    expected = nn.Dropout(0.3)(x)
    monkeypatch.setattr("trainers.shared_layers.is_shared", lambda: True)
    for part in (Shard(0, 4, 7), Shard(4, 3, 7)):
        monkeypatch.setattr("trainers.shared_layers.shard_of", lambda _, part=part: part)
        torch.manual_seed(0)
        parts.append(SharedDropout(0.3)(part.own(x)))
    assert torch.equal(torch.cat(parts), expected)


def test_layers_are_shared_for_a_while() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.ReLU())
    with shared_layers(model):
        assert [type(module) for module in model][1:3] == [SharedBatchNorm2d, SharedDropout]
    assert [type(module) for module in model][1:3] == [nn.BatchNorm2d, nn.Dropout]


def test_two_batches_of_an_evaluation_are_shared() -> None:
    dataset = load_dataset("digits")
    parts = [[labels for _, labels in dataset.test_batches(100, (place, 2))] for place in range(2)]
    assert [len(labels) for labels in parts[0]] == [100, 100, 51]
    assert [len(labels) for labels in parts[1]] == [100, 100]
    together = [labels for pair in zip(parts[0], [*parts[1], np.array([], int)], strict=True) for labels in pair]
    np.testing.assert_array_equal(np.concatenate(together), dataset.test_labels)

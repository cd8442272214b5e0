"""Executors: order, errors that name their item, and what is left running; the queue's claims and its results."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from hwsim import tasks
from hwsim.executor import Executor, Item, ItemError, Processes, Serial, error_text
from hwsim.extras import install_command
from hwsim.job_queue import MAX_CLAIMS, JobQueue

ITEMS = [{"name": f"item {i}", "value": i} for i in range(7)]


def square(item: Item) -> int:
    """Return the square; the first items take longest."""
    time.sleep(0.02 * (item["value"] < 2))
    return int(item["value"]) ** 2


def picky(item: Item) -> int:
    """Return the value, unless it is 3."""
    if item["value"] == 3:
        raise ValueError("3 is not taken")
    return int(item["value"])


def environment(item: Item) -> list[str | None]:
    """Return the threads that this process may use, as each library reads them."""
    return [os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")]


def broken(item: Item) -> int:
    """Fail with an error that is no user's."""
    raise KeyError("no key")


def dies(item: Item) -> None:
    """End the process."""
    os._exit(1)


@pytest.fixture(autouse=True)
def known_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (square, picky, broken):
        monkeypatch.setitem(tasks.TASKS, function.__name__, (function.__module__, function.__name__))


def quick(folder: Path) -> JobQueue:
    return JobQueue(folder, heartbeat_s=0.05, stale_s=0.4, poll_s=0.01)


MAKERS: dict[str, Callable[[Path], Executor]] = {
    "serial": lambda folder: Serial(),
    "processes": lambda folder: Processes(2),
    "queue": quick,
}


@pytest.fixture(params=MAKERS)
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Executor:
    return MAKERS[request.param](tmp_path)


def test_results_come_in_the_items_order(executor: Executor) -> None:
    assert list(executor.map(square, ITEMS)) == [i**2 for i in range(7)]
    assert list(executor.map(square, [])) == []
    assert not active_children()


def test_an_error_names_its_item_after_the_results_before_it(executor: Executor) -> None:
    results = executor.map(picky, ITEMS)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ItemError, match=r"^item 3.*: 3 is not taken$"):
        next(results)
    assert not active_children()


def test_an_error_that_is_no_users_says_its_type(executor: Executor) -> None:
    with pytest.raises(ItemError, match=r"KeyError: 'no key'"):
        list(executor.map(broken, [{"value": 1}]))


def test_an_error_of_a_missing_package_says_how_to_install_it() -> None:
    missing = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert error_text(missing) == f"this needs the package torch, which is not installed: {install_command('torch')}"
    assert error_text(ModuleNotFoundError("No module named 'mine'", name="mine")).startswith("ModuleNotFoundError: No")


def test_results_are_not_computed_long_before_they_are_taken() -> None:
    taken: list[object] = []

    def item_source() -> Iterator[dict[str, Any]]:
        for item in ITEMS:
            taken.append(item["value"])
            yield item

    results = Processes(1).map(square, item_source())  # type: ignore[arg-type]
    assert next(results) == 0
    assert taken == [0, 1]
    results.close()  # type: ignore[attr-defined]
    assert not active_children()


def test_processes_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert list(Processes(2).map(environment, [{}])) == [[str(max(1, cores // 2))] * 2]
    assert list(Processes(2 * cores).map(environment, [{}])) == [["1", "1"]]


def test_a_killed_process_is_told() -> None:
    with pytest.raises(ChildProcessError, match="a worker process was killed"):
        list(Processes(1).map(dies, [{}]))
    assert not active_children()


@pytest.mark.parametrize("workers", [0, 1025, 1.5])
def test_impossible_numbers_of_workers(workers: int) -> None:
    with pytest.raises(ValueError, match=r"workers must be an integer in 1\.\.1024"):
        Processes(workers)


def files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / kind).iterdir())


def test_finished_jobs_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = quick(tmp_path).map(square, ITEMS)
    assert [next(results), next(results)] == [0, 1]
    assert len(files(tmp_path, "jobs")) == len(ITEMS)
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path, "results")}
    assert 2 <= len(before) < len(ITEMS)
    assert list(quick(tmp_path).map(square, ITEMS)) == [i**2 for i in range(7)]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert files(tmp_path, "claims") == []


def test_a_failed_job_is_run_again_when_it_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ItemError, match="3 is not taken"):
        list(quick(tmp_path).map(picky, ITEMS))
    monkeypatch.delitem(tasks.TASKS, "square")
    monkeypatch.setitem(tasks.TASKS, "picky", (square.__module__, "square"))  # it has been mended
    assert list(quick(tmp_path).map(square, ITEMS)) == [0, 1, 2, 9, 16, 25, 36]


def test_workers_share_the_jobs(tmp_path: Path) -> None:
    done: list[str] = []
    jobs = [quick(tmp_path).submit(square, item) for item in ITEMS]
    workers = [
        threading.Thread(target=quick(tmp_path).work, kwargs={"until_empty": True, "on_job": done.append})
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert sorted(done) == sorted(jobs)
    assert list(quick(tmp_path).map(square, ITEMS)) == [i**2 for i in range(7)]


def test_a_claim_that_is_renewed_is_respected_and_a_stale_one_taken_over(tmp_path: Path) -> None:
    queue = quick(tmp_path)
    job = queue.submit(square, ITEMS[3])
    claim = tmp_path / "claims" / f"{job}.0"
    claim.write_text("elsewhere 1\n")
    end = time.monotonic() + 1.0
    while time.monotonic() < end:  # longer than stale_s
        os.utime(claim)
        assert queue._run_one([job]) is None
        time.sleep(0.02)
    assert list(queue.map(square, ITEMS[3:4])) == [9]  # nobody renews it any more
    assert [path.name for path in files(tmp_path, "claims")] == [f"{job}.0"]


def test_a_job_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    queue = quick(tmp_path)
    job = queue.submit(square, ITEMS[1])
    for number in range(MAX_CLAIMS):
        (tmp_path / "claims" / f"{job}.{number}").write_text("dead 1\n")
    with pytest.raises(ItemError, match=f"item 1, .*claimed {MAX_CLAIMS} times, and never finished"):
        list(queue.map(square, ITEMS[1:2]))


def test_an_interrupted_job_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> Callable[[Item], int]:
        raise KeyboardInterrupt

    queue = quick(tmp_path)
    queue.submit(square, ITEMS[2])
    with monkeypatch.context() as patch:
        patch.setattr("hwsim.job_queue.find_task", interrupted)
        with pytest.raises(KeyboardInterrupt):
            queue.work()
    assert files(tmp_path, "claims") == files(tmp_path, "results") == []
    queue.work(until_empty=True)
    assert list(queue.map(square, ITEMS[2:3])) == [4]


def test_only_tasks_are_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown task"):
        JobQueue(tmp_path).submit(environment, {})
    job = quick(tmp_path).submit(square, ITEMS[0])
    path = tmp_path / "jobs" / f"{job}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "task": "os.system"}))
    quick(tmp_path).work(until_empty=True)
    assert "unknown task 'os.system'" in json.loads((tmp_path / "results" / f"{job}.json").read_text())["error"]


def test_damaged_jobs_and_other_versions_fail_by_name(tmp_path: Path) -> None:
    first, second = (quick(tmp_path).submit(square, item) for item in ITEMS[:2])
    (tmp_path / "jobs" / f"{first}.json").write_text("{")
    path = tmp_path / "jobs" / f"{second}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hwsim": "0.0.1"}))
    quick(tmp_path).work(until_empty=True)
    errors = [json.loads((tmp_path / "results" / f"{job}.json").read_text())["error"] for job in (first, second)]
    assert "is not valid JSON" in errors[0]
    assert "the job is of hwsim 0.0.1, this worker is" in errors[1]


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize(
    "how",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_a_signal_leaves_nothing_running(how: signal.Signals, tmp_path: Path) -> None:
    """A process that is interrupted or killed while its workers work ends, and they with it."""
    script = (
        "import os, sys, time\nfrom test_executor import forever\nfrom hwsim.executor import Processes\n"
        "if __name__ == '__main__':\n    list(Processes(2).map(forever, [{'folder': sys.argv[1]}] * 4))\n"
    )
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", tmp_path], env=environment, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: len(list(tmp_path.glob("pid*"))) == 2)
    process.send_signal(how)
    assert process.wait(20) != 0
    wait_for(lambda: not any(Path(f"/proc/{path.name[3:]}").exists() for path in tmp_path.glob("pid*")))


def forever(item: Item) -> None:
    """Say which process this is, and go on for ever."""
    (Path(item["folder"]) / f"pid{os.getpid()}").touch()
    time.sleep(600)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)

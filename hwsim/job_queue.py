"""A queue of jobs in a folder that several machines share: the executor for more than one machine.

    FOLDER/jobs/ID.json      which task, of which item; ID is the SHA-256 of that
    FOLDER/claims/ID.N       made by whoever runs the job for the Nth time; its time is renewed while that goes on
    FOLDER/results/ID.json   what came of it

A claim is a file that only one process can create. A claim whose time has not changed for a while, by the watching
process's own clock, belongs to a dead process, and the next number may be claimed. Should that process be alive after
all, both write the same result. Jobs name a task of `hwsim.tasks` and carry JSON, so a folder can make a worker do
nothing else.
"""

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwsim.executor import Function, Item, ItemError, error_text, item_name
from hwsim.files import make_folder, read_json, write_json
from hwsim.tasks import find_task, task_name

MAX_CLAIMS = 3  #: A job that was claimed so often, and never finished, is given up.


@dataclass
class JobQueue:
    """The jobs of one folder, seen from this process; it runs jobs itself while it waits for results.

    Raises:
        OSError: the folder cannot be created.
    """

    folder: Path
    heartbeat_s: float = 5.0  #: How often a claim's time is renewed.
    stale_s: float = 60.0  #: A claim that was not renewed for so long is void.
    poll_s: float = 0.5  #: How long to wait where nothing is to be done.
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict, repr=False)  # claim -> its time, since when

    def __post_init__(self) -> None:
        for name in ("jobs", "claims", "results"):
            make_folder(self.folder / name)

    def map(self, function: Function, items: Sequence[Item]) -> Iterator[Any]:
        """Yield the result of each item: see `Executor.map`. The function must be one of `hwsim.tasks`.

        The function finds, as `item["folder"]`, where this queue's folder lies on the machine that runs it.
        """
        jobs = [self.submit(function, item) for item in items]
        for item, job in zip(items, jobs, strict=True):
            while (result := self._result(job)) is None:
                if not self._run_one(jobs):
                    time.sleep(self.poll_s)
            if "error" in result:
                raise ItemError(f"{item_name(item)}, on {result.get('by')}: {result['error']}")
            yield result["value"]

    def submit(self, function: Function, item: Item) -> str:
        """Write a job, unless it is there, and return its name; one that failed before is to be run again."""
        content = {"task": task_name(function), "item": item, "hwsim": version("hwsim")}
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        job = hashlib.sha256(text.encode()).hexdigest()[:32]
        if "error" in (self._result(job) or {}):
            self._path("results", job).unlink(missing_ok=True)
            for claim in self._claims(job):
                claim.unlink(missing_ok=True)
        if not self._path("jobs", job).exists():
            write_json(self._path("jobs", job), content)
        return job

    def work(self, until_empty: bool = False, on_job: Callable[[str], None] | None = None) -> None:
        """Run jobs as they come: for ever, or until every job has a result. on_job gets the name of each finished one.

        Raises:
            OSError: the folder cannot be read or written.
        """
        while True:
            jobs = sorted(path.stem for path in (self.folder / "jobs").glob("*.json"))
            done = self._run_one(jobs)
            if done and on_job:
                on_job(done)
            if not done:
                if until_empty and all(self._path("results", job).exists() for job in jobs):
                    return
                time.sleep(self.poll_s)

    def _run_one(self, jobs: Sequence[str]) -> str | None:
        """Run the first job that nobody has finished or is at, and return its name."""
        for job in jobs:
            claim = None if self._path("results", job).exists() else self._claim(job)
            if claim is not None:
                try:
                    with _renewed(claim, self.heartbeat_s):
                        if not self._path("results", job).exists():
                            write_json(self._path("results", job), self._outcome(job))
                finally:
                    claim.unlink(missing_ok=True)
                return job
        return None

    def _outcome(self, job: str) -> dict[str, Any]:
        try:
            content = read_json(self._path("jobs", job))
            if content["hwsim"] != version("hwsim"):
                raise ValueError(f"the job is of hwsim {content['hwsim']}, this worker is {version('hwsim')}")
            item = {**content["item"], "folder": str(self.folder)}
            return {"value": find_task(content["task"])(item), "by": socket.gethostname()}
        except Exception as error:  # whatever it is, the process that waits for the result has to know
            return {"error": error_text(error), "by": socket.gethostname()}

    def _claim(self, job: str) -> Path | None:
        """Return the claim that makes a job this process's, or None if it is another's."""
        claims = self._claims(job)
        if claims and not self._is_stale(claims[-1]):
            return None
        if len(claims) == MAX_CLAIMS:
            write_json(self._path("results", job), {"error": f"claimed {MAX_CLAIMS} times, and never finished"})
            return None
        claim = self.folder / "claims" / f"{job}.{len(claims)}"
        try:
            with claim.open("x") as file:
                file.write(f"{socket.gethostname()} {os.getpid()}\n")
        except FileExistsError:
            return None
        return claim

    def _claims(self, job: str) -> list[Path]:
        return sorted((self.folder / "claims").glob(f"{job}.*"))

    def _is_stale(self, claim: Path) -> bool:
        try:
            renewed = claim.stat().st_mtime_ns
        except FileNotFoundError:
            return False  # finished or given back just now
        now = time.monotonic()
        if self._seen.get(claim.name, (None, 0.0))[0] != renewed:
            self._seen[claim.name] = renewed, now
        return now - self._seen[claim.name][1] > self.stale_s

    def _result(self, job: str) -> dict[str, Any] | None:
        path = self._path("results", job)
        return read_json(path) if path.exists() else None

    def _path(self, kind: str, job: str) -> Path:
        return self.folder / kind / f"{job}.json"


@contextmanager
def _renewed(claim: Path, heartbeat_s: float) -> Iterator[None]:
    """Renew a claim's time while the block runs."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(heartbeat_s):
            with suppress(FileNotFoundError):
                os.utime(claim)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

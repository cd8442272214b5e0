"""The commands as processes: start-up, streams, exit codes, pipes that close and interrupts."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import read_csv

COMMAND = [sys.executable, "-c", "from hwsim.cli import main; main()"]

HEAVY = ("numpy", "torch", "pandas", "matplotlib", "sklearn", "safetensors")


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    words = [*COMMAND, *(str(argument) for argument in arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload, no-any-return]


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    script = f"""
import sys
from hwsim.cli import main
sys.argv = ["hwsim", "--help"]
try:
    main()
except SystemExit as end:
    print(end.code, [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage" in result.stdout
    assert result.stderr == "0 []\n"


def test_installed_command_is_ours() -> None:
    installed = Path(sys.executable).with_name("hwsim")
    if not installed.exists():
        pytest.skip("hwsim is not installed beside this Python")
    command = [str(installed), "formats", "--bits", "2", "--format", "csv"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert read_csv(result.stdout)[0]["format"] == "uniform"
    assert result.stderr == ""


def test_tables_are_alone_on_stdout(tiny_network: Path) -> None:
    process = start("simulate", tiny_network, "--format", "csv")
    out, err = process.communicate()
    assert process.returncode == 0
    assert read_csv(out)[0]["images"] == "451"
    assert all(re.match(r"simulating: \d+/451 images", line) for line in err.splitlines())


def test_errors_are_one_line_on_stderr_and_exit_code_2() -> None:
    process = start("formats", "--bits", "17")
    assert process.communicate() == ("", "hwsim: error: bits must be in 1..16, got 17\n")
    assert process.returncode == 2


def test_closed_pipe_ends_the_command_quietly() -> None:
    """As in `hwsim formats | head -1`; here the reader is gone before anything is written."""
    read, write = os.pipe()
    os.close(read)
    command = [*COMMAND, "formats", "--bits", "2,3,4,5,6,7,8", "--format", "json"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.usefixtures("heeds_interrupts")
def test_interrupt_ends_the_demo_and_its_processes(tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group of processes; it comes while two designs are trained."""
    process = start("demo", "--seeds", 2, "--out", tmp_path, start_new_session=True)
    while not list(tmp_path.glob("*/checkpoint.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert (
        err.splitlines()[-1]
        == "hwsim: error: interrupted: run the same command again; if it had saved anything, that is kept"
    )
    assert ends(process.pid)


def ends(group: int, seconds: float = 30) -> bool:
    """Return whether no process of the group is left after some time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False

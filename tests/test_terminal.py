"""What holds for every command: levels of messages, colours, exit codes, and errors that say what to do next."""

import os
import pty
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command import error, run

import hwsim.cli
from hwsim.cli import COMMANDS, verbosity
from hwsim.cli.errors import ExitCode
from hwsim.errors import CheckFailedError
from hwsim.extras import OPTIONAL, REQUIRED, install_command, is_installed
from hwsim.output import console
from trainers.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "hwsim"]
ESCAPE = "\x1b["


def on_terminal(arguments: str, **variables: str) -> str:
    """Return what a command writes to a terminal that is its stdout and its stderr."""
    leader, follower = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    environment = {**plain, "TERM": "xterm-256color", **variables}
    process = subprocess.Popen(
        [*COMMAND, *arguments.split()], stdin=follower, stdout=follower, stderr=follower, env=environment, cwd=ROOT
    )
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(leader)
    process.wait()
    return written.decode()


@pytest.mark.parametrize("arguments", ["--help", "formats --bits 2", "formats --bits x", "formats --bts 2"])
def test_no_color_means_no_escape_codes_on_a_terminal(arguments: str) -> None:
    assert ESCAPE not in on_terminal(arguments, NO_COLOR="1")


@pytest.mark.parametrize("arguments", ["--help", "formats --bits 2"])
def test_terminals_have_colours_and_pipes_have_none(arguments: str) -> None:
    assert ESCAPE in on_terminal(arguments)
    piped = subprocess.run([*COMMAND, *arguments.split()], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ESCAPE not in piped.stdout + piped.stderr


def test_force_color_colours_help_in_a_pipe_but_no_table() -> None:
    environment = {**os.environ, "FORCE_COLOR": "1"}
    for arguments, is_coloured in (("--help", True), ("formats --bits 2", False)):
        words = [*COMMAND, *arguments.split()]
        result = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
        assert (ESCAPE in result.stdout) is is_coloured


def test_a_bar_without_colours_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert console(sys.stderr).color_system is None
    monkeypatch.setenv("NO_COLOR", "")  # empty is as not set: https://no-color.org
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert console(sys.stderr).color_system is not None


def test_quiet_says_nothing(tiny_network: Path) -> None:
    for words in (("-q", "simulate"), ("--quiet", "simulate"), ("simulate", "-q"), ("simulate", "--quiet")):
        result = run(*words, tiny_network)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "accuracy" in result.stdout
    assert "451/451 images" in run("simulate", tiny_network).stderr  # the level is of one command


@pytest.mark.parametrize("arguments", ["train --weights float", "demo --seeds 1 --workers 1", "evaluate {run}"])
def test_quiet_long_commands_say_nothing(
    arguments: str, tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [float_run] = tiny_study.glob("*-float-*")
    words = arguments.format(run=float_run).split()
    short = ["--epochs", "1", "--batch-size", "512"] if words[0] == "train" else []
    out = [] if words[0] == "evaluate" else ["--out", str(tmp_path)]
    if words[0] == "demo":
        monkeypatch.setattr(sys.modules["hwsim.cli.demo"], "_configs", lambda seed: tiny_configs())
    result = run("-q", *words, *short, *out)
    assert (result.exit_code, result.stderr) == (0, ""), result.exception
    assert result.stdout


def tiny_configs() -> list[TrainConfig]:
    baseline = TrainConfig(study="tiny", epochs=1, batch_size=512)
    return [baseline, replace(baseline, weights="post", bits=3, init=baseline.run_id)]


def test_quiet_still_tells_errors() -> None:
    assert error("-q", "formats", "--bits", 17) == "bits must be in 1..16, got 17"


def test_verbose_tells_which_paths_were_taken(tiny_network: Path) -> None:
    plain, told = run("simulate", tiny_network), run("simulate", tiny_network, "-v")
    assert told.stdout == plain.stdout
    layers = [line.partition(":")[0] for line in told.stderr.splitlines() if "images" not in line]
    assert len(layers) >= 3
    assert not set(layers) & {line.partition(":")[0] for line in plain.stderr.splitlines()}


def test_verbose_errors_have_their_traceback() -> None:
    result = run("-v", "formats", "--bits", 17)
    assert result.exit_code == ExitCode.INPUT
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1] == "hwsim: error: bits must be in 1..16, got 17"


@pytest.mark.parametrize("words", [("-q", "formats", "-v"), ("formats", "-q", "-v"), ("-q", "-v", "formats")])
def test_quiet_and_verbose_exclude_each_other(words: tuple[str, ...]) -> None:
    assert error(*words) == "--quiet and --verbose exclude each other: give one of them"


def test_what_our_libraries_log_is_told_only_if_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    for verbose in (False, True):
        with verbosity.one_command():
            verbosity.choose(False, verbose)
            logging.getLogger("hwsim.synthesis").info("found %s", "it")
        assert capsys.readouterr().err == ("found it\n" if verbose else "")
    logging.getLogger("hwsim.synthesis").info("found it")
    assert capsys.readouterr().err == ""


def test_every_command_has_the_levels() -> None:
    names = [command.__name__.replace("_", "-") for command in COMMANDS]
    for words in [
        *([name] for name in names),
        *(["rtl", name] for name in ("emit", "verify", "synth", "compare", "table")),
    ]:
        text = run(*words, "--help").stdout
        assert "--quiet" in text
        assert "--verbose" in text


def test_help_groups_the_commands() -> None:
    panels = re.findall(r"╭─ ([\w ]+?) ─", run("--help").stdout)
    assert panels == ["Options", "Messages", *hwsim.cli.PANELS, "Hardware"]


def test_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert re.fullmatch(r"hwsim \d+\.\d+\.\d+\n", result.stdout)


def raising(problem: BaseException) -> Callable[..., None]:
    def command(*_arguments: object, **_options: object) -> None:
        raise problem

    return command


@pytest.mark.parametrize(
    ("problem", "code", "text"),
    [
        (ValueError("a rule"), 2, "hwsim: error: a rule"),
        (FileNotFoundError(2, "No such file", "x"), 2, "hwsim: error: [Errno 2] No such file: 'x'"),
        (CheckFailedError("2 differ"), 1, "hwsim: error: 2 differ"),
        (
            KeyboardInterrupt(),
            130,
            "hwsim: error: interrupted: run the same command again; if it had saved anything, that is kept",
        ),
        (
            ModuleNotFoundError("No module named 'sklearn'", name="sklearn.datasets"),
            2,
            f"hwsim: error: this needs the package scikit-learn, which is not installed: {install_command('sklearn')}",
        ),
        (
            ModuleNotFoundError("No module named 'numba'", name="numba"),
            2,
            "hwsim: error: this needs the package numba, which is not installed: pip install --force-reinstall numba",
        ),
        (ModuleNotFoundError("No module named 'mine'", name="mine"), 2, "hwsim: error: No module named 'mine'"),
    ],
)
def test_exit_codes(problem: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.output.write", raising(problem))
    result = run("formats")
    assert (result.exit_code, result.stderr) == (code, f"{text}\n")
    assert code in list(ExitCode)


def test_a_defect_has_its_own_exit_code_and_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hwsim.output.write", raising(KeyError("lost")))
    monkeypatch.setattr("sys.argv", ["hwsim", "formats"])
    with pytest.raises(SystemExit) as ended:
        hwsim.cli.main()
    assert ended.value.code == ExitCode.DEFECT
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "hwsim: error: this is a defect of hwsim: report it with the lines above"


def test_exit_codes_are_documented() -> None:
    text = (ROOT / "docs" / "terminal.md").read_text()
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)}
    assert table == {int(code) for code in ExitCode}


def test_packages_and_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(entries: list[str]) -> set[str]:
        return {re.split(r"[<>=\[]", entry)[0] for entry in entries}

    assert names(project["dependencies"]) == set(REQUIRED.values())
    extras: Mapping[str, list[str]] = project["optional-dependencies"]
    for package, extra in OPTIONAL.values():
        assert package in names(extras[extra])
    for extra in ("train", "report", "onnx", "rtl", "tensorboard"):
        assert names(extras[extra]) <= {package for package, _ in OPTIONAL.values()}


@pytest.mark.parametrize(("package", "arguments"), [("torch", "methods"), ("pandas", "report docs")])
def test_a_missing_part_is_named_with_the_command_that_brings_it(package: str, arguments: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from hwsim.cli import main; main()"
    words = [sys.executable, "-c", code, *arguments.split()]
    result = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    command = install_command(package)
    assert result.returncode == 2
    assert result.stderr == f"hwsim: error: this needs the package {package}, which is not installed: {command}\n"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'hwsim[train]'"),
        ('{"url": "file:///home/me/hwsim", "dir_info": {}}', "pip install 'hwsim[train]'"),
        ('{"url": "https://host/hwsim.whl", "archive_info": {}}', "pip install 'hwsim[train]'"),
        (
            '{"url": "file:///home/a%20b/hwsim", "dir_info": {"editable": true}}',
            "pip install -e '/home/a b/hwsim[train]'",
        ),
    ],
)
def test_an_extra_is_installed_as_hwsim_was(origin: str | None, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.extras.distribution", lambda name: SimpleNamespace(read_text=lambda file: origin))
    assert install_command("torch") == command


def test_a_package_that_an_import_hook_blocks_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def blocked(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("hwsim.extras.find_spec", blocked)
    assert not is_installed("torch")


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--workers", "2")])
def test_without_torch_simulate_names_the_extra_and_an_engine_that_runs(
    options: tuple[str, ...], tiny_network: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8)))
    code = "import sys; sys.modules['torch'] = None; from hwsim.cli import main; main()"
    words = [sys.executable, "-c", code, "simulate", str(tiny_network), "--images", str(tmp_path / "x.npy")]
    result = subprocess.run([*words, *options], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr == (
        "hwsim: error: the tensor engine needs the package torch, which is not installed: "
        f"{install_command('torch')}; --engine compiled gives the same integers without it\n"
    )
    result = subprocess.run([*words, "--engine", "compiled"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr

"""`hwsim doctor`: what it finds, with and without optional parts, and that it tells when engines disagree."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from command import rows, run

from hwsim.cli import installation
from hwsim.cli.installation import ABSENT, BROKEN, OFF, OK
from hwsim.engines.self_check import LAYERS, SATURATE, WRAP, check_engine, check_network, present_engines
from hwsim.engines.simulate import simulate
from hwsim.errors import CheckFailedError
from hwsim.extras import OPTIONAL, REQUIRED, install_command, is_installed

ROOT = Path(__file__).resolve().parents[1]


def test_everything_is_looked_at() -> None:
    found = {row["part"]: row for row in rows("doctor")}
    assert found["hwsim"]["found"] == version("hwsim")
    assert found["numpy"]["found"] == np.__version__
    assert set(found) >= {*REQUIRED.values(), *(package for package, _ in OPTIONAL.values())}
    assert {f"{engine} engine" for engine in present_engines()} <= set(found)
    assert {row["state"] for row in found.values()} <= {OK, OFF, ABSENT}
    for package, (distribution, _) in OPTIONAL.items():
        state = OK if is_installed(package) else ABSENT
        advice = None if is_installed(package) else install_command(package)
        assert (found[distribution]["state"], found[distribution]["advice"]) == (state, advice)


def test_the_base_installation_is_whole_without_its_extras() -> None:
    """Optional packages are blocked; the engines that need none of them are checked all the same."""
    code = f"""
import sys
for name in {list(OPTIONAL)}:
    sys.modules[name] = None
from hwsim.cli import main
main()
"""
    words = [sys.executable, "-c", code, "doctor", "--format", "json"]
    result = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    found = {row["part"]: row for row in json.loads(result.stdout)}
    for package, (distribution, _) in OPTIONAL.items():
        assert found[distribution]["state"] == ABSENT
        assert found[distribution]["advice"] == install_command(package)
    assert found["tensor, cuda"]["state"] == ABSENT
    assert "compiled engine" in found
    assert "tensor engine" not in found


def test_a_needed_package_that_does_not_import_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    result = run("doctor", "--format", "json")
    found = {row["part"]: row for row in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert found["safetensors"]["state"] == BROKEN
    assert found["safetensors"]["advice"] == "pip install --force-reinstall safetensors"
    assert result.stderr.splitlines()[-1] == "hwsim: error: this installation does not work: safetensors"


@pytest.mark.parametrize("package", ["numpy", "numba"])
def test_what_needs_a_package_that_does_not_import_is_told_and_all_else_looked_at(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from hwsim.cli import main; main()"
    words = [sys.executable, "-c", code, "doctor", "--format", "json"]
    result = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 1
    found = {row["part"]: row for row in json.loads(result.stdout)}
    broken = [part for part, row in found.items() if row["state"] == BROKEN]
    assert broken[0] == package
    assert {"processor", "engines", "caches"} <= set(broken)
    assert any(found[part]["area"] == "check" for part in broken)
    assert found[package]["advice"] == f"pip install --force-reinstall {package}"
    assert found["C++ compiler"]["area"] == "programs"
    told = f"hwsim: error: this installation does not work: {', '.join(broken)}"
    assert result.stderr.splitlines()[-1] == told


def test_engines_that_disagree_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(name: str) -> None:
        raise CheckFailedError(f"the {name} engine differs from the reference engine in 'pot, 4 bits'")

    monkeypatch.setattr("hwsim.engines.self_check.check_engine", wrong)
    result = run("doctor", "--format", "csv")
    assert result.exit_code == 1
    names = ", ".join(f"{engine} engine" for engine in present_engines())
    assert result.stderr.splitlines()[-1] == f"hwsim: error: this installation does not work: {names}"


@pytest.mark.parametrize("engine", list(present_engines()))
def test_the_engines_agree(engine: str) -> None:
    assert set(check_engine(engine).paths) == set(LAYERS)


def test_the_check_overflows_where_it_should() -> None:
    network = check_network()
    images = np.random.default_rng(1).normal(size=(4, *network.input.shape))
    overflows = simulate(network, images, "reference").overflows
    assert {name for name in LAYERS if overflows.get(name)} == {
        name for name, (_, _, accumulator) in LAYERS.items() if accumulator in (WRAP, SATURATE)
    }


def test_a_wrong_value_and_a_wrong_count_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = simulate

    def off_by_one(*arguments: object, **options: object) -> object:
        found = right(*arguments, **options)  # type: ignore[arg-type]
        if arguments[2] == "compiled" and found.trace:
            found.trace["pot, 4 bits"][0, 0, 0, 0] += 1
        return found

    def miscounted(*arguments: object, **options: object) -> object:
        found = right(*arguments, **options)  # type: ignore[arg-type]
        if arguments[2] == "compiled":
            found.overflows["uniform, 4 bits, wrapping"] += 1
        return found

    for broken, message in ((off_by_one, "in 'pot, 4 bits'"), (miscounted, "counts other overflows")):
        monkeypatch.setattr("hwsim.engines.self_check.simulate", broken)
        with pytest.raises(CheckFailedError, match=message):
            check_engine("compiled")


def test_a_cache_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.cli.installation.os.access", lambda path, mode: False)
    kernels, _ = installation.caches()
    assert kernels.state == OFF
    assert str(kernels.advice).startswith("set NUMBA_CACHE_DIR to a folder of yours")


def test_missing_programs_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HWSIM_YOSYS", raising=False)
    monkeypatch.setattr("hwsim.cli.installation.shutil.which", lambda name: None)
    monkeypatch.setattr(installation, "is_installed", lambda name: False)
    assert [(finding.part, finding.state) for finding in installation.programs()] == [
        ("Yosys", ABSENT),
        ("C++ compiler", ABSENT),
    ]


def test_verbose_tells_the_path_of_each_layer() -> None:
    lines = run("doctor", "-v").stderr.splitlines()
    for engine in present_engines():
        assert any(line.startswith(f"{engine} engine, post, 4 bits: ") for line in lines)

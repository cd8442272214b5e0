"""A page for every module, which mkdocstrings fills from its docstrings, and the list of them."""

import ast
from pathlib import Path

from links import module_page, relative
from tables import plain, table

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "hwsim": "what the hardware computes, and what it costs",
    "trainers": "how a network learns to live with it",
    "reports": "what people look at",
}
LIST = "modules/index.md"


def modules() -> dict[str, Path]:
    """Return the public modules by name. Those of the command line are shown as commands instead."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    named = {_name(path): path for path in paths}
    return {name: path for name, path in named.items() if not _is_hidden(name)}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _is_hidden(name: str) -> bool:
    return name.startswith("hwsim.cli") or any(part.startswith("_") for part in name.split("."))


def pages() -> dict[str, str]:
    """Return the pages of all modules, and their list, by place on the site."""
    named = modules()
    return {LIST: _list(named)} | {module_page(name): f"::: {name}\n" for name in named}


def _list(named: dict[str, Path]) -> str:
    parts = ["# Python modules\n", "What the commands do, from Python. Each page is made from docstrings.\n"]
    for package, what in PACKAGES.items():
        rows = [_row(name, path) for name, path in named.items() if name.split(".")[0] == package]
        parts += [f"## {package}: {what}\n", table(rows)]
    return "\n".join(parts)


def _row(name: str, path: Path) -> dict[str, str]:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    link = f"[`{name}`]({relative(module_page(name), LIST)})"
    return {"module": link, "what it holds": plain(docstring.partition("\n\n")[0])}

"""What the shell offers for a name: the keys of our registries, read without importing the packages that hold them."""

import ast
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

Completer = Callable[[str], list[str]]


def from_registry(file: str, *registries: str, also: Sequence[str] = ()) -> Completer:
    """Return a completer of the keys of dict literals in a file, such as "trainers/models/__init__.py".

    also: names that are taken beside them.
    """

    def complete(incomplete: str) -> list[str]:
        return matching([*also, *registry_names(file, *registries)], incomplete)

    return complete


def from_list(names: str) -> Completer:
    """Return a completer of names that a help text lists, separated by commas."""
    return lambda incomplete: matching(names.split(", "), incomplete)


def matching(names: Sequence[str], incomplete: str) -> list[str]:
    """Return what a word, or the last entry of a list with commas, may become."""
    head, comma, last = incomplete.rpartition(",")
    return [f"{head}{comma}{name}" for name in names if name.startswith(last)]


def registry_names(file: str, *registries: str) -> list[str]:
    """Return the string keys of the dict literals that a file assigns to these names, in their order.

    Raises:
        ValueError: the file assigns no dict literal to one of them.
    """
    found = {}
    for node in ast.parse(_source(file)).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            found[ast.unparse(target)] = [key.value for key in node.value.keys if isinstance(key, ast.Constant)]
    missing = [name for name in registries if name not in found]
    if missing:
        raise ValueError(f"{file} has no dict literal {missing[0]}")
    return [str(key) for name in registries for key in found[name]]


def _source(file: str) -> str:
    package, _, rest = file.partition("/")
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ValueError(f"no package {package} to look for names in")
    return (Path(folders[0]) / rest).read_text(encoding="utf-8")

"""A page for every multiplier circuit and every approximate one: what it computes, from docstrings, and its sizes."""

import json
from collections.abc import Sequence
from inspect import cleandoc, isfunction
from typing import Any

from links import module_page, relative
from tables import plain, table
from typer.testing import CliRunner

from hwsim.cli import app
from hwsim.multipliers import MULTIPLIERS, Multiplier, TableMultiplier
from hwsim.multipliers.examples import EXAMPLES

LIST = "multipliers/index.md"
CIRCUIT_BITS = "2,3,4,8"
EXAMPLE_BITS = "4,8"

INTRO = """# Multipliers

A multiplier takes a code of a weight and a code of an activation and gives an integer. The circuits are exact for what
their formats say, except for the table's rounding; the approximate ones are product tables, generated from the papers
that describe them. [Your own](../multipliers.md) is a table like these; what they cost is under
[gates](../gates.md).
"""


def pages() -> dict[str, str]:
    """Return the pages of all multipliers, and their list, by place on the site."""
    circuits = MULTIPLIERS | {TableMultiplier.name: TableMultiplier}
    named = {name: _circuit(name, circuit) for name, circuit in circuits.items()}
    named |= {name: _example(name) for name in EXAMPLES}
    rows = [{"multiplier": f"[{name}]({name}.md)", "what it is": _first_line(text)} for name, text in named.items()]
    return {LIST: f"{INTRO}\n{table(rows)}"} | {_place(name): text for name, text in named.items()}


def _place(name: str) -> str:
    return f"multipliers/{name}.md"


def _first_line(page: str) -> str:
    return plain(page.split("\n\n")[1])


def _circuit(name: str, circuit: type[Multiplier]) -> str:
    """Return the page of a circuit: its docstring, those of what it defines, and its sizes where they are listed."""
    members = [("`" + member + "`", _summary(value)) for member, value in vars(circuit).items() if _is_shown(member)]
    rows = [{"in Python": member, "what it is": plain(text)} for member, text in members if text]
    parts = [f"# {name}", *_described(circuit), *_source(name, circuit.__module__), table(rows)]
    sizes = [row for row in _listed("--bits", CIRCUIT_BITS) if row["multiplier"] == name]
    return "\n\n".join([*parts, *(_sizes("hwsim multipliers --bits " + CIRCUIT_BITS, sizes) if sizes else [])]) + "\n"


def _example(name: str) -> str:
    """Return the page of an approximate multiplier: how it is constructed, and its errors."""
    product = EXAMPLES[name].product
    command = f"hwsim multipliers {name} --bits {EXAMPLE_BITS}"
    rows = _listed(name, "--bits", EXAMPLE_BITS)
    parts = [f"# {name}", *_described(product), *_source(name, product.__module__), *_sizes(command, rows)]
    return "\n\n".join(parts) + "\n"


def _described(thing: object) -> list[str]:
    """Return the paragraphs of a docstring, without what it raises."""
    paragraphs = cleandoc(thing.__doc__ or "").split("\n\n")
    return [text for text in paragraphs if not text.startswith("Raises:")]


def _is_shown(member: str) -> bool:
    return not member.startswith("_")


def _summary(member: Any) -> str:
    """Return what the docstring of a method or property says first; nothing for other members."""
    is_documented = isfunction(member) or isinstance(member, property) or hasattr(member, "attrname")
    return _described(member)[0] if is_documented else ""


def _source(name: str, module: str) -> list[str]:
    return [f"From Python: [`{module}`]({relative(module_page(module), _place(name))})."]


def _listed(*arguments: str) -> list[dict[str, Any]]:
    """Return the rows that `hwsim multipliers` prints."""
    result = CliRunner().invoke(app, ["multipliers", *arguments, "--format", "json"], catch_exceptions=False)
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def _sizes(command: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    shown = [key for key in rows[0] if any(row[key] not in (None, "") for row in rows)]
    cells = [{key: _cell(row[key]) for key in shown} for row in rows]
    return ["## Sizes and errors", f"```bash\n{command}\n```", table(cells)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

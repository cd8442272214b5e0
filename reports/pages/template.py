"""Templates and what they need: everything a page holds is escaped, and nothing is loaded from elsewhere."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hwsim.output import readable
from reports.tables.designs import compact

LIBRARY = "plotly-basic.min.js"


def render(template: str, **values: Any) -> str:
    """Return a page.

    Names of runs, layers and settings come from files that anyone may have written: they are escaped. A value that a
    template needs and does not get is an error.
    """
    return _environment().get_template(template).render(**values)


def asset(name: str) -> Markup:
    """Return a style sheet or script of ours, or the plotting library, to be put into a page as it is."""
    return Markup((files("reports") / "templates" / name).read_text(encoding="utf-8"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "compact": compact}
    environment.globals["asset"] = asset
    return environment


def _number(value: float | None) -> str:
    """Return a number as a table of a page shows it, nothing if it is missing."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else readable(value)

"""A page for every quantization method: equations, what it learns, accuracies; docs/methods.md is their overview."""

import re
from collections.abc import Sequence
from functools import cache

import methods_page
from links import module_page, relative
from methods_page import Result
from tables import plain, table

from trainers.method_facts import all_facts, docstring
from trainers.quantizers import QUANTIZERS, ROLES

OVERVIEW = "methods.md"
SECTIONS = "## The methods\n"  #: Where the sections begin that are pages here.


def pages() -> dict[str, str]:
    """Return the pages of all methods by place on the site."""
    return {_place(name): _page(name) for name in QUANTIZERS}


def overview(text: str) -> str:
    """Return docs/methods.md with a list of pages in place of its sections.

    Raises:
        ValueError: the text has no such sections.
    """
    head, heading, _ = text.partition(SECTIONS)
    if not heading:
        raise ValueError(f"docs/{OVERVIEW} has no heading {SECTIONS.strip()!r}")
    links = [f"- [{name}]({_place(name)}){{#{name}}}: {_summary(name)}" for name in QUANTIZERS]
    names = "|".join(QUANTIZERS)
    return re.sub(rf"\]\(#({names})\)", r"](methods/\1.md)", head) + heading + "\n" + "\n".join(links) + "\n"


def _place(name: str) -> str:
    return f"methods/{name}.md"


def _summary(name: str) -> str:
    return plain(docstring(name)[0].partition(": ")[2])


def _page(name: str) -> str:
    _, *body = methods_page.section(name).split("\n\n")
    parts = [f"# {name}", *(text.rstrip() for text in body), *_facts(name), *_accuracies(name), *_more(name)]
    return "\n\n".join(parts) + "\n"


def _facts(name: str) -> list[str]:
    rows = [
        {
            "quantizes": facts.role,
            "bits": facts.bits,
            "format": facts.format,
            "levels at 2, 3, 4 bits": facts.level_counts,
            "levels at 3 bits": plain(facts.levels),
            "learned parameters": facts.parameters,
            "options": facts.options or "none",
        }
        for facts in all_facts()
        if facts.method == name
    ]
    return ["## As it is built", f"Levels and parameters are explained in the [overview](../{OVERVIEW}).", table(rows)]


def _accuracies(name: str) -> list[str]:
    """Return what the study on the digits found."""
    roles = [role for role in ROLES if role in QUANTIZERS[name].roles]
    rows = [{"quantizes": role, **methods_page.accuracies(_results(), role, name)} for role in roles]
    text = f"Test accuracy in percent; recipe, spread and what differences mean: [overview](../{OVERVIEW})."
    return ["## On the digits", text, table(rows)]


@cache
def _results() -> Sequence[Result]:
    return methods_page.read_results(methods_page.RESULTS)


def _more(name: str) -> list[str]:
    option = "--weights" if "weights" in QUANTIZERS[name].roles else "--activations"
    module = QUANTIZERS[name].__module__
    command = f"```bash\nhwsim train {option} {name} --bits 4\n```"
    return ["## Use", command, f"From Python: [`{module}`]({relative(module_page(module), _place(name))})."]

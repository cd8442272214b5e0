"""Links of Markdown files that are shown on the site and in the repository: what changes between the two."""

import posixpath
import re
from collections.abc import Container

#: Files outside docs/ that are pages, by their place on the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "notebooks/README.md": "notebooks/index.md",
}
TARGET = re.compile(r"\]\((?!https?:)([^)#\s]+)((?:#[^)\s]*)?)\)")
NAME = re.compile(r"(?<![`\[])`((?:hwsim|trainers|reports)(?:\.\w+)*)`(?!`)")
FENCE = re.compile(r"(^ *```.*?^ *``` *$)", re.MULTILINE | re.DOTALL)


def site_links(text: str, place: str, page: str, modules: Container[str]) -> str:
    """Return a page whose links lead to pages, and whose names of modules are links.

    Args:
        text: Markdown.
        place: Path of the file that holds it, from the repository's root.
        page: Path of the page on the site.
        modules: Names that have a page.
    """

    def rewritten(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), match[1]))
        return f"]({relative(_page_of(target), page)}{match[2]})"

    def linked(match: re.Match[str]) -> str:
        return f"[{match[0]}]({relative(module_page(match[1]), page)})" if match[1] in modules else match[0]

    parts = FENCE.split(text)
    parts[::2] = [NAME.sub(linked, TARGET.sub(rewritten, part)) for part in parts[::2]]
    return "".join(parts)


def module_page(module: str) -> str:
    """Return the page of a module."""
    return f"modules/{module}.md"


def relative(target: str, page: str) -> str:
    """Return the path of a page as seen from another."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def _page_of(target: str) -> str:
    """Return the page that shows a file of the repository."""
    if target in ROOT_PAGES:
        return ROOT_PAGES[target]
    if target.endswith(".py"):
        return module_page(target.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    if target.endswith(".ipynb"):
        return target.removesuffix(".ipynb") + ".md"
    return target.removeprefix("docs/")

"""What mkdocs calls to build the site: pages made from the code, the navigation over them, links between files."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "benchmarks")]

import command_pages  # noqa: E402
import method_pages  # noqa: E402
import module_pages  # noqa: E402
import multiplier_pages  # noqa: E402
import notebook_pages  # noqa: E402
from links import ROOT_PAGES, site_links  # noqa: E402


@cache
def generated() -> dict[str, str]:
    """Return the pages that are made from the code and the notebooks, by place on the site."""
    makers = (command_pages, method_pages, module_pages, multiplier_pages, notebook_pages)
    return {place: text for maker in makers for place, text in maker.pages().items()}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put generated pages into the navigation, where an entry ends in a slash."""
    config.nav = _expanded(config.nav)
    return config


def _expanded(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {title: _expanded(value) for title, value in entry.items()}
    if isinstance(entry, list):
        return [page for value in entry for page in (_pages_below(value) if _is_folder(value) else [_expanded(value)])]
    return entry


def _is_folder(entry: Any) -> bool:
    return isinstance(entry, str) and entry.endswith("/")


def _pages_below(folder: str) -> list[str]:
    """Return the generated pages of a folder, its list first.

    Raises:
        ValueError: there is none.
    """
    places = [place for place in generated() if place.startswith(folder)]
    if not places:
        raise ValueError(f"mkdocs.yml names {folder}, where no page is generated")
    return places


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, those that lie outside docs/, and the records and notebooks that pages link to."""
    for place, text in generated().items():
        files.append(File.generated(config, place, content=text))
    for source, place in ROOT_PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for record in sorted((ROOT / "benchmarks" / "results").rglob("record.json")):
        files.append(File.generated(config, record.relative_to(ROOT).as_posix(), abs_src_path=str(record)))
    for source in notebook_pages.sources().values():
        files.append(File.generated(config, source, abs_src_path=str(ROOT / source)))
    for place, picture in notebook_pages.pictures().items():
        files.append(File.generated(config, place, content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return a page whose links lead to pages of the site."""
    place = page.file.src_uri
    if place.startswith("modules/"):
        return markdown
    if place == method_pages.OVERVIEW:
        markdown = method_pages.overview(markdown)
    sources = {page: source for source, page in ROOT_PAGES.items()} | notebook_pages.sources()
    return site_links(markdown, sources.get(place, f"docs/{place}"), place, _modules())


@cache
def _modules() -> frozenset[str]:
    return frozenset(module_pages.modules())

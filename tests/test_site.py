"""The documentation's site: its navigation is complete, it builds without a warning, and it fetches nothing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from doc_checks import check_command
from doc_snippets import commands, snippets_of

yaml = pytest.importorskip("yaml", reason="mkdocs.yml is YAML")

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
FETCHED = re.compile(r"""<(?:(?:script|img|iframe|source)[^>]*\ssrc|link[^>]*\shref)=["']?(?:https?:)?//""")


@pytest.fixture(name="documentation", scope="module", autouse=True)
def documentation_on_path() -> Iterator[None]:
    """Let the makers of pages find one another, as mkdocs does."""
    folders = [str(ROOT / "documentation"), str(ROOT / "benchmarks")]
    sys.path[:0] = folders
    yield
    for folder in folders:
        sys.path.remove(folder)


def entries(nav: Any) -> Iterator[str]:
    """Yield the pages and folders that a navigation names."""
    if isinstance(nav, str):
        yield nav
    for child in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from entries(child)


def test_every_page_is_in_the_navigation_once_and_every_entry_exists() -> None:
    links = import_module("links")
    named = list(entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert len(set(named)) == len(named)
    made = {*links.ROOT_PAGES.values(), "methods/", "multipliers/", "commands/", "modules/index.md"}
    assert set(named) == SOURCES | made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](cost.md#gates)", "[a](../cost.md#gates)"),
        ("[a](../trainers/bwrf.py)", "[a](../modules/trainers.bwrf.md)"),
        ("[a](../hwsim/formats/__init__.py)", "[a](../modules/hwsim.formats.md)"),
        ("[a](../README.md)", "[a](../index.md)"),
        ("[a](https://arxiv.org/abs/1)", "[a](https://arxiv.org/abs/1)"),
        ("[a](#here)", "[a](#here)"),
        ("`hwsim.files`", "[`hwsim.files`](../modules/hwsim.files.md)"),
        ("`hwsim.nothing`", "`hwsim.nothing`"),
        ("```\n`hwsim.files` [a](b.md)\n```\n", "```\n`hwsim.files` [a](b.md)\n```\n"),
    ],
)
def test_links_lead_to_pages(text: str, expected: str) -> None:
    links = import_module("links")
    assert links.site_links(text, "docs/page.md", "guides/page.md", {"hwsim.files"}) == expected


def test_the_overview_of_methods_needs_its_sections() -> None:
    pages = import_module("method_pages")
    assert "](methods/lsq.md)" in pages.overview(f"[lsq](#lsq)\n\n{pages.SECTIONS}\n### lsq\n")
    with pytest.raises(ValueError, match="has no heading '## The methods'"):
        pages.overview("# Methods\n")


@pytest.mark.parametrize(("maker", "least"), [("command_pages", 25), ("method_pages", 15), ("multiplier_pages", 8)])
def test_commands_of_generated_pages_are_taken(maker: str, least: int) -> None:
    """Examples of commands, how a method is trained, what lists a multiplier; usage lines have no language."""
    pages = import_module(maker).pages()
    blocks = [block for place, text in pages.items() for block in snippets_of(text, place) if block.language]
    found = [command for block in blocks for command in commands(block)]
    assert len(found) >= least
    for command in found:
        check_command(command)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; a warning is an error."""
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    makers = ("command_pages", "method_pages", "module_pages", "multiplier_pages")
    made = {place for maker in makers for place in import_module(maker).pages()}
    assert {"commands/rtl-emit.md", "methods/asq.md", "modules/hwsim.network.md", "multipliers/drum.md"} <= made
    wanted = {place.removesuffix(".md") + ".html" for place in SOURCES | made}
    assert wanted <= {path.relative_to(site).as_posix() for path in site.rglob("*.html")}


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    assert FETCHED.search('<script async src="https://unpkg.com/x.js">')
    assert FETCHED.search("<link rel=stylesheet href=//fonts.example/x.css>")
    assert [path.name for path in site.rglob("*.html") if FETCHED.search(path.read_text(encoding="utf-8"))] == []
    assert not [path.name for path in site.rglob("*.css") if re.search(r"url\(['\"]?(https?:)?//", path.read_text())]


def test_pages_hold_what_the_code_says(site: Path) -> None:
    texts = {name: (site / f"{name}.html").read_text(encoding="utf-8") for name in ("methods/asq", "commands/simulate")}
    assert "activations whose step is adapted to each sample" in texts["methods/asq"]
    assert "--accumulator-bits" in texts["commands/simulate"]
    assert "with_accumulator" in (site / "modules" / "hwsim.network.html").read_text(encoding="utf-8")


@pytest.mark.browser
def test_a_browser_finds_no_error_and_asks_nobody_else(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or pytest.skip("needs chromium on the path: apt-get install chromium")
    with playwright.sync_playwright() as driver, served(site) as address:
        page = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        for name in ("tutorial", "methods/asq", "modules/hwsim.network"):
            page.goto(f"{address}/{name}.html")
        page.goto(f"{address}/index.html?q=saturate")
        page.locator(".md-search-result__item").first.wait_for(state="attached")
        assert errors == []
        assert asked
        assert [url for url in asked if not url.startswith((address, "data:"))] == []


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback address, and yield where."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

"""The documentation's site: its navigation is complete, it builds without a warning, and it fetches nothing."""

import json
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
    made = {*links.ROOT_PAGES.values(), "methods/", "multipliers/", "commands/", "notebooks/", "modules/index.md"}
    assert set(named) == SOURCES | made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](cost.md#gates)", "[a](../cost.md#gates)"),
        ("[a](../trainers/bwrf.py)", "[a](../modules/trainers.bwrf.md)"),
        ("[a](../hwsim/formats/__init__.py)", "[a](../modules/hwsim.formats.md)"),
        ("[a](../README.md)", "[a](../index.md)"),
        ("[a](../notebooks/01_overhead.ipynb)", "[a](../notebooks/01_overhead.md)"),
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


def code(*outputs: dict[str, Any], source: str = "1 + 1") -> dict[str, Any]:
    """Return a cell of code that showed something."""
    return {"cell_type": "code", "execution_count": 3, "source": [source], "outputs": list(outputs)}


def shows(**data: str) -> dict[str, Any]:
    """Return an output that a cell shows in these kinds; in their names, "_" stands for "/"."""
    return {"output_type": "display_data", "data": {kind.replace("_", "/"): [text] for kind, text in data.items()}}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ({"cell_type": "markdown", "source": ["# A\n", "b"]}, "# A\nb"),
        ({"cell_type": "markdown", "source": "$\\sqrt 2$, $2^8$, $5"}, "√2, 2<sup>8</sup>, $5"),
        (code(source="a = 1\n"), "```python\na = 1\n```"),
        (code({"output_type": "stream", "text": ["a\n", "b\n"]}), "```{ .text .output }\na\nb\n```"),
        (code(shows(text_plain="2")), "```{ .text .output }\n2\n```"),
        (code(shows(text_plain="<Markdown>", text_markdown="| a |\n")), "```\n\n| a |\n\n"),
        (code(shows(text_plain="   a", text_html="<table></table>")), "```\n\n<table></table>\n\n"),
        (code(shows(text_plain="<Figure>", image_png="AAAA")), "![What the code above draws](n-3-0.png)"),
        (code(shows(text_plain="1"), shows(image_png="AAAA")), "(n-3-1.png)"),
    ],
)
def test_cells_of_a_notebook_are_shown(cell: dict[str, Any], expected: str) -> None:
    page = import_module("notebook_pages").page([cell], "n.ipynb")
    assert expected in page
    assert '<a href="n.ipynb" download>' in page


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"cell_type": "markdown", "source": r"$\frac 1 2$"}, r"no LaTeX beyond .*, got \$\\frac 1 2\$"),
        ({"cell_type": "markdown", "source": "$2^{10}$"}, "no LaTeX beyond"),
        (code({"output_type": "stream", "text": "```\n"}), "they hold none, got '```"),
        (code(shows(image_jpeg="AAAA")), "the site shows text/markdown, .*image/jpeg"),
        (code({"output_type": "error", "ename": "ValueError"}), "the site shows text/markdown, .*ValueError"),
    ],
)
def test_what_the_site_cannot_show_of_a_notebook_is_an_error(cell: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_module("notebook_pages").page([cell], "n.ipynb")


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
    makers = ("command_pages", "method_pages", "module_pages", "multiplier_pages", "notebook_pages")
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


def test_notebooks_are_pages_with_their_pictures(site: Path) -> None:
    assert 'href="01_overhead.html"' in (site / "notebooks" / "index.html").read_text(encoding="utf-8")
    drawn = 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        page = (site / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert page.count('<div class="output highlight">') == sum(
            output["output_type"] == "stream" for cell in cells for output in cell.get("outputs", ())
        )
        for picture in re.findall(r'src="([^"]+\.png)"', page):
            drawn += 1
            assert (site / "notebooks" / picture).read_bytes().startswith(b"\x89PNG")
        assert (site / "notebooks" / path.name).read_bytes() == path.read_bytes()
    assert drawn >= 6


def test_the_search_of_a_site_opened_as_files_is_complete(site: Path) -> None:
    script = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert json.loads(script.removeprefix("var __index = ")) == index
    assert index["config"]["lang"] == ["en"], "docs/javascripts/iframe-worker.js loads no other language"


@pytest.fixture(name="browser", scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or pytest.skip("needs chromium on the path: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=path, args=["--no-sandbox"])


@contextmanager
def clean_page(browser: Any, origin: str, **options: Any) -> Iterator[Any]:
    """Yield a page that must raise no error and ask for nothing but addresses that begin with this."""
    page = browser.new_page(**options)
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []
    assert asked
    assert [url for url in asked if not url.startswith((origin, "data:", "about:"))] == []


@pytest.mark.browser
def test_a_browser_finds_no_error_and_asks_nobody_else(site: Path, browser: Any) -> None:
    with served(site) as address, clean_page(browser, address) as page:
        for name in ("tutorial", "methods/asq", "modules/hwsim.network", "notebooks/01_overhead"):
            page.goto(f"{address}/{name}.html")
        page.goto(f"{address}/index.html?q=saturate")
        page.locator(".md-search-result__item").first.wait_for(state="attached")


@pytest.mark.browser
@pytest.mark.parametrize("width", [380, 1400])
def test_search_finds_pages_of_a_site_opened_as_files(site: Path, browser: Any, width: int) -> None:
    with clean_page(browser, site.as_uri(), viewport={"width": width, "height": 800}) as page:
        page.goto((site / "methods" / "asq.html").as_uri())
        if width < 960:
            page.locator(".md-header__button[for=__search]").click()
        page.locator(".md-search__input").press_sequentially("saturate")
        page.locator(".md-search-result__item a").first.click()
        page.wait_for_url(re.compile(r"file:.*/(?!asq)[\w.]+\.html"))


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out(site: Path, browser: Any, scheme: str) -> None:
    contrasts = (ROOT / "tests" / "contrast.js").read_text(encoding="utf-8")
    with clean_page(browser, site.as_uri(), color_scheme=scheme, reduced_motion="reduce") as page:
        for name in ("index", "methods/asq", "modules/hwsim.network", "notebooks/05_own_multiplier"):
            page.goto((site / f"{name}.html").as_uri())
            assert page.evaluate(contrasts, 21.1) != []
            assert page.evaluate(contrasts, 4.5) == [], name


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback address, and yield where."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

"""The pages of a report in a real browser: Debian's Chromium, without a display and without a network."""

import csv
import io
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from run_records import DESIGNS, record, save
from watched import watched

from hwsim.files import atomic_write
from reports.pages import build_pages
from reports.records import load_study
from reports.run_groups import run_groups
from reports.tables.paper import paper_view, render_paper

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
RECORDS = Path(__file__).parents[1] / "benchmarks" / "results" / "cifar10"
FRONT = {"uniform-w2a2", "uniform-w3a3", "post-w4a4", "uniform-w4a4"}  #: of accuracy against energy, below
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
    if CHROMIUM is None:
        pytest.skip("needs chromium on the path: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the index of a report of the small study."""
    folder = tmp_path_factory.mktemp("study")
    for family, bits in DESIGNS:
        for seed in range(3):
            save(folder, record(family, bits, seed))
    for name, text in build_pages(load_study(folder), folder).items():
        with atomic_write(folder / name) as path:
            path.write_text(text)
    return folder / "index.html"


@pytest.fixture
def page(browser: "Browser", report: Path) -> Iterator["Page"]:
    """Return the open index; at the end no error may have come up and nothing may have been asked for."""
    with browser.new_context(viewport={"width": 1200, "height": 900}) as context:
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if "://" in request.url[5:] else None)
        page.on("requestfailed", lambda request: troubles.append(request.url))
        page.set_default_timeout(60_000)
        page.goto(report.as_uri())
        page.wait_for_selector("#plot .point")
        yield page
        outside = [trouble for trouble in troubles if not trouble.startswith("file://")]
        assert outside == []


def designs(page: "Page") -> list[str]:
    """Return the names in the table that can be seen, in their order."""
    return page.locator("#designs tbody tr:visible th").all_inner_texts()


def test_the_plot_shows_every_quantized_design_with_its_front(page: "Page") -> None:
    assert page.locator("#plot .point").count() == 4
    assert page.locator("#plot .errorbar").count() == 4
    assert page.locator("#plot .legendtext").all_text_contents() == ["Pareto front", "uniform", "pot", "post"]
    assert page.locator("#plot .xtitle").text_content() == "bit operations per image"
    assert page.locator("#plot .modebar-btn").count() == 6


def test_headings_sort_both_ways_and_missing_values_stay_last(page: "Page") -> None:
    button = page.get_by_role("button", name="accuracy [%]")
    button.click()
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("accuracy")
    assert designs(page)[0] == "uniform-w2a2"
    page.get_by_role("button", name="BOPs").click()
    assert designs(page)[-1] == "float"
    page.get_by_role("button", name="BOPs").click()
    assert page.locator("th[aria-sort]").count() == 1
    assert (designs(page)[-2], designs(page)[-1]) == ("uniform-w2a2", "float")


def test_the_table_is_filtered_by_words_and_by_weights(page: "Page") -> None:
    page.get_by_label("Filter").fill("W4 po")
    assert designs(page) == ["pot-w4a4", "post-w4a4"]
    page.get_by_label("Weights").select_option("post")
    assert designs(page) == ["post-w4a4"]
    assert page.locator("#count").inner_text() == "1 of 5 designs"


def test_the_axis_changes_and_the_address_remembers_it(page: "Page") -> None:
    page.locator("#axis").select_option("storage")
    assert page.locator("#plot .xtitle").text_content() == "weight storage [bit]"
    page.get_by_label("logarithmic").uncheck()
    assert page.evaluate("document.getElementById('plot').layout.xaxis.type") == "linear"
    page.reload()
    page.wait_for_selector("#plot .point")
    assert page.locator("#plot .xtitle").text_content() == "weight storage [bit]"


@pytest.mark.parametrize("logarithmic", [True, False])
def test_designs_that_would_overlap_stand_in_the_order_of_their_costs(page: "Page", logarithmic: bool) -> None:
    """The front stays where it is, also where two of it are so near that a third one has no room between them."""
    page.get_by_label("logarithmic").set_checked(logarithmic)
    designs = {  # energy, accuracy
        "uniform-w2a2": (120_000, 80),
        "apot-w2a2": (120_000, 79),
        "post-w3a3": (192_500, 70),
        "uniform-w3a3": (192_944, 94),
        "pot-w3a3": (193_228, 91),
        "pot-w4a4": (196_500, 93),
        "post-w4a4": (267_000, 96),
        "apot-w4a4": (267_050, 95),
        "uniform-w4a4": (267_100, 97),
        "uniform-w8a8": (400_000, 95),
    }
    given = [{"name": name, "costs": {"energy": cost}, "accuracy": y} for name, (cost, y) in designs.items()]
    script = "(given) => Object.fromEntries([...places(given, 'energy')].map(([design, x]) => [design.name, x]))"
    placed: dict[str, float] = page.evaluate(script, given[::-1])
    moved = {name for name, x in placed.items() if x != designs[name][0]}
    assert {"apot-w2a2", "post-w3a3", "pot-w3a3"} <= moved <= {*designs} - FRONT - {"uniform-w8a8"}
    assert placed["apot-w2a2"] < designs["apot-w2a2"][0]  # of equal ones the first goes to the left
    assert sorted(placed, key=placed.__getitem__) == ["apot-w2a2", *(name for name in designs if name != "apot-w2a2")]
    crowded = [name for name in placed if name != "apot-w4a4" and name not in FRONT - {"uniform-w3a3"}]
    spots = sorted(placed[name] for name in crowded)
    assert min(later / earlier for earlier, later in pairwise(spots)) > 1.01


def test_the_caption_says_that_designs_were_moved_if_any_was(page: "Page") -> None:
    said = page.get_by_text("designs of nearly equal cost stand side by side")
    assert said.is_visible()
    page.evaluate("report.designs.splice(3); draw()")
    assert page.locator("#plot .point").count() == 2
    assert not said.is_visible()


def test_csv_holds_what_is_shown_exactly(page: "Page") -> None:
    page.get_by_label("Weights").select_option("uniform")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename == "designs.csv"
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["design"] for row in rows] == ["uniform-w2a2", "uniform-w4a4"]
    assert float(rows[1]["bops"]) == 6400 * 16 + 20 * 64
    assert float(rows[0]["sd [%]"]) == pytest.approx(2)
    assert rows[0]["network"] == "demo, digits, digits_resnet"


def test_two_designs_are_compared_over_their_seeds_by_keyboard_alone(page: "Page") -> None:
    """Paired differences of 7, 6 and 3.5 points: mean 5.5, deviation 1.803, interval 5.5 -+ 4.3027 x 1.803 / sqrt 3."""
    boxes = ["Compare uniform-w2a2", "Compare uniform-w4a4"]
    for name in boxes:
        page.get_by_label(name).focus()
        page.keyboard.press("Space")
    text = page.locator("#comparison").inner_text()
    assert "+5.50 points, 95 % interval +1.02 to +9.98, paired over 3 seeds: a difference is shown if " in text
    page.get_by_label("Compare post-w4a4").press("Space")
    text = page.locator("#comparison").inner_text()
    assert "+0.00 points in each of 3 seeds: no spread to judge by" in text
    assert [page.get_by_label(name).is_checked() for name in boxes] == [False, True]
    page.get_by_role("button", name="accuracy [%]").press("Enter")
    assert designs(page)[0] == "uniform-w2a2"


def test_the_first_key_skips_to_the_content(page: "Page") -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_a_point_is_chosen_by_a_click_and_told_by_hovering(page: "Page") -> None:
    point = page.locator("#plot .point").first
    point.hover(force=True)
    page.wait_for_selector("#plot .hoverlayer .hovertext")
    assert "uniform-w2a2" in str(page.locator("#plot .hoverlayer").text_content())
    point.click(force=True)
    assert "uniform-w2a2" in page.locator("#comparison").inner_text()


def contrast(page: "Page", ground: str, color: str) -> float:
    """Return the contrast of two colours of the style sheet (WCAG 2.1)."""

    def luminance(name: str) -> float:
        text = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()")
        parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(ground), luminance(color)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_told_apart_in_both_themes(page: "Page", scheme: Any) -> None:
    """Text needs 4.5, what is drawn 3 (WCAG 2.1, 1.4.3 and 1.4.11)."""
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    for ground in ("--ground", "--raised"):
        assert min(contrast(page, ground, name) for name in ("--text", "--soft", "--link")) >= 4.5
    assert min(contrast(page, "--ground", f"--series-{i}") for i in range(8)) >= 3
    page.get_by_role("button", name="Change to").click()
    assert page.evaluate("document.documentElement.dataset.theme") != scheme


@pytest.mark.parametrize("width", [320, 400])
def test_a_phone_scrolls_in_one_direction_only(page: "Page", width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_print_is_light_and_without_controls(page: "Page") -> None:
    page.emulate_media(media="print")
    assert not page.locator(".controls").first.is_visible()
    assert page.locator("h1").is_visible()


def test_the_page_of_a_design_has_no_errors(page: "Page") -> None:
    page.get_by_role("link", name="post-w4a4").click()
    page.wait_for_selector("text=Recipe")
    assert page.locator("h1").inner_text() == "post-w4a4"
    page.get_by_role("link", name="All designs").click()
    page.wait_for_selector("#plot .point")


def test_a_watched_page_changes_by_itself(browser: "Browser", tmp_path: Path) -> None:
    save(tmp_path, record("pot", 4, 0))
    with watched(tmp_path) as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("text=Study demo, 1 run")
        save(tmp_path, record("pot", 4, 1))
        page.wait_for_selector("text=Study demo, 2 runs")


def test_a_papers_table_fits_a_phone_and_leads_to_the_records(browser: "Browser", tmp_path: Path) -> None:
    name = tmp_path / "table.html"
    name.write_text(render_paper(paper_view("asq-cifar10", run_groups([RECORDS]), tmp_path), "html", tmp_path))
    troubles: list[str] = []
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if "://" in request.url[5:] else None)
        page.goto(name.as_uri())
        assert page.locator("tbody tr").count() >= 10
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("td a").first.click()
        page.wait_for_url("**/record.json")
    assert troubles == []

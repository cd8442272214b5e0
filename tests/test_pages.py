"""The pages of a report, as text: whole, self-contained, accessible, and true to the records."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from run_records import DESIGNS, record, save

from hwsim.cost.gates import find_gates
from hwsim.formats import Uniform, make_format
from hwsim.multipliers import multiplier_for
from hwsim.network_file import load_network
from hwsim.nodes import Matmul
from reports.pages import build_pages, networks
from reports.pages.answer import answer
from reports.pages.design import page_designs, slugs
from reports.paired import Difference
from reports.records import load_study
from reports.report import write_report
from reports.statement import points

VOID = {"meta", "link", "input", "br", "path", "img", "hr"}
EVIL = "</script><script>alert(1)</script>"


class Page(HTMLParser):
    """A page's elements, with a check that every one is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that it closes the last one."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect what readers see."""
        if not {"script", "style"} & set(self.open):
            self.text += data

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of these kinds."""
        return [attributes for tag, attributes in self.elements if tag in tags]


def pages_of(folder: Path) -> dict[str, str]:
    return build_pages(load_study(folder), folder)


def data_of(page: str) -> dict[str, Any]:
    text = page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for family, bits in DESIGNS:
        for seed in range(3):
            save(tmp_path, record(family, bits, seed))
    return tmp_path


def test_every_page_is_whole_accessible_and_loads_nothing(runs: Path) -> None:
    pages = pages_of(runs)
    assert len(pages) == 1 + len(DESIGNS)
    for text in pages.values():
        page = Page(text)
        assert ("html", {"lang": "en"}) in page.elements
        assert len(page.of("h1")) == len(page.of("title")) == len(page.of("main")) == 1
        assert all("src" not in attributes for _, attributes in page.elements)
        assert [link["href"] for link in page.of("link")] == ["data:,"]
        assert page.of("meta")[2]["content"] == (
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
        )
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert all(attributes.get("aria-label") for _, attributes in page.elements if attributes.get("role") == "img")
        regions = [attributes for _, attributes in page.elements if attributes.get("class") == "scroll"]
        assert all(r["tabindex"] == "0" and (r.get("aria-label") or r.get("aria-labelledby")) for r in regions)
        assert all("scope" in attributes for attributes in page.of("th"))
        links = [str(link["href"]) for link in page.of("a")]
        assert not [link for link in links if "://" in link]


def test_the_library_is_in_the_index_once_and_nowhere_else(runs: Path) -> None:
    pages = pages_of(runs)
    assert [text.count("plotly.js (basic - minified)") for text in pages.values()] == [1] + [0] * len(DESIGNS)
    assert len(pages["index.html"]) < 2_000_000


def test_links_between_pages_and_to_records_lead_to_files(runs: Path) -> None:
    shutil.copytree(runs, runs.parent / "a b#c")
    out = runs.parent / "a b#c" / "report"
    write_report(load_study(out.parent), out)
    index = Page((out / "index.html").read_text())
    targets = [str(link["href"]) for link in index.of("a") if str(link["href"]).endswith(".html")]
    assert len(targets) == len(DESIGNS)
    for target in targets:
        page = Page((out / target).read_text())
        links = [str(link["href"]) for link in page.of("a")]
        assert "../index.html" in links
        records = [link for link in links if link.endswith("record.json")]
        assert len(records) == 3
        assert all((out / "designs" / link).is_file() for link in records)


def test_the_table_and_the_data_of_the_plot_are_the_records(runs: Path) -> None:
    page = pages_of(runs)["index.html"]
    data = data_of(page)
    designs = {design["name"]: design for design in data["designs"]}
    assert list(designs) == ["float", "uniform-w2a2", "uniform-w4a4", "pot-w4a4", "post-w4a4"]
    assert designs["uniform-w2a2"]["accuracy"] == pytest.approx(92)
    assert designs["uniform-w2a2"]["deviation"] == pytest.approx(2)
    assert designs["uniform-w2a2"]["by_seed"] == {"0": 90.0, "1": 92.0, "2": 94.0}
    assert designs["uniform-w4a4"]["costs"] == {"bops": 6400 * 16 + 20 * 64, "storage": 560}
    assert designs["float"]["costs"] == {}
    assert list(data["axes"]) == ["bops", "storage"]
    assert data["quantiles"] == [pytest.approx(12.7062047), pytest.approx(4.3026527)]
    assert "92.00 ± 2.00" in Page(page).text
    assert "Not known for these runs: energy per image, area of the processing element, cycles per image." in page


def test_names_from_records_are_text_and_never_markup(tmp_path: Path) -> None:
    content = record("pot", 4, 0)
    content["study"] = EVIL
    content["config"] |= {"model": EVIL, "note": EVIL, "data": "../../x"}
    content["run_id"] = f"../../x-{EVIL}-pot-w4a4-s0"
    content["volatile"] = {"command": EVIL}
    content["versions"] = {"python": EVIL}
    path = tmp_path / "run" / "record.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    pages = pages_of(tmp_path)
    assert list(pages) == ["index.html", "designs/pot-w4a4.html"]
    for text in pages.values():
        assert "<script>alert" not in text
        assert "alert(1)" in Page(text).text
    assert data_of(pages["index.html"])["groups"] == [f"{EVIL}, ../../x, {EVIL}"]


def test_file_names_are_safe_and_different() -> None:
    keys = [("s", "d", "m", "a"), ("s", "d", "m", "A"), ("s", "d", "m", "../b"), ("s", "d", "m", "a?")]
    assert slugs(keys) == ["a", "A-2", "_b", "a_"]
    assert slugs([("s", "d", "m", "a"), ("t", "d", "m", "a")]) == ["s-a", "t-a"]


def test_the_answer_names_the_cheapest_design_that_surely_loses_little(tmp_path: Path) -> None:
    """Losses of -0.1, -0.3, -0.2 points: mean -0.2, deviation 0.1, interval -0.2 -+ 4.3027 x 0.1 / sqrt(3) = 0.248."""
    for seed, loss in enumerate((0.001, 0.003, 0.002)):
        good, poor = record("pot", 4, seed), record("uniform", 2, seed)
        good["accuracy"]["integer"] = good["accuracy"]["float"] - loss
        poor["accuracy"]["integer"] = poor["accuracy"]["float"] - 0.03 - loss
        for content in (good, poor, record("float", 0, seed)):
            save(tmp_path, content)
    found = answer(page_designs(load_study(tmp_path)))
    assert found.question.startswith("What does digits_resnet on digits cost in hardware")
    assert found.lead == (
        "pot-w4a4 is the cheapest design in BOPs whose loss against the float network stays, at 95 % confidence, below "
        "one point of accuracy: −0.20 points (95 % interval −0.45 to +0.05, paired over 3 seeds), at 104k BOPs per "  # noqa: RUF001
        "image."
    )
    assert found.front == ("uniform-w2a2", "pot-w4a4")
    assert "Each design was trained with 3 seeds" in found.more[-1]


def test_one_seed_proves_nothing_and_the_answer_says_so(tmp_path: Path) -> None:
    save(tmp_path, record("pot", 4, 0))
    found = answer(page_designs(load_study(tmp_path)))
    assert found.lead.startswith(
        "These runs do not show, at 95 % confidence, that any design loses less than one point"
    )
    assert "(one seed: its spread is not known)" in found.lead
    assert found.more[-1].startswith("Every design was trained once")


def test_without_a_float_network_or_a_measurement_there_is_no_comparison(tmp_path: Path) -> None:
    content = record("pot", 4, 0)
    del content["accuracy"]["float"]
    path = save(tmp_path, content)
    assert answer(page_designs(load_study(tmp_path))).lead.endswith("No float network was measured to compare with.")
    content["accuracy"] = {}
    path.write_text(json.dumps(content))
    assert answer(page_designs(load_study(tmp_path))).lead == "No quantized design has been measured yet."
    assert "post" not in pages_of(tmp_path)["designs/pot-w4a4.html"].partition("</style>")[2]


def test_a_difference_in_words() -> None:
    assert points(Difference(3, -0.0125, -0.03, 0.005)) == (
        "−1.25 points (95 % interval −3.00 to +0.50, paired over 3 seeds)"  # noqa: RUF001
    )


def test_a_design_with_its_network_shows_codes_multipliers_and_checks(tiny_study: Path) -> None:
    pages = pages_of(tiny_study)
    page = Page(pages["designs/post-w3a3.html"])
    assert "Weight codes" in page.text
    assert "table: 3-bit post weights, 3-bit uniform activations" in page.text
    assert "table_entry" in page.text
    assert "codes decode to the trained values" in page.text
    assert "what is rounded after that, by POST's table of products" in page.text
    assert "computes what was trained" not in page.text
    assert "hwsim train" in page.text
    saved = json.loads((tiny_study / "digits-digits_resnet-post-w3a3-s0" / "record.json").read_text())
    labels = [str(a["aria-label"]) for a in page.of("svg")]
    assert len(labels) == len(saved["export"]["layers"])
    total = sum(int(label.rpartition(" of ")[2].split()[0]) for label in labels)
    assert total == sum(
        row["value"] for row in saved["cost"] if row["quantity"] == "parameters" and row["part"] == "weights"
    )
    costs = data_of(pages["index.html"])["designs"][1]["costs"]
    assert set(costs) == {"bops", "storage", "energy", "area", "cycles"}
    area = find_gates(multiplier_for(make_format("post", 3), Uniform(3, signed=False)), "pe").measures["area"]
    assert costs["area"] == area
    assert page.text.count("NAND2 gates") == 2
    assert min(costs.values()) > 0


def test_a_damaged_network_is_named(tiny_study: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_study, tmp_path / "runs")
    path = next((tmp_path / "runs").glob("*post*/network.safetensors"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"post-w3a3-s0/network\.safetensors"):
        pages_of(tmp_path / "runs")


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("uniform-w3a3", "layer layer1.0.conv1 has 3-bit post weights, the run 3-bit uniform ones"),
        ("post-w4a4", "layer layer1.0.conv1 has 3-bit post weights, the run 4-bit post ones"),
    ],
)
def test_the_network_of_another_design_is_refused_by_name(
    tiny_study: Path, tmp_path: Path, named: str, problem: str
) -> None:
    before = tiny_study / "digits-digits_resnet-post-w3a3-s0"
    after = rename_design(before, tmp_path / f"digits-digits_resnet-{named}-s0", named)
    with pytest.raises(ValueError, match=f"{after.name}/network.safetensors is not the network .* it: {problem}"):
        pages_of(tmp_path)


def test_a_network_that_is_uniform_throughout_is_not_of_another_method(tiny_study: Path, tmp_path: Path) -> None:
    """Outer layers are uniform whatever the method is; inner ones are not."""
    network = load_network(tiny_study / "digits-digits_resnet-post-w3a3-s0" / "network.safetensors")
    outer = [node for node in network.nodes if isinstance(node, Matmul)][:1] * 3
    config = {"weights": "post", "bits": 3, "first_last_bits": 8}
    networks._check_formats(tmp_path, outer[:2], config)
    with pytest.raises(ValueError, match="layer conv1 has 8-bit uniform weights, the run 3-bit post ones"):
        networks._check_formats(tmp_path, outer, config)
    networks._check_formats(tmp_path, outer, config | {"overrides": {"layer*": {"bits": 2}}})
    networks._check_formats(tmp_path, outer, config | {"weights": "qil"})


def rename_design(before: Path, after: Path, design: str) -> Path:
    """Copy a run as one of another design, with its network, and return the copy."""
    shutil.copytree(before, after)
    content = json.loads((after / "record.json").read_text())
    family, _, bits = design.partition("-w")
    content["run_id"] = after.name
    content["config"] |= {"weights": family, "bits": int(bits[0])}
    (after / "record.json").write_text(json.dumps(content))
    return after


def test_what_is_said_of_a_loss_is_corrected_for_how_many_designs_there_are(runs: Path) -> None:
    """Uniform at 2 bits loses 7, 5.5 and 4 points: t = 5.5 / (1.5 / sqrt 3), p = 0.0240, for four designs 0.0958."""
    pages = pages_of(runs)
    rows = {row["name"]: row for row in data_of(pages["index.html"])["designs"]}
    said = rows["uniform-w2a2"]["loss_text"]
    assert said.startswith("3 seeds: a difference is shown by itself but not after the correction, −5.50 points (")  # noqa: RUF001
    assert "p = 0.096 after Holm's correction for 4 comparisons" in said
    assert said in Page(pages["designs/uniform-w2a2.html"]).text
    assert (rows["float"]["loss"], rows["float"]["loss_text"]) == (None, "")

"""`hwsim paper-table`: which runs stand beside which row, what is said of missing numbers, and every format."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from command import error, read_csv, read_latex, read_markdown, rows, run

from hwsim.cli.paper_table import PaperOutput
from hwsim.files import read_json, write_json
from reports.published import PAPER_TABLES
from reports.run_groups import run_groups
from reports.tables.paper import FORMATS, paper_view, render_paper
from reports.tables.paper.matching import DATA, METHODS, MODELS, matching

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "results" / "cifar10"
SETTINGS = {"study": "s", "data": "cifar10", "model": "resnet20", "activations": "lsq", "epochs": 2, "lr": 0.1}


def save(folder: Path, weights: str, correct: float, bits: int = 4, seed: int = 0, **config: Any) -> Path:
    """Write the record of a run on 10,000 images that started from a float network with 92 %."""
    config = {**SETTINGS, "weights": weights, "bits": bits, "act_bits": bits, **config}
    names = dict.fromkeys((weights, config["activations"])) if config["activations"] != "lsq" else (weights,)
    design = f"{'-'.join(names)}-w{bits}a{config['act_bits']}{'-bwrf' if config.get('bwrf') else ''}"
    content = {
        "schema": 1,
        "study": config["study"],
        "run_id": f"{config['data']}-{config['model']}-{design}-s{seed}",
        "config": config | {"seed": seed},
        "seed": seed,
        "accuracy": {"float": 0.92, "integer": correct},
        "counts": {"test_images": config.get("images", 10_000)},
    }
    path = folder / f"{content['run_id']} (e{config['epochs']})" / "record.json"
    write_json(path, content)
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """LSQ with three seeds, ASQ with two of them, both at 4 bits; POST with one at 3."""
    folder = tmp_path / "runs"
    for seed, correct in enumerate((0.90, 0.91, 0.92)):
        save(folder, "lsq", correct, seed=seed)
    for seed, correct in enumerate((0.91, 0.93)):
        save(folder, "lsq", correct, seed=seed, activations="asq")
    save(folder, "post", 0.89, bits=3, activations="asq")
    return folder


def shown(text: str) -> dict[tuple[str, str], list[str]]:
    """Return the cells of a Markdown table by method and what the line is."""
    _, *lines = read_markdown(text)
    return {(method, source): cells for _, method, source, *cells in lines}


def test_ours_stands_below_the_row_that_it_belongs_to(runs: Path) -> None:
    text = run("paper-table", "asq-cifar10", runs, "--format", "table").stdout
    lines = {tuple(re.split(r" {2,}", line.strip())) for line in text.splitlines()}
    assert ("ResNet-20", "ASQ", "published", "92.6", "91.2", "91.7", "92.8") in lines
    seeds = "92.00 (seeds 0, 1)", "not measured", "not measured", "92.00 ± 1.41 (seeds 0, 1)"
    assert ("ResNet-20", "ASQ", "ours: lsq-asq, 2 epochs", *seeds) in lines
    alone = "92.00 (seed 0)", "not measured", "89.00 (seed 0)", "not measured"
    assert ("ResNet-20", "ASQ+POST", "ours: post-asq, 2 epochs", *alone) in lines
    assert ("ResNet-20", "LQ-Nets", "ours", *["not measured"] * 4) in lines
    assert ("ResNet-20", "LQ-Nets", "published", "92.1", "90.2", "91.6", "–") in lines  # noqa: RUF001
    assert ("ResNet-20", "LSQ*", "published", "92.6 (i)", "91.0 (i)", "92.0 (i)", "92.4 (i)") in lines


def test_differences_between_ours_come_with_what_the_runs_show(runs: Path) -> None:
    """ASQ less LSQ: 1 and 2 points; POST at 3 bits has nothing to be compared with."""
    text = run("paper-table", "asq-cifar10", runs).stdout
    (sentence,) = re.findall(r"\* (Ours, .*) against .*: (2 seeds: .*)\n", text)
    assert sentence[0] == "Ours, lsq-asq-w4a4"
    assert sentence[1].startswith("2 seeds: no difference shown, +1.50 points (95 % interval −4.85 to +7.85;")  # noqa: RUF001


def compared(folder: Path, name: str) -> list[tuple[str, str]]:
    """Return which designs below a folder the table's notes compare."""
    text = run("paper-table", name, folder).stdout
    return re.findall(r"\* Ours, (.*) against (.*): \d seed", text)


def test_only_runs_of_one_recipe_and_of_the_table_are_compared(tmp_path: Path) -> None:
    """Neither of another duration, nor of a width that the table has not; BWRF with the method that it is around."""
    bwrf = {"temperature": 4.0}
    save(tmp_path, "lsq", 0.9)
    save(tmp_path, "post", 0.9, epochs=300)
    save(tmp_path, "pot", 0.9)
    for bits in (3, 4):
        save(tmp_path, "post", 0.9, bits=bits, activations="asq")
        save(tmp_path, "post", 0.9, bits=bits, activations="asq", bwrf=bwrf)
    assert compared(tmp_path, "asq-ablation") == [("pot-w4a4", "lsq-w4a4"), ("post-asq-w4a4", "lsq-w4a4")]
    assert compared(tmp_path, "bwrf") == [
        ("post-asq-w4a4", "lsq-w4a4"),
        ("post-asq-w3a3-bwrf", "post-asq-w3a3"),
        ("post-asq-w4a4-bwrf", "post-asq-w4a4"),
    ]
    save(tmp_path, "lsq", 0.9, bits=3)
    save(tmp_path, "pot", 0.9, bits=3)
    assert ("pot-w3a3", "lsq-w3a3") not in compared(tmp_path, "asq-ablation")


def test_stars_of_names_are_no_markup() -> None:
    text = run("paper-table", "asq-cifar10", "--format", "markdown").stdout
    assert text.count("LSQ\\*") == 2
    assert re.findall(r"(?<!\\)\*(?![* ])", text.replace("**", "")) == []


def test_rows_for_programs_are_exact_and_name_their_records(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    found = rows("paper-table", "asq-cifar10", ".")
    (asq,) = (row for row in found if (row["method"], row["weight_bits"]) == ("ASQ", 4))
    assert (asq["published"], asq["certainty"], asq["epochs"], asq["seeds"]) == (92.8, "printed", 2, 2)
    assert (asq["ours"], asq["deviation"]) == (pytest.approx(92), pytest.approx(2**0.5))
    records = [read_json(runs / path) for path in asq["records"].split(";")]
    assert [record["run_id"] for record in records] == [f"cifar10-resnet20-lsq-asq-w4a4-s{seed}" for seed in (0, 1)]
    (lq_nets,) = (row for row in found if (row["method"], row["weight_bits"]) == ("LQ-Nets", 3))
    assert (lq_nets["ours"], lq_nets["state"], lq_nets["records"]) == (None, "not measured", None)
    (post,) = (row for row in found if (row["method"], row["weight_bits"]) == ("ASQ+POST", 3))
    assert (post["published"], post["state"], post["seeds"]) == (92.3, "measured", 1)
    table = read_csv(run("paper-table", "asq-cifar10", ".", "--format", "csv").stdout)
    assert [row["source"] for row in table] == [row["source"] for row in found]
    assert [row["ours"] for row in table] == ["" if row["ours"] is None else str(row["ours"]) for row in found]


class Links(HTMLParser):
    """Where the links of a page lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the target of a link."""
        self.found += [str(target) for name, target in attrs if tag == "a" and name == "href"]


LINKS = {"markdown": r"\]\(([^)]+)\)", "latex": r"\\href\{([^}]+)\}", "html": ""}  #: html has a parser of its own.


@pytest.mark.parametrize("format", LINKS)
def test_every_number_of_ours_links_to_its_records(runs: Path, tmp_path: Path, format: str) -> None:
    """Folder names have spaces and brackets; the table lies in another folder than the records."""
    out = tmp_path / "tables" / "page"
    result = run("paper-table", "asq-cifar10", runs, "--format", format, "--out", out)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{out}\n")
    text = out.read_text()
    page = Links()
    page.feed(text)
    links = page.found if format == "html" else re.findall(LINKS[format], text)
    targets = [(out.parent / unquote(link.replace("\\%", "%"))).resolve() for link in links if not link.startswith("#")]
    assert len(targets) == 2 * (3 + 2 + 1)
    assert set(targets) == {path.resolve() for path in runs.rglob("record.json")}


def test_latex_is_booktabs_with_links_and_notes_below(runs: Path) -> None:
    text = run("paper-table", "asq-ablation", runs, "--format", "latex").stdout
    headings, *lines = read_latex(text)
    assert headings == ["model", "method", "from", r"top-1 float {[}\%]", r"top-1 4/4 {[}\%]"]
    (cell,) = (line[3] for line in lines if line[:3] == ["ResNet-20", "ASQ", "ours: lsq-asq, 2 epochs"])
    assert re.fullmatch(r"92\.00 \(seeds \\href\{\S+/record\.json\}\{0\}, \\href\{\S+/record\.json\}\{1\}\)", cell)
    assert re.findall(r"^\\\w+rule", text, re.MULTILINE) == [r"\toprule", r"\midrule", r"\bottomrule"]
    below = text.partition(r"\end{tabular}")[2]
    assert "hyperref" in text.splitlines()[0]
    assert below.startswith("\n\\begin{itemize}\\footnotesize\n\\item Training behind the published numbers: ")
    assert "\\item Sources: ASQ, arXiv:2504.17263, Table 5.\n\\end{itemize}\n" in below
    assert [line for line in below.splitlines() if re.search(r"(?<!\\)[%&#_]", line)] == []


def test_a_page_is_escaped_and_whole(runs: Path) -> None:
    text = run("paper-table", "asq-cifar10", runs, "--format", "html").stdout
    assert text.startswith("<!DOCTYPE html>")
    assert "http://" not in text.replace("http://www.w3.org", "")
    view = paper_view("asq-ablation", [], Path())
    assert "&lt;script&gt;" in render_paper(type(view)("<script>", (), 0, (), (), ()), "html", Path())


def test_one_format_of_the_command_for_every_renderer() -> None:
    assert [kind.value for kind in PaperOutput] == list(FORMATS)
    with pytest.raises(ValueError, match="unknown output format 'pdf'"):
        render_paper(paper_view("bwrf", [], Path()), "pdf", Path())


@pytest.mark.parametrize("name", PAPER_TABLES)
@pytest.mark.parametrize("format", FORMATS)
def test_every_table_is_written_in_every_format(name: str, format: str) -> None:
    result = run("paper-table", name, "--format", format)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout
    if format in ("table", "markdown", "latex", "html"):
        assert "Sources: " in result.stdout


def test_without_runs_nothing_of_ours_is_claimed(tmp_path: Path) -> None:
    text = run("paper-table", "asq-ablation").stdout
    assert "No runs were given: nothing of ours is shown." in text
    assert "not measured" not in text
    save(tmp_path, "lsq", 0.9, model="resnet56")
    text = run("paper-table", "asq-ablation", tmp_path).stdout
    assert "None of the given runs belongs here: nothing of ours is shown." in text
    assert {row["state"] for row in rows("paper-table", "asq-ablation", tmp_path)} == {"not measured"}


def test_what_the_paper_leaves_out_and_we_have_is_a_row(tmp_path: Path) -> None:
    """The paper has no 2-bit POST with ASQ, and nothing at other widths than the table's."""
    save(tmp_path, "post", 0.85, bits=2, activations="asq")
    found = [row for row in rows("paper-table", "asq-cifar10", tmp_path) if row["method"] == "ASQ+POST"]
    assert [(row["weight_bits"], row["published"], row["ours"]) for row in found] == [
        (32, 92.6, 92),
        (2, None, 85),
        (3, 92.3, None),
        (4, 93.0, None),
    ]
    assert (found[1]["certainty"], found[1]["source"]) == ("none at hand", None)


def test_the_overhead_is_computed_and_is_the_papers(runs: Path) -> None:
    """All eight numbers of Table 1, to the digits that it has."""
    found = [row for row in rows("paper-table", "asq-overhead") if row["design"] == "hwsim overhead, asq_table1"]
    assert len(found) == 8
    assert all(round(row["ours"], 2) == row["published"] for row in found)
    honest = [row for row in rows("paper-table", "asq-overhead") if row["design"] == "hwsim overhead, as_it_runs"]
    assert all(row["ours"] > 3 * row["published"] for row in honest)
    assert "is computed: nothing is trained for it" in error("paper-table", "asq-overhead", runs)


def test_recipes_are_lines_of_their_own(runs: Path) -> None:
    """Another duration, and another learning rate at the same duration; a width of the same recipe joins its line."""
    save(runs, "pot", 0.90)
    save(runs, "pot", 0.91, epochs=300)
    save(runs / "slow", "pot", 0.92, lr=0.01)
    text = run("paper-table", "asq-ablation", runs, "--format", "markdown").stdout
    ours = {source for method, source in shown(text) if method == "POT"} - {"published"}
    assert ours == {"ours: pot, 2 epochs (lr 0.1)", "ours: pot, 2 epochs (lr 0.01)", "ours: pot, 300 epochs"}
    save(runs, "lsq", 0.88, bits=3)
    joined = shown(run("paper-table", "asq-cifar10", runs, "--format", "markdown").stdout)
    assert [cell[:5] for cell in joined["LSQ\\*", "ours: lsq, 2 epochs"]] == ["92.00", "not m", "88.00", "91.00"]


def test_the_float_row_is_where_training_started(runs: Path) -> None:
    cells = shown(run("paper-table", "asq-ablation", runs, "--format", "markdown").stdout)
    assert cells["float", "ours: where training started"][0].startswith("92.00")


@pytest.mark.parametrize(
    ("change", "belongs"),
    [
        ({}, True),
        ({"weights": "uniform"}, True),
        ({"bwrf": {"temperature": 4.0}}, False),
        ({"activations": "asq"}, False),
        ({"weights": "pot"}, False),
        ({"model": "resnet56"}, False),
        ({"data": "cifar100"}, False),
        ({"images": 5000}, False),
        ({"overrides": {"conv1": {"bits": 8}}}, False),
        ({"budget": "bits=4"}, False),
        ({"accumulator_bits": 12}, False),
        ({"multiplier": ["drum"]}, False),
        ({"quantizers_only": True}, False),
    ],
)
def test_a_run_belongs_to_a_row_by_what_it_was_configured_as(
    tmp_path: Path, change: dict[str, Any], belongs: bool
) -> None:
    save(tmp_path, change.get("weights", "lsq"), 0.9, **{name: v for name, v in change.items() if name != "weights"})
    assert bool(matching(run_groups([tmp_path]), "CIFAR-10", "ResNet-20", "LSQ")) is belongs


def test_a_run_of_other_widths_has_no_cell(tmp_path: Path) -> None:
    save(tmp_path, "lsq", 0.9, act_bits=8)
    assert {row["ours"] for row in rows("paper-table", "asq-cifar10", tmp_path) if row["weight_bits"] == 4} == {None}


def test_names_of_the_matching_are_those_of_the_registries() -> None:
    from hwsim.cli.options import DATA_SETS
    from trainers.models import MODELS as OURS
    from trainers.quantizers import find_method

    assert set(MODELS.values()) <= set(OURS)
    assert {name for name, _ in DATA.values()} <= set(DATA_SETS.split(", "))
    for weights, activations, _ in (method for methods in METHODS.values() for method in methods):
        assert find_method(weights, "weights")
        assert find_method(activations, "activations")


def test_names_of_the_matching_occur_in_the_tables() -> None:
    from reports.published import read_published

    numbers = [number for name in PAPER_TABLES for number in read_published(name)]
    assert set(METHODS) <= {number.method for number in numbers}
    assert set(MODELS) <= {number.model.partition(",")[0] for number in numbers}
    assert set(DATA) == {number.data for number in numbers}


def test_tables_are_listed() -> None:
    found = rows("paper-table")
    assert [row["table"] for row in found] == list(PAPER_TABLES)
    assert next(row["numbers"] for row in found if row["table"] == "asq-overhead") == 8


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    assert "unknown table 'asq-cifar'; did you mean 'asq-cifar10'" in error("paper-table", "asq-cifar")
    assert "html is a format of one table" in error("paper-table", "--format", "html")
    assert "no folder" in error("paper-table", "bwrf", tmp_path / "nowhere")
    bad = tmp_path / "record.json"
    bad.write_text(json.dumps({"schema": 2}))
    assert "is no run record: schema must be 1" in error("paper-table", "bwrf", bad)


def test_the_page_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = import_module("paper_tables")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python benchmarks/paper_tables.py"


def test_links_of_the_page_resolve() -> None:
    page = ROOT / "docs" / "tables.md"
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [link for link in links if not (page.parent / unquote(link)).is_file()] == []


def test_the_published_numbers_need_no_pandas() -> None:
    code = (
        "import sys; sys.modules['pandas'] = sys.modules['scipy'] = None\n"
        "from reports.published import read_published; print(len(read_published('asq-ablation')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == "6\n"

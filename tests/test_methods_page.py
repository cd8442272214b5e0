"""docs/methods.md is what the registry and the results say, and every method's docstring has the structure it needs."""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from trainers import method_facts
from trainers.quantizers import QUANTIZERS, ROLES

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

FLOAT = {"role": "float", "method": "float", "bits": "32", "seed": "0", "test_images": "200", "float_correct": "150"}


@pytest.fixture(scope="module", autouse=True)
def benchmarks_on_path() -> Any:
    """Let the scripts find one another, as when one is run."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(name="page", scope="module")
def page_module(benchmarks_on_path: None) -> Any:
    return import_module("methods_page")


@pytest.fixture(name="study", scope="module")
def study_module(benchmarks_on_path: None) -> Any:
    return import_module("methods_digits")


def result(method: str, bits: int, correct: int, integer: int, agree: int, seed: int = 0) -> dict[str, str]:
    """Return a row of results of a method for weights."""
    numbers = {"bits": bits, "seed": seed, "test_images": 200, "qat_correct": correct, "integer_correct": integer}
    return {
        **{name: str(value) for name, value in {**numbers, "agree": agree, "float_correct": 150}.items()},
        "role": "weights",
        "method": method,
        "error": "",
    }


def test_the_page_is_current(page: Any) -> None:
    fresh = page.page(page.read_results(page.RESULTS))
    assert page.PAGE.read_text(encoding="utf-8") == fresh, "run python benchmarks/methods_digits.py"


@pytest.mark.parametrize("name", QUANTIZERS)
def test_docstrings_have_the_structure_that_the_page_needs(name: str) -> None:
    first, *rest = method_facts.docstring(name)
    assert re.fullmatch(r"[^:]+: .*\.", first), "the first line is 'NAME: summary.'"
    assert sum(text.startswith("Differs:") for text in rest) == 1, "one paragraph says what differs from the paper"
    assert method_facts.source(name).startswith("arXiv:")


def test_every_link_within_the_page_leads_to_a_section(page: Any) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    headings = {line.lstrip("# ").replace(" ", "-").lower() for line in text.splitlines() if line.startswith("#")}
    links = set(re.findall(r"\]\(#([\w-]+)\)", text))
    assert set(QUANTIZERS) <= links
    assert links <= headings
    assert "`trainers.quantizers." not in text


def test_every_method_has_a_row_in_each_of_its_roles(page: Any) -> None:
    rows = [(row["method"], row["quantizes"]) for row in page.overview_rows()]
    assert len(set(rows)) == len(rows)
    wanted = {(name, role) for name, method in QUANTIZERS.items() for role in method.roles}
    assert {(method[1:].partition("]")[0], role) for method, role in rows} == wanted


def test_levels_and_parameters_are_those_of_the_objects(page: Any) -> None:
    post = method_facts.facts_of("post", "weights")
    assert post.level_counts == "3, 7, 15"
    assert post.levels == "-1, -0.7071, -0.5, 0, 0.5, 0.7071, 1"
    assert (post.bits, post.parameters, post.options) == ("2 to 7", "step 16", "exponents, extended")
    asq = method_facts.facts_of("asq", "activations")
    assert asq.parameters == "step 1, adapter 73"  # 16 * 4 + 4 + 4 + 1
    assert asq.levels == "0 .. 7"
    assert method_facts.facts_of("sawb", "weights").bits == "2, 3, 4, 5, 8"
    row = page.overview_row(post)
    assert (row["method"], row["bits"], row["levels at 3 bits"]) == ("[post](#post)", post.bits, post.levels)
    assert row["source"] == "[arXiv:2504.17263](https://arxiv.org/abs/2504.17263)"


def test_accuracies_are_means_over_seeds(page: Any) -> None:
    one = page.accuracies([result("pot", 3, 180, 179, 198)], "weights", "pot")
    assert (one["3 bits"], one["3 bits, integers"], one["2 bits"]) == ("90.0", "89.5", "")
    two = page.accuracies([result("pot", 3, 180, 179, 198), result("pot", 3, 184, 180, 199, 1)], "weights", "pot")
    assert (two["3 bits"], two["3 bits, integers"]) == ("91.0 ± 1.4", "89.8 ± 0.4")


def test_lsq_activations_are_the_run_of_lsq_weights(page: Any) -> None:
    results = [result("lsq", 2, 100, 100, 200), result("ewgs", 2, 120, 120, 200)]
    assert page.accuracies(results, "activations", "lsq")["2 bits"] == "50.0"
    assert page.accuracies(results, "activations", "ewgs")["2 bits"] == ""


def test_results_are_kept_as_they_are_and_reasons_are_shown(page: Any, tmp_path: Path) -> None:
    refused = {"role": "activations", "method": "dsq", "bits": "3", "seed": "0", "error": "no multiplier, so none"}
    page.write_results(tmp_path / "results.csv", [FLOAT, result("pot", 3, 180, 179, 198), refused])
    results = page.read_results(tmp_path / "results.csv")
    text = page.accuracy(results)
    assert "The float network reaches 75.0." in text
    assert "- activations dsq at 3 bits: no multiplier, so none" in text
    assert "Over 1 integer networks, 198 of 200 predictions" in text
    assert "198 of 200 (pot weights, 3 bits)" in text


def test_the_study_has_every_method_at_every_width_once(study: Any) -> None:
    todo = study.items(2, Path("runs"))
    names = [(item["name"], item["seed"]) for item in todo]
    pairs = sum(len(method.roles) for method in QUANTIZERS.values())
    assert len(set(names)) == len(names) == 2 * (3 * (pairs - 1) + 1)
    configs = [study.make_config(item) for item in todo if item["seed"] == 1 and item["role"] != "float"]
    assert {(config.weights, config.activations) for config in configs} == {
        pair for name, method in QUANTIZERS.items() for role in ROLES if role in method.roles
        for pair in [(name, "lsq") if role == "weights" else ("lsq", name)]
    }  # fmt: skip
    assert {config.init for config in configs} == {"digits-digits_resnet-float-s1"}
    assert {config.bits for config in configs} == {2, 3, 4}


def test_a_refused_run_says_why(study: Any, tmp_path: Path) -> None:
    item = {"name": "x", "role": "weights", "method": "sawb", "bits": 6, "seed": 0, "out": str(tmp_path)}
    row = study.run_item(item)
    assert row == {"role": "weights", "method": "sawb", "bits": 6, "seed": 0, "error": row["error"]}
    assert "6" in row["error"]
    assert not list(tmp_path.iterdir())

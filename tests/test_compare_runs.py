"""`hwsim compare-runs`: records into designs, designs into statements; the same in reports and beside gates."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import error, rows, run
from run_records import DESIGNS, record, save

from reports.gates import differences
from reports.records import load_study
from reports.run_groups import run_groups
from reports.tables import TABLES

UNIFORM, POST = "uniform-w4a4", "post-w4a4"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for family, bits in DESIGNS:
        for seed in range(3):
            content = record(family, bits, seed)
            if family == "pot":
                content["accuracy"]["integer"] -= 0.01 * (seed + 1)
            save(tmp_path, content)
    return tmp_path


def rewrite(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def test_designs_are_compared_with_the_first_or_the_named_one(study: Path) -> None:
    """POT less uniform at 4 bits: differences of -1, -2 and -3 points."""
    found = {row["design"]: row for row in rows("compare-runs", study, "--baseline", UNIFORM)}
    assert set(found) == {"float", "uniform-w2a2", "pot-w4a4", POST}
    pot = found["pot-w4a4"]
    assert pot["difference [points]"] == pytest.approx(-2)
    assert pot["low [points]"] == pytest.approx(-2 - 4.3026527 / 3**0.5, abs=1e-6)
    assert (pot["seeds"], pot["unpaired_seeds"], pot["sign_flip_p"], pot["comparisons"]) == (3, 0, 0.25, 4)
    assert found["float"]["difference [points]"] == pytest.approx(100 * (0.97 - 0.97 + 0.975 - 0.98 + 0.98 - 0.975) / 3)
    assert "after Holm's correction for 4 comparisons" in pot["statement"]
    assert {row["against"] for row in rows("compare-runs", study)} == {"float"}


def test_two_folders_are_two_designs_and_the_sentence_stands_below(study: Path) -> None:
    ours, theirs = (sorted(study.glob(f"*{name}*")) for name in (POST, UNIFORM))
    result = run("compare-runs", *theirs, *ours[:2])
    assert result.stdout.startswith("Differences of integer accuracy, paired over seeds\n")
    assert result.stdout.splitlines()[-1] == (
        "post-w4a4 against uniform-w4a4: 2 seeds: +0.00 points in each, no spread to judge by; no difference shown "
        "(sign-flip p = 1)."
    )
    (row,) = rows("compare-runs", *theirs, *ours[:2])
    assert (row["seeds"], row["unpaired_seeds"], row["holm_p"]) == (2, 1, 1)


def test_in_latex_the_sentences_are_broken_into_lines(study: Path) -> None:
    text = run("compare-runs", study, "--format", "latex").stdout
    assert text.splitlines()[1] == r"\begin{tabular}{llrrrrrrrrrp{0.5\linewidth}}"


def test_one_seed_shows_nothing(study: Path) -> None:
    records = [next(study.glob(f"*{name}-s0/record.json")) for name in (UNIFORM, "pot-w4a4")]
    (row,) = rows("compare-runs", *records)
    assert row["statement"] == "1 seed: −1.00 points; one seed shows no difference, whatever its size"  # noqa: RUF001
    assert (row["low [points]"], row["student_p"]) == (None, None)


def test_a_design_is_its_configuration_not_its_name(study: Path, tmp_path: Path) -> None:
    """The same design after more epochs is another one, and is called by what differs."""
    long = tmp_path / "long"
    for seed in range(2):
        content = record("post", 4, seed)
        content["config"] |= {"epochs": 300}
        save(long, content)
    names = [group.name for group in run_groups([study / "digits-digits_resnet-post-w4a4-s0", long])]
    assert names == ["post-w4a4 (epochs None)", "post-w4a4 (epochs 300)"]


def test_a_record_that_is_reached_twice_counts_once(study: Path) -> None:
    folder = next(study.glob("*post-w4a4-s1"))
    (group,) = run_groups([folder, folder / "record.json"])
    assert (list(group.runs), group.final_accuracy) == ([folder / "record.json"], {1: 0.98})


def test_runs_that_cannot_be_compared_are_refused(study: Path, tmp_path: Path) -> None:
    post, uniform = (next(study.glob(f"*{name}-s0/record.json")) for name in (POST, UNIFORM))
    assert error("compare-runs", post) == "a comparison needs two designs, got post-w4a4 alone"
    assert "no folder" in error("compare-runs", tmp_path / "nowhere", post)
    assert "unknown design 'lsq'" in error("compare-runs", post, uniform, "--baseline", "lsq")
    again = save(tmp_path / "again", record("post", 4, 0))
    assert "both hold seed 0 of post-w4a4" in error("compare-runs", post, uniform, again)
    rewrite(post, data_sha256="ab")
    assert "tested on different data: ('digits', 'ab')" in error("compare-runs", uniform, post)
    rewrite(post, data_sha256=None, accuracy={"qat": 0.5})
    assert "no run of post-w4a4 has a measured integer accuracy" in error("compare-runs", uniform, post)
    post.write_text("{")
    assert "is no run record" in error("compare-runs", uniform, post)


def test_a_report_has_the_statements(study: Path) -> None:
    """Against float, and against uniform weights of the same widths; the 2-bit design has only the first."""
    (table,) = TABLES["differences"](load_study(study))
    pairs = [(row["design"], row["against"]) for row in table.rows]
    floats = [("uniform-w2a2", "float"), (UNIFORM, "float"), ("pot-w4a4", "float"), (POST, "float")]
    assert pairs == [*floats, ("pot-w4a4", UNIFORM), (POST, UNIFORM)]
    assert table.rows[4]["difference"] == pytest.approx(-2)
    assert [row["what the runs show"] for row in table.shown] == [row["statement"] for row in table.rows]


def test_a_run_is_compared_with_the_float_network_that_it_started_from(study: Path) -> None:
    """The float runs of this study reach 97, 97.5 and 98 %; that of the first POST run was another, of 50 %."""
    path = next(study.glob("*post-w4a4-s0/record.json"))
    content = json.loads(path.read_text())
    rewrite(path, accuracy={**content["accuracy"], "float": 0.5})
    (table,) = TABLES["differences"](load_study(study))
    assert table.rows[3]["difference"] == pytest.approx(100 * (0.97 - 0.5 + 0.98 - 0.975 + 0.975 - 0.98) / 3)


def test_gates_stand_beside_the_same_statements(study: Path) -> None:
    assert differences(load_study(study), [3]) == []
    result = run("rtl", "compare", "--bits", 4, "--unit", "pe", "--study", study, "--format", "csv")
    assert result.exit_code == 0
    first, second = result.stderr.splitlines()
    assert first.startswith("pot-w4a4 against uniform-w4a4: 3 seeds: no difference shown, −2.00 points (95 %")  # noqa: RUF001
    assert second.startswith("post-w4a4 against uniform-w4a4: 3 seeds: +0.00 points in each")

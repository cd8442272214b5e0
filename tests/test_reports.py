"""From run records to tables: nothing lost, nothing invented, bad records refused by name."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from run_records import DESIGNS, record, save

from hwsim.output import Row
from reports.designs import designs, ordered, spread
from reports.figures import FIGURES
from reports.records import load_study
from reports.report import report_files, write_report, write_table
from reports.tables import TABLES
from reports.tables.designs import compact, with_deviation
from reports.tables.table import plain

NAN = float("nan")
LAYERED = ("post-w4a4", "pot-w4a4", "uniform-w2a2", "uniform-w4a4")

Damage = Callable[[dict[str, Any]], object]


def counted(right: Any, images: int) -> Damage:
    return lambda record: record.update(counts={"integer_correct": right, "test_images": images})


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for family, bits in reversed(DESIGNS):
        for seed in range(3):
            save(tmp_path, record(family, bits, seed))
    return tmp_path


def table(folder: Path, name: str) -> tuple[list[Row], list[Row]]:
    first = TABLES[name](load_study(folder))[0]
    return list(first.rows), list(first.shown)


def test_one_row_per_run_and_missing_stays_missing(study: Path) -> None:
    runs = load_study(study).runs
    assert len(runs) == 15
    row = runs.set_index("run_id").loc["digits-digits_resnet-float-s1"]
    assert (row["design"], row["weights"], row["seed"], row["accuracy_float"]) == ("float", "float", 1, 0.975)
    assert row[["bits", "act_bits", "accuracy_qat", "accuracy_integer", "agreement"]].isna().all()


def test_cost_rows_are_tidy_and_carry_their_run(study: Path) -> None:
    cost = load_study(study).cost
    assert set(cost["run_id"]) == {r for r in load_study(study).runs["run_id"] if "float" not in r}
    assert list(cost.columns[-7:]) == ["layer", "part", "quantity", "value", "unit", "convention", "source"]


def test_spread_is_exact_and_leaves_missing_values_out() -> None:
    rows = pd.DataFrame({"g": ["a", "a", "a", "b", "c"], "x": [1.0, 3.0, NAN, 5.0, NAN]})
    result = spread(rows, ["g"], ["x"]).astype(object).where(lambda frame: frame.notna(), None)
    assert result.to_dict("list") == {
        "g": ["a", "b", "c"],
        "seeds": [3, 1, 1],
        "x_mean": [2.0, 5.0, None],
        "x_sd": [2.0**0.5, None, None],
        "x_n": [2, 1, 0],
    }


def test_designs_are_ordered_and_averaged(study: Path) -> None:
    rows = designs(load_study(study)).set_index("design")
    assert list(rows.index) == ["float", "uniform-w2a2", "uniform-w4a4", "pot-w4a4", "post-w4a4"]
    assert rows.loc["uniform-w2a2", "accuracy_integer_mean"] == pytest.approx(0.92, abs=1e-15)
    assert rows.loc["uniform-w2a2", "accuracy_integer_sd"] == pytest.approx(0.02, abs=1e-15)
    assert rows.loc["post-w4a4", "table_reads_mean"] == 60
    assert rows.loc["post-w4a4", "table_reads_sd"] == 10
    assert [plain(v) for v in rows.loc["float", ["accuracy_integer_n", "parameters", "bops"]]] == [0, None, None]


def test_families_not_known_come_last_by_name() -> None:
    names = ["zeta", "post", "apot", "float", "pot", "uniform"]
    rows = pd.DataFrame({"weights": names, "bits": 4, "act_bits": 4, "design": names}).assign(
        study="s", data="d", model="m"
    )
    assert list(ordered(rows)["weights"]) == ["float", "uniform", "pot", "post", "apot", "zeta"]


def test_runs_that_are_not_one_design_are_refused(study: Path) -> None:
    path = study / "digits-digits_resnet-pot-w4a4-s1" / "record.json"
    content = json.loads(path.read_text())
    content["cost"][0]["value"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="the runs of pot-w4a4 differ in parameters: they are not one design"):
        designs(load_study(study))


def test_the_designs_table_for_programs_and_for_people(study: Path) -> None:
    rows, shown = table(study, "designs")
    assert rows[1]["accuracy_integer_mean"] == pytest.approx(92.0, abs=1e-12)
    assert [rows[4][name] for name in ("parameters", "bits", "seeds", "shifts_n")] == [120, 4, 3, 3]
    assert rows[0]["parameters"] is None
    assert shown[1]["integer [%]"] == "92.00 ± 2.00"
    assert shown[0] == {"design": "float", "float [%]": "97.50 ± 0.50", **dict.fromkeys(list(shown[0])[2:])}
    assert shown[4]["BOPs"] == "104k"
    assert shown[4]["table reads"] == "60"


def test_what_all_designs_share_is_told_once_and_what_differs_has_a_column(study: Path) -> None:
    common = "Designs (mean ± sample standard deviation over seeds), data digits, model digits_resnet"
    assert TABLES["designs"](load_study(study))[0].title == f"{common}, 3 seeds"
    (study / "digits-digits_resnet-float-s2" / "record.json").unlink()
    table = TABLES["designs"](load_study(study))[0]
    assert table.title == common
    assert [row["seeds"] for row in table.shown] == [2, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (59.7, "60"),
        (9999, "9999"),
        (10_000, "10.0k"),
        (999_999, "1.00M"),
        (1_814_073_344, "1.81G"),
        (NAN, None),
    ],
)
def test_counts_are_shortened_from_five_digits_on(count: float, text: str | None) -> None:
    assert compact(count) == text


def test_the_seeds_table_has_every_run(study: Path) -> None:
    rows, shown = table(study, "seeds")
    assert len(rows) == len(shown) == 15
    assert rows[0]["run_id"] == "digits-digits_resnet-float-s0"
    assert rows[-1]["accuracy_integer"] == pytest.approx(97.5)
    assert rows[-1]["table_reads"] == 70


def test_a_layers_table_per_design(study: Path) -> None:
    tables = TABLES["layers"](load_study(study))
    assert {t.name for t in tables} == {f"layers-{d}" for d in load_study(study).runs["design"] if d != "float"}
    post = next(t for t in tables if t.name == "layers-post-w4a4")
    assert [(row["layer"], row["parameters"]) for row in post.rows] == [("conv1", 100), ("fc", 20)]
    assert post.rows[0] == {
        "layer": "conv1",
        "parameters": 100,
        "storage_bits": 400,
        "macs": 6400,
        "bops": 102400,
        "table_read": 60,
    }


def test_an_accuracy_may_be_that_of_its_counts(study: Path) -> None:
    path = study / "digits-digits_resnet-pot-w4a4-s0" / "record.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"counts": {"integer_correct": 97, "test_images": 100, "agree": 3}}))
    assert len(load_study(study).runs) == 15


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda r: r.update(schema=2), "schema must be 1, got 2"),
        (lambda r: r.pop("run_id"), "run_id must be of type str, got None"),
        (lambda r: r.update(seed=True), "seed must be of type int, got True"),
        (lambda r: r.update(seed=7), "run_id must be <data>-<model>-<design>-s<seed> of its config"),
        (lambda r: r.update(run_id="digits-digits_resnet-../x-s0"), "run_id must be <data>-<model>-<design>-s<seed>"),
        (lambda r: r["config"].pop("bits"), "config bits must be of type int, got None"),
        (lambda r: r["config"].update(bits=10**30), r"config bits must be an integer in 1\.\.64, got 10{30}"),
        (lambda r: r["config"].update(bits=0), r"config bits must be an integer in 1\.\.64, got 0"),
        (lambda r: r["config"].update(act_bits=True), r"config act_bits must be an integer in 1\.\.64, got True"),
        (lambda r: r.update(counts={"test_images": 0}), "counts test_images must be an integer of at least 1, got 0"),
        (lambda r: r.update(counts={"agree": -1}), "counts agree must be an integer of at least 0, got -1"),
        (lambda r: r.update(counts={"agree": 4.5}), r"counts agree must be an integer of at least 0, got 4\.5"),
        (lambda r: r["config"].update(weights=4), "config weights must be of type str, got 4"),
        (lambda r: r["accuracy"].update(qat=97.5), r"accuracy qat must be in 0\.\.1, got 97\.5"),
        (lambda r: r["accuracy"].update(qat=NAN), r"accuracy qat must be in 0\.\.1, got nan"),
        (lambda r: r["accuracy"].update(qat="high"), r"accuracy qat must be in 0\.\.1, got 'high'"),
        (counted(right=90, images=100), r"accuracy integer must be integer_correct / test_images of counts, 90/100"),
        (counted(right=101, images=100), r"counts integer_correct must be in 0\.\.test_images, got 101 of 100"),
        (counted(right="97", images=100), r"counts integer_correct must be in 0\.\.test_images, got '97' of 100"),
        (counted(right=0, images=0), r"counts integer_correct must be in 0\.\.test_images, got 0 of 0"),
        (lambda r: r.update(cost={}), "cost must be a list of rows, got dict"),
        (lambda r: r["cost"][1].pop("unit"), "cost row 1 must have the fields layer, part, quantity, value, unit"),
        (lambda r: r.update(volatile=3), "volatile must be of type dict, got 3"),
        (lambda r: r.update(export={"layers": 3}), "the layers of export must be a list, got int"),
        (lambda r: r.update(export={"layers": [{}]}), "layer 0 of export must have a name"),
        (lambda r: r.update(export={"layers": [{"layer": "a"}]}), "law_holds of layer 'a' of export must be a number"),
        (lambda r: r["cost"][1].update(value="1"), "the value of cost row 1 must be a number, got '1'"),
    ],
)
def test_a_damaged_record_is_refused_by_name(study: Path, damage: Damage, problem: str) -> None:
    path = study / "digits-digits_resnet-pot-w4a4-s0" / "record.json"
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"pot-w4a4-s0/record.json is no run record: {problem}"):
        load_study(study)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\udcff"])
def test_a_file_that_is_no_record_is_refused_by_name(study: Path, text: str) -> None:
    path = study / "digits-digits_resnet-float-s0" / "record.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"float-s0/record\.json is no run record"):
        load_study(study)


def test_a_run_that_stands_there_twice_is_refused(study: Path) -> None:
    save(study / "copy", record("pot", 4, 0))
    with pytest.raises(ValueError, match=r"record\.json holds run 'digits-digits_resnet-pot-w4a4-s0' of .* again"):
        load_study(study)


def test_seeds_with_another_configuration_are_not_averaged(study: Path) -> None:
    path = study / "digits-digits_resnet-pot-w4a4-s1" / "record.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "config": {**content["config"], "init": "elsewhere"}}))
    load_study(study)
    path.write_text(json.dumps({**content, "config": {**content["config"], "epochs": 60}}))
    with pytest.raises(ValueError, match=r"pot-w4a4-s1/record\.json .* differ in epochs: 60 and None"):
        load_study(study)


def test_records_of_several_folders_are_one_study(tmp_path: Path) -> None:
    for seed, folder in enumerate(("a", "b", "b")):
        save(tmp_path / folder, record("pot", 4, seed))
    whole, parts = load_study(tmp_path), load_study(tmp_path / "a", tmp_path / "b", tmp_path)
    assert len(parts.runs) == 3
    pd.testing.assert_frame_equal(whole.runs, parts.runs)
    assert list(whole.records) == [Path(path) for path in whole.runs["path"]]


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run records"):
        load_study(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_study(tmp_path / "absent")
    save(tmp_path / "runs", record("pot", 4, 0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no run records .* below .*empty"):
        load_study(tmp_path / "runs", tmp_path / "empty")


def test_numbers_in_tables_are_plain() -> None:
    assert [plain(pd.NA), plain(NAN), plain(None), plain(3.0), plain(0.5), plain("x")] == [
        None,
        None,
        None,
        3,
        0.5,
        "x",
    ]
    assert with_deviation(NAN, NAN) is None
    assert with_deviation(97.531, 0.0) == "97.53 ± 0.00"


def test_a_report_is_written_whole_with_equal_tables_each_time(study: Path) -> None:
    written = write_report(load_study(study), study / "report")
    assert [path.relative_to(study / "report").as_posix() for path in written] == [
        *(f"tables/{n}{e}" for n in ("designs", "seeds", "differences") for e in (".csv", ".md")),
        *(
            f"tables/layers-{d}{e}"
            for d in ("post-w4a4", "pot-w4a4", "uniform-w2a2", "uniform-w4a4")
            for e in (".csv", ".md")
        ),
        *(
            f"figures/{name}{ending}"
            for name in ("accuracy-bops", "accuracy-storage", "levels", "table-error", "gates")
            for ending in (".png", ".pdf", ".csv")
        ),
        *(f"designs/{design}.html" for design in ("post-w4a4", "pot-w4a4", "uniform-w4a4", "uniform-w2a2", "float")),
        "index.html",
    ]
    assert sorted(written) == sorted(path for path in (study / "report").rglob("*") if path.is_file())
    for table in TABLES["designs"](load_study(study)):
        again = write_table(table, study / "again")
        assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written[:2]]


def test_a_report_of_networks_has_the_figures_of_their_costs_and_links_to_every_file(
    tiny_study: Path, tmp_path: Path
) -> None:
    study, out = load_study(tiny_study), tmp_path / "a report"
    assert [path for path in report_files(study, out) if path.exists()] == []
    written = write_report(study, out)
    assert written == report_files(study, out)
    names = {path.stem for path in written if path.suffix == ".pdf"}
    assert names == {*FIGURES, "accuracy-energy", "accuracy-area", "accuracy-cycles"}
    links = re.findall(r'href="((?:figures|tables)/[^"]+)"', (out / "index.html").read_text())
    files = [path.relative_to(out).as_posix() for path in written]
    assert links == [name for name in files if name.startswith(("figures/", "tables/"))]


def test_a_damaged_record_leaves_the_report_as_it_was(study: Path) -> None:
    (study / "digits-digits_resnet-float-s0" / "record.json").write_text("{}")
    with pytest.raises(ValueError, match=r"float-s0/record\.json is no run record: schema must be 1, got None"):
        write_report(load_study(study), study / "report")
    assert not (study / "report").exists()


def test_a_study_without_a_quantized_design_says_so_and_writes_nothing(tmp_path: Path) -> None:
    save(tmp_path, record("float", 0, 0))
    with pytest.raises(ValueError, match="no design has both an integer accuracy and bops"):
        write_report(load_study(tmp_path), tmp_path / "report")
    assert not (tmp_path / "report").exists()

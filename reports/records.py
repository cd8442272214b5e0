"""Run records: found, checked and read into tidy tables."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

SCHEMA = 1
RECORD_NAME = "record.json"
FIELDS: dict[str, type] = {"run_id": str, "study": str, "config": dict, "seed": int, "accuracy": dict}
OPTIONAL: dict[str, type] = {"counts": dict, "versions": dict, "volatile": dict, "export": dict}
EXPORT_FIELDS = (
    "law_holds",
    "codes",
    "codes_differing",
    "accumulator_overflows",
    "datapath_overflows",
    "required_bits",
    "accumulator_bits",
)
COST_FIELDS = ("layer", "part", "quantity", "value", "unit", "convention", "source")
FLOAT_DESIGN = "float"
ROUNDING = 1e-9  #: Accuracies may differ from the quotient of their counts by that much.
MAX_BITS = 64  #: Of a weight or an activation.

#: What seeds of one design may have different: the rest of their configuration is what the design is.
MAY_DIFFER = {"seed", "init", "data_dir", "threads", "checkpoint_seconds"}

Record = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Study:
    """The run records below a folder: what every table and figure is made from, so none of them changes it.

    Two studies are never equal, which lets what several tables need be computed once per study.

    Attributes:
        folder: where the records were found, the first of several.
        records: the checked records by their files, in the order of `runs`.
        runs: one row per run, by study and run id: study, run_id, data, model, design, weights, bits, act_bits (missing
            for a float design), seed, then accuracy_float, accuracy_qat, accuracy_integer and agreement as shares in
            0..1 (missing: not measured), path.
        cost: one row per run and cost row: study, run_id, design, seed and the columns of a cost table.
    """

    folder: Path
    records: Mapping[Path, Record]
    runs: pd.DataFrame
    cost: pd.DataFrame


def load_study(folder: str | Path, *more: str | Path) -> Study:
    """Return all run records below the folder, or below several.

    A file that lies below two of the folders is read once.

    Raises:
        FileNotFoundError: there is no such folder, or no record in it.
        ValueError: a record is damaged, of another schema or not ours, stands there twice, or is of another
            configuration than the other seeds of its design; the file is named.
    """
    records = _read_all([Path(folder), *map(Path, more)])
    return Study(Path(folder), records, _runs(records), _cost(records))


def read_curves(study: Study) -> pd.DataFrame:
    """Return what the runs' epochs measured: design, seed, and a column per quantity, missing where not measured.

    Raises:
        ValueError: a record is damaged; the file is named.
    """
    runs = zip(study.runs["design"], study.runs["seed"], study.runs["path"], strict=True)
    rows = [
        {"design": design, "seed": seed, **epoch}
        for design, seed, path in runs
        for epoch in read_record(Path(path)).get("curves", [])
    ]
    return pd.DataFrame(rows, columns=None if rows else ["design", "seed"])


def read_record(path: Path) -> Record:
    """Return one record after checking it.

    Raises:
        ValueError: the file is no run record of this schema; it is named with the first rule that it breaks.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no run record: {error}") from error
    problem = _problem(record)
    if problem:
        raise ValueError(f"{path} is no run record: {problem}")
    return dict(record)


def design_of(record: Record) -> str:
    """Return the design's name: what stands between model and seed in the run id, such as "post-w4a4"."""
    config = record["config"]
    prefix, suffix = f"{config['data']}-{config['model']}-", f"-s{record['seed']}"
    return str(record["run_id"]).removeprefix(prefix).removesuffix(suffix)


def _problem(record: Any) -> str | None:
    """Say which rule of the schema the value breaks, None if it breaks none."""
    if not isinstance(record, dict):
        return f"it must hold an object, got {type(record).__name__}"
    if record.get("schema") != SCHEMA:
        return f"schema must be {SCHEMA}, got {record.get('schema')!r}"
    for name, kind in FIELDS.items():
        if not isinstance(record.get(name), kind) or isinstance(record[name], bool):
            return f"{name} must be of type {kind.__name__}, got {record.get(name)!r}"
    for name, kind in OPTIONAL.items():
        if name in record and not isinstance(record[name], kind):
            return f"{name} must be of type {kind.__name__}, got {record[name]!r}"
    return (
        _config_problem(record)
        or _accuracy_problem(record["accuracy"])
        or _counts_problem(record["accuracy"], record.get("counts", {}))
        or _integers_problem(record.get("counts", {}))
        or _cost_problem(record.get("cost", []))
        or _export_problem(record.get("export", {}).get("layers", []))
    )


def _config_problem(record: Record) -> str | None:
    config = record["config"]
    names = [re.escape(str(config.get(name))) for name in ("data", "model")]
    pattern = rf"{names[0]}-{names[1]}-[\w.+-]+-s{record['seed']}"
    if not re.fullmatch(pattern, record["run_id"]):
        return f"run_id must be <data>-<model>-<design>-s<seed> of its config, got {record['run_id']!r}"
    if design_of(record) == FLOAT_DESIGN:
        return None
    for name, kind in {"weights": str, "bits": int, "act_bits": int}.items():
        if not isinstance(config.get(name), kind):
            return f"config {name} must be of type {kind.__name__}, got {config.get(name)!r}"
    for name in ("bits", "act_bits"):
        if config[name] is True or not 1 <= config[name] <= MAX_BITS:
            return f"config {name} must be an integer in 1..{MAX_BITS}, got {config[name]!r}"
    return None


def _accuracy_problem(accuracy: Mapping[str, Any]) -> str | None:
    for name, value in accuracy.items():
        if not _is_number(value) or not 0 <= value <= 1:
            return f"accuracy {name} must be in 0..1, got {value!r}"
    return None


def _counts_problem(accuracy: Mapping[str, Any], counts: Mapping[str, Any]) -> str | None:
    """Say which accuracy is not the share of right answers that the record counts."""
    images = counts.get("test_images")
    for name, value in accuracy.items():
        right = counts.get(f"{name}_correct")
        if right is None or images is None:
            continue
        if not (_is_number(right) and _is_number(images) and 0 <= right <= images > 0):
            return f"counts {name}_correct must be in 0..test_images, got {right!r} of {images!r}"
        if abs(value - right / images) > ROUNDING:
            return f"accuracy {name} must be {name}_correct / test_images of counts, {right}/{images}, got {value!r}"
    return None


def _integers_problem(counts: Mapping[str, Any]) -> str | None:
    for name, value in counts.items():
        low = 1 if name == "test_images" else 0
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            return f"counts {name} must be an integer of at least {low}, got {value!r}"
    return None


def _cost_problem(rows: Any) -> str | None:
    if not isinstance(rows, list):
        return f"cost must be a list of rows, got {type(rows).__name__}"
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != set(COST_FIELDS):
            return f"cost row {i} must have the fields {', '.join(COST_FIELDS)}, got {row!r}"
        if not _is_number(row["value"]):
            return f"the value of cost row {i} must be a number, got {row['value']!r}"
    return None


def _export_problem(layers: Any) -> str | None:
    if not isinstance(layers, list):
        return f"the layers of export must be a list, got {type(layers).__name__}"
    for i, layer in enumerate(layers):
        if not isinstance(layer, dict) or not isinstance(layer.get("layer"), str):
            return f"layer {i} of export must have a name, got {layer!r}"
        for name in EXPORT_FIELDS:
            if not isinstance(layer.get(name), int | float):
                return f"{name} of layer {layer['layer']!r} of export must be a number, got {layer.get(name)!r}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def record_files(folders: Iterable[Path]) -> list[Path]:
    """Return the files of records below the folders, each once.

    Raises:
        FileNotFoundError: there is no such folder, or no record below it; it is named.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}")
        files = sorted(folder.rglob(RECORD_NAME))
        if not files:
            raise FileNotFoundError(
                f"no run records ({RECORD_NAME}) below {folder}; hwsim train and hwsim demo write them"
            )
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _read_all(folders: Iterable[Path]) -> dict[Path, Record]:
    records = {path: read_record(path) for path in record_files(folders)}
    _refuse_doubles(records)
    _refuse_mixtures(records)
    return dict(sorted(records.items(), key=lambda item: (item[1]["study"], item[1]["run_id"])))


def _refuse_doubles(records: Mapping[Path, Record]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for path, record in records.items():
        first = seen.setdefault((record["study"], record["run_id"]), path)
        if first != path:
            raise ValueError(f"{path} holds run {record['run_id']!r} of {first} again")


def _refuse_mixtures(records: Mapping[Path, Record]) -> None:
    """Refuse two seeds of one design whose configurations differ in more than the seed: they have no common mean."""
    seen: dict[tuple[str, str], Path] = {}
    for path, record in records.items():
        first = seen.setdefault((record["study"], record["run_id"].rpartition("-s")[0]), path)
        ours, theirs = record["config"], records[first]["config"]
        for name in sorted({*ours, *theirs} - MAY_DIFFER):
            if ours.get(name) != theirs.get(name):
                values = f"{name}: {ours.get(name)!r} and {theirs.get(name)!r}"
                raise ValueError(f"{path} and {first} are seeds of one design, but differ in {values}")


def _runs(records: Mapping[Path, Record]) -> pd.DataFrame:
    runs = pd.DataFrame([_run(path, record) for path, record in records.items()])
    return runs.astype({"bits": "Int64", "act_bits": "Int64"})


def _run(path: Path, record: Record) -> dict[str, Any]:
    config, accuracy = record["config"], record["accuracy"]
    is_float = design_of(record) == FLOAT_DESIGN
    return {
        **_identity(record),
        "weights": FLOAT_DESIGN if is_float else config["weights"],
        "bits": None if is_float else config["bits"],
        "act_bits": None if is_float else config["act_bits"],
        **{f"accuracy_{name}": accuracy.get(name) for name in ("float", "qat", "integer")},
        "agreement": accuracy.get("agreement"),
        "path": path.as_posix(),
    }


def _identity(record: Record) -> dict[str, Any]:
    config = record["config"]
    named = {"study": record["study"], "run_id": record["run_id"], "data": config["data"], "model": config["model"]}
    return {**named, "design": design_of(record), "seed": record["seed"]}


def _cost(records: Mapping[Path, Record]) -> pd.DataFrame:
    rows = [{**_identity(record), **row} for record in records.values() for row in record.get("cost", [])]
    identity = _identity(next(iter(records.values())))
    return pd.DataFrame(rows, columns=[*identity, *COST_FIELDS])

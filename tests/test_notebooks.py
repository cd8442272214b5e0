"""The notebooks: they run, what they show is current, and their files hold nothing of the machine that ran them."""

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
CellExecutionError = pytest.importorskip("nbclient.exceptions").CellExecutionError
execute = pytest.importorskip("execute")

FILES = execute.notebook_files()
QUICK = {"01_overhead", "02_arithmetic"}  #: These train nothing.
MAX_BYTES = 300_000
MACHINE = re.compile(r"/(home|root|tmp|usr|work)/|site-packages|\d+(\.\d+)? ?(ms|s/it|it/s)\b|\x1b")

each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def cell(*outputs: tuple[str, str], tags: tuple[str, ...] = ()) -> Any:
    """Return a code cell that shows texts of these kinds."""
    made = nbformat.v4.new_code_cell(metadata={"tags": list(tags)} if tags else {})
    for kind, text in outputs:
        stream = {"name": kind, "text": text}
        made.outputs.append(
            nbformat.v4.new_output("stream", **stream)
            if kind in ("stdout", "stderr")
            else nbformat.v4.new_output("display_data", {kind: text})
        )
    return made


def changes(old: Any, new: Any) -> list[str]:
    found: list[str] = execute.differences(nbformat.v4.new_notebook(cells=[old]), nbformat.v4.new_notebook(cells=[new]))
    return found


def test_all_notebooks_are_found() -> None:
    assert [path.stem[:2] for path in FILES] == [f"{place:02}" for place in range(1, len(FILES) + 1)]
    assert {path.stem for path in FILES} > QUICK


@pytest.mark.parametrize(
    "path", [pytest.param(f, id=f.stem, marks=() if f.stem in QUICK else pytest.mark.slow) for f in FILES]
)
def test_outputs_are_current(path: Path) -> None:
    committed = execute.read(path)
    assert execute.differences(committed, execute.executed(committed)) == []


@each
def test_a_file_holds_nothing_of_the_machine(path: Path) -> None:
    notebook = execute.read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < MAX_BYTES
    assert notebook.metadata == execute.METADATA
    for place, one in enumerate(notebook.cells, start=1):
        assert set(one.metadata) <= {"tags"}, f"cell {place}"
        assert set(one.metadata.get("tags", ())) <= set(execute.POINTS), f"cell {place}"
        texts = [one.source, *(text for _, text in (execute.shown(one) if one.cell_type == "code" else []))]
        assert not [text for text in texts if MACHINE.search(text)], f"cell {place}"


@each
def test_every_cell_ran_in_order_and_complained_about_nothing(path: Path) -> None:
    cells = [one for one in execute.read(path).cells if one.cell_type == "code"]
    assert [one.execution_count for one in cells] == list(range(1, len(cells) + 1))
    assert not {kind for one in cells for kind, _ in execute.shown(one)} & {"stderr", "error"}


@each
def test_what_a_notebook_imports_exists(path: Path) -> None:
    cells = [one.source for one in execute.read(path).cells if one.cell_type == "code"]
    code = "\n".join(line for source in cells for line in source.splitlines() if not line.startswith("%"))
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    names = [(str(node.module), alias.name) for node in found for alias in node.names]
    assert len(names) > 5
    assert [name for name in names if not hasattr(importlib.import_module(name[0]), name[1])] == []


@each
def test_a_notebook_begins_with_its_title_and_is_listed(path: Path) -> None:
    first = execute.read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert f"({path.name})" in (path.parent / "README.md").read_text()


@pytest.mark.parametrize("kind", ["stdout", "text/markdown"])
def test_a_change_of_text_is_seen(kind: str) -> None:
    assert changes(cell((kind, "97.1 %")), cell((kind, "97.1 %"))) == []
    (line,) = changes(cell((kind, "97.1 %")), cell((kind, "97.2 %")))
    assert line.startswith("cell 1 shows")
    assert changes(cell((kind, "a")), cell()) != []
    assert changes(cell((kind, "a")), cell(("stderr", "a"))) != []


def test_a_picture_only_has_to_be_there() -> None:
    assert changes(cell(("image/png", "AAAA")), cell(("image/png", "BBBB"))) == []
    assert changes(cell(("image/png", "AAAA")), cell()) != []
    sized = cell(("image/png", "AAAA"))
    sized.outputs[0].data["text/plain"] = "<Figure size 10x10>"
    assert changes(sized, cell(("image/png", "AAAA"))) == []


@pytest.mark.parametrize(
    ("fresh", "is_current"),
    [
        ("uniform 97.1 of 451", True),
        ("uniform 92.2 of 451", True),
        ("uniform 92.0 of 451", False),
        ("uniform  101.9 of 451", True),
        ("uniform 97.1 of 456", True),
        ("uniform 97.1 of 457", False),
        ("uniform -97.1 of 451", False),
        ("pot 97.1 of 451", False),
        ("uniform 97.1 of", False),
    ],
)
def test_numbers_of_a_training_may_differ_a_little(fresh: str, is_current: bool) -> None:
    old, new = (cell(("stdout", text), tags=("trained",)) for text in ("uniform 97.1 of 451", fresh))
    assert (changes(old, new) == []) is is_current


def test_a_fragile_network_may_differ_more() -> None:
    old, near, far = (cell(("stdout", text), tags=("fragile",)) for text in ("13 %", "28 %", "29 %"))
    assert changes(old, near) == []
    assert changes(old, far) != []


def test_a_cell_that_fails_is_an_error() -> None:
    failing = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute.executed(failing)

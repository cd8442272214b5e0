"""Run the notebooks and keep what they show: `python notebooks/execute.py` writes their outputs anew, in place.

`python notebooks/execute.py arithmetic.ipynb ...` runs some of them, `--check` compares instead of writing. What a cell
shows must not depend on the machine: a progress bar, a time or a path has no place there. What a training ends with
does depend on the processor: numbers of cells with a tag in `POINTS` are compared with a tolerance.
"""

import argparse
import copy
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

from hwsim.files import atomic_write

FOLDER = Path(__file__).parent
#: Tag of a cell -> by how much its numbers may differ: percentages of a trained network, and of one on hardware that it
#: was not trained for, where slightly other weights make more of a difference.
POINTS = {"trained": 5.0, "fragile": 15.0}
SECONDS = 600  #: Longest time that a cell may take.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")
PICTURE = "image/png"


def notebook_files() -> list[Path]:
    """Return the notebooks, by name."""
    return sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    """Return a notebook as it is in its file."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def executed(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook as a new kernel makes it, without anything that says when and where it ran.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    fresh = copy.deepcopy(notebook)
    kernel = Config({"KernelManager": {"transport": "ipc"}})  # no ports
    NotebookClient(fresh, timeout=SECONDS, record_timing=False, coalesce_streams=True, config=kernel).execute()
    fresh.metadata = nbformat.from_dict(METADATA)
    return fresh


def differences(committed: NotebookNode, fresh: NotebookNode) -> list[str]:
    """Return a line for each cell that shows something else than it did, naming the cell by its place."""
    pairs = zip(committed.cells, fresh.cells, strict=True)
    return [
        f"cell {place} shows {shown(new)}, committed is {shown(old)}"
        for place, (old, new) in enumerate(pairs, start=1)
        if old.cell_type == "code" and not is_same(shown(old), shown(new), points(old))
    ]


def shown(cell: NotebookNode) -> list[tuple[str, str]]:
    """Return what a cell shows as (kind, text): of a picture only that there is one, not its size."""
    return list(_shown(cell))


def _shown(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.name, output.text
        elif output.output_type == "error":
            yield "error", f"{output.ename}: {output.evalue}"
        elif PICTURE in output.data:
            yield PICTURE, ""
        else:
            yield from sorted(output.data.items())


def points(cell: NotebookNode) -> float:
    """Return by how much the numbers of a cell may differ."""
    return max((POINTS[tag] for tag in cell.metadata.get("tags", ())), default=0.0)


def is_same(committed: list[tuple[str, str]], fresh: list[tuple[str, str]], tolerance: float) -> bool:
    """Return whether two outputs say the same: to the letter without a tolerance, else with numbers within it."""
    if not tolerance:
        return committed == fresh
    kinds = [[kind for kind, _ in outputs] for outputs in (committed, fresh)]
    return kinds[0] == kinds[1] and all(
        _is_close(old, new, tolerance) for (_, old), (_, new) in zip(committed, fresh, strict=True)
    )


def _is_close(committed: str, fresh: str, tolerance: float) -> bool:
    """Return whether two texts have the same words and close numbers; spaces and rules of tables follow numbers."""
    words = [re.sub(r"[\s-]+", " ", NUMBER.sub("#", text)) for text in (committed, fresh)]
    old, new = ([float(number) for number in NUMBER.findall(text)] for text in (committed, fresh))
    return words[0] == words[1] and all(abs(a - b) <= tolerance for a, b in zip(old, new, strict=True))


def main() -> int:
    """Run the notebooks, write or compare them, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="notebooks to run (default: all)")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    options = parser.parse_args()
    failures = 0
    for path in options.files or notebook_files():
        committed = read(path)
        fresh = executed(committed)
        changes = differences(committed, fresh)
        failures += len(changes)
        print(f"{path.name}: {len(changes)} cells show something else", *changes, sep="\n  ", file=sys.stderr)
        if not options.check:
            with atomic_write(path) as temporary:
                nbformat.write(fresh, temporary)
    return int(options.check and failures > 0)


if __name__ == "__main__":
    sys.exit(main())

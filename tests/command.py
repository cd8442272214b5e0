"""The command line run inside the tests' process."""

import csv
import io
import json
import re
from typing import Any

from typer.testing import CliRunner, Result

from hwsim.cli import app


def run(*arguments: object) -> Result:
    """Return what the command wrote and its exit code."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(*arguments: object) -> list[dict[str, Any]]:
    """Return the rows that the command prints as JSON; it must succeed."""
    result = run(*arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    parsed: list[dict[str, Any]] = json.loads(result.stdout)
    return parsed


def error(*arguments: object) -> str:
    """Return the one line that the command leaves on stderr when it fails as users may make it fail."""
    result = run(*arguments)
    assert result.exit_code == 2, (result.exit_code, result.exception, result.stderr)
    assert result.stdout == ""
    line, *more = result.stderr.splitlines()
    assert not more, result.stderr
    assert line.startswith("hwsim: error: ")
    return line.removeprefix("hwsim: error: ")


def read_csv(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV table."""
    return list(csv.DictReader(io.StringIO(text)))


def read_markdown(text: str) -> list[list[str]]:
    """Return the cells of a Markdown table, headers first."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert all(re.fullmatch(r"---:?", cell) for cell in cells[1])
    return [cells[0], *cells[2:]]


def read_latex(text: str) -> list[list[str]]:
    """Return the cells of a booktabs table, headers first."""
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    return [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if line.endswith(r" \\")]

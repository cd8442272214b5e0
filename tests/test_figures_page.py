"""The page on figures names every figure of the registries, with a command that draws it."""

import re

from doc_snippets import ROOT, commands, snippets

import reports.figures

PAGE = ROOT / "docs" / "figures.md"
REGISTRIES = [name for name in reports.figures.__all__ if name.endswith("FIGURES")]
NAMES = sorted(name for registry in REGISTRIES for name in getattr(reports.figures, registry))


def test_the_table_holds_every_figure_once() -> None:
    overview = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \| \S", overview, re.MULTILINE)
    assert len(REGISTRIES) == 6
    assert sorted(name for row in rows for name in re.findall(r"`([a-z-]+)`", row)) == NAMES


def test_every_figure_has_a_command() -> None:
    found = [command.split() for snippet in snippets(PAGE) for command in commands(snippet)]
    drawn = {words[2] for words in found if words[:2] == ["hwsim", "figure"]}
    assert drawn == set(NAMES)


def test_pictures_are_there_and_small() -> None:
    pictures = [ROOT / "docs" / name for name in re.findall(r"\]\((images/[^)]+)\)", PAGE.read_text(encoding="utf-8"))]
    assert all(picture.is_file() for picture in pictures)
    assert sum(picture.stat().st_size for picture in pictures) <= 300_000

"""The examples in docs/cost.md."""

import doctest
from pathlib import Path


def test_the_examples_give_what_they_print() -> None:
    failures, tests = doctest.testfile(str(Path(__file__).parents[1] / "docs" / "cost.md"), module_relative=False)
    assert (failures, tests) == (0, 6)

"""The text that pipes: exact strings per format."""

import csv
import io
import json
import re

import numpy as np
import pytest

from hwsim.latex import Latex, escaped, link, small_list
from hwsim.output import OUTPUTS, Row, readable, render, write

ROWS: list[Row] = [
    {"design": "pot|w3", "accuracy": 97.534, "codes": 8},
    {"design": "post_w4", "accuracy": -0.000001234, "exact": True},
    {"design": "µ [x]\nend", "accuracy": float("nan"), "codes": None},
]
UNITS = {"accuracy": "%", "absent": "pJ"}

EXPECTED = {
    "table": """\
Designs [all]
design     accuracy [%]  codes  exact
-------------------------------------
pot|w3            97.53      8
post_w4      -1.234e-06         yes
µ [x] end
""",
    "csv": """\
design,accuracy [%],codes,exact
pot|w3,97.534,8,
post_w4,-1.234e-06,,true
"µ [x]
end",,,
""",
    "json": """\
[
  {
    "design": "pot|w3",
    "accuracy [%]": 97.534,
    "codes": 8,
    "exact": null
  },
  {
    "design": "post_w4",
    "accuracy [%]": -1.234e-06,
    "codes": null,
    "exact": true
  },
  {
    "design": "µ [x]\\nend",
    "accuracy [%]": null,
    "codes": null,
    "exact": null
  }
]
""",
    "markdown": r"""**Designs [all]**

| design | accuracy [%] | codes | exact |
| --- | ---: | ---: | --- |
| pot\|w3 | 97.53 | 8 |  |
| post_w4 | -1.234e-06 |  | yes |
| µ [x] end |  |  |  |
""",
    "latex": r"""% Designs [all]
\begin{tabular}{lrrl}
\toprule
design & accuracy {[}\%] & codes & exact \\
\midrule
pot\textbar{}w3 & 97.53 & 8 &  \\
post\_w4 & $-1.234\times10^{-6}$ &  & yes \\
$\mu$ {[}x] end &  &  &  \\
\bottomrule
\end{tabular}
""",
}

EMPTY = {
    "table": "Nothing\n(no rows)\n",
    "csv": "",
    "json": "[]\n",
    "markdown": "**Nothing**\n\n(no rows)\n",
    "latex": "% Nothing\n% (no rows)\n",
}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_every_output_format_has_an_expected_text() -> None:
    assert list(OUTPUTS) == list(EXPECTED) == list(EMPTY)


@pytest.mark.parametrize("format", OUTPUTS)
def test_rendered_text_is_exactly(format: str) -> None:
    assert render(ROWS, format, title="Designs [all]", units=UNITS) == EXPECTED[format]


@pytest.mark.parametrize("format", OUTPUTS)
@pytest.mark.parametrize("rows", [[], [{}]])
def test_no_rows_or_no_columns(format: str, rows: list[Row]) -> None:
    expected = EMPTY[format] if not (rows and format == "json") else "[\n  {}\n]\n"
    assert render(rows, format, title="Nothing") == expected


def test_an_unknown_format_suggests_the_nearest_known_one() -> None:
    with pytest.raises(ValueError, match="unknown output format 'markdwon'; did you mean 'markdown'"):
        render(ROWS, "markdwon")


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 123456789.123456789, 2**62, -7])
def test_numbers_survive_csv_and_json_exactly(value: float) -> None:
    assert json.loads(render([{"x": value}], "json"))[0]["x"] == value
    assert type(value)(next(csv.DictReader(io.StringIO(render([{"x": value}], "csv"))))["x"]) == value


def test_csv_gives_back_quotes_commas_and_line_ends() -> None:
    text = 'a "quoted", \r\n line'
    rows = list(csv.DictReader(io.StringIO(render([{"t": text, "u": "中"}], "csv"), newline="")))
    assert rows == [{"t": text, "u": "中"}]


def test_numpy_scalars_are_numbers() -> None:
    row = {"a": np.int64(3), "b": np.float64(0.5), "c": np.bool_(True), "d": np.float32("nan")}
    assert render([row], "csv") == "a,b,c,d\n3,0.5,true,\n"  # type: ignore[list-item]


def test_a_value_of_another_kind_is_refused_by_column() -> None:
    with pytest.raises(ValueError, match=r"truth value or None, got \[1\] in column 'bits'"):
        render([{"bits": [1]}], "csv")  # type: ignore[dict-item]


def test_json_refuses_infinity_that_other_formats_show() -> None:
    rows = [{"ratio": float("inf")}, {"ratio": float("-inf")}]
    with pytest.raises(ValueError, match="json has no infinity, got inf in column 'ratio'"):
        render(rows, "json")
    assert render(rows, "csv") == "ratio\ninf\n-inf\n"
    assert "\n$\\infty$ \\\\\n$-\\infty$ \\\\\n" in render(rows, "latex")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (97.5, "97.50"),
        (9.9996, "10.00"),
        (2.0, "2.000"),
        (1814073344.0, "1814073344"),
        (-0.0001, "-0.0001000"),
        (0.00009999, "9.999e-05"),
        (1e12, "1.000e+12"),
        (float("inf"), "inf"),
    ],
)
def test_readable_digits(value: float, text: str) -> None:
    assert readable(value) == text


def test_latex_escapes_every_special_character() -> None:
    special = r"\ & % $ # _ { } ~ ^ < > | [ * ± × √ ≤ ≥ – − →"  # noqa: RUF001
    cell = render([{"x": special}], "latex").splitlines()[4]
    assert cell == (
        r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{} \textless{} \textgreater{} "
        r"\textbar{} {[} {*} $\pm$ $\times$ $\surd$ $\leq$ $\geq$ -- $-$ $\rightarrow$ \\"
    )


def test_latex_breaks_sentences_into_lines() -> None:
    """One column of them has half of the page, two share it; numbers and short texts stay as they are."""
    row: Row = {"name": "x" * 80, "value": 1, "said": "y" * 81}
    assert r"\begin{tabular}{lrp{0.5\linewidth}}" in render([row, {"said": ""}], "latex")
    assert r"\begin{tabular}{lrp{0.25\linewidth}p{0.25\linewidth}}" in render([{**row, "also": "z" * 90}], "latex")
    assert r"\begin{tabular}{l}" in render([{"x": Latex("y" * 81)}], "latex")


def test_latex_that_is_latex_already_is_not_escaped_again() -> None:
    cell = escaped("100 % & more ") + link("a%20b/c_d", "50 %")
    assert render([{"x": Latex(cell)}], "latex").splitlines()[4] == r"100 \% \& more \href{a\%20b/c_d}{50 \%} \\"
    assert small_list(["a\n b_c", "[d]"]) == (
        "\\begin{itemize}\\footnotesize\n\\item a b\\_c\n\\item {[}d]\n\\end{itemize}\n"
    )
    assert small_list([]) == ""


def test_markdown_escapes_what_would_break_a_cell() -> None:
    assert render([{"x": r"a\|b `c` *d* <e>"}], "markdown").splitlines()[2] == r"| a\\\|b \`c\` \*d\* \<e> |"


def test_a_mixed_or_truth_column_is_no_number_column() -> None:
    rows: list[Row] = [{"a": 1, "b": True, "c": None}, {"a": "x", "b": False, "c": None}]
    assert render(rows, "markdown").splitlines()[1] == "| --- | --- | --- |"


@pytest.mark.parametrize("text", ["97.5", "-3", "1.81G", "97.53 ± 0.21"])
def test_text_that_is_a_number_is_aligned_as_one(text: str) -> None:
    assert render([{"x": text}, {"x": None}], "markdown").splitlines()[1] == "| ---: |"
    assert render([{"x": text}, {"x": "w4"}], "markdown").splitlines()[1] == "| --- |"


def test_a_piped_table_is_never_cut_or_coloured() -> None:
    row: Row = {f"column {i}": "中" * 40 for i in range(8)}
    text = render([row], "table", title="t" * 300)
    assert [line.count("中") for line in text.splitlines()] == [0, 0, 0, 320]
    assert "\x1b" not in text
    assert "…" not in text


def test_write_to_a_pipe_equals_render(capsys: pytest.CaptureFixture[str]) -> None:
    write(ROWS, "table", title="Designs [all]", units=UNITS)
    assert capsys.readouterr() == (EXPECTED["table"], "")


def test_a_table_on_a_terminal_is_folded_and_keeps_every_character(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "20", "NO_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    write([{"name": "abcdefghij" * 4, "n": 7}], "table", title="[t]", stream=stream)
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert "[t]" in text
    assert sum(text.count(letter) for letter in "bcdfghij") == 32
    assert max(map(len, text.splitlines())) <= 20


NUMBERS: Row = {
    "design": "uniform-w4a4",
    "accuracy_integer": "97.27 ± 0.64",
    "weight_storage_bits": "10.0k",
    "bops": 263000,
}


@pytest.mark.parametrize("columns", [30, 42, 43, 51, 52, 53, 54])
def test_numbers_are_never_broken_on_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    write([NUMBERS], "table", stream=stream)
    text = stream.getvalue()
    assert all(number in text for number in ("97.27 ± 0.64", "10.0k", "263000"))
    natural = render([NUMBERS], "table")
    widest = max(map(len, natural.splitlines()))
    if columns < 43:
        assert text == natural
    else:
        assert max(len(line.rstrip()) for line in text.splitlines()) <= columns
        assert ("storage_bits" in text) == (columns >= widest)


def test_other_formats_are_the_same_on_a_terminal() -> None:
    stream = Terminal()
    write(ROWS, "csv", units=UNITS, stream=stream)
    assert stream.getvalue() == EXPECTED["csv"]

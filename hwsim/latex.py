"""Text as LaTeX: special characters, links and lists."""

from collections.abc import Iterable

# A cell that begins with [ or * would be read as an argument of the \\ or \toprule before it.
_SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "*": "{*}"}
    | {"±": r"$\pm$", "×": r"$\times$", "√": r"$\surd$", "µ": r"$\mu$", "μ": r"$\mu$"}  # noqa: RUF001
    | {"≤": r"$\leq$", "≥": r"$\geq$", "−": "$-$", "–": "--", "…": r"\ldots{}", "→": r"$\rightarrow$"}  # noqa: RUF001
)


class Latex(str):
    """Text that is LaTeX already and is not escaped again."""

    __slots__ = ()


def escaped(text: str) -> Latex:
    """Return the text with what LaTeX would take for commands escaped; as it is if it is LaTeX already."""
    return text if isinstance(text, Latex) else Latex(text.translate(_SPECIAL))


def link(target: str, text: str) -> Latex:
    r"""Return the text with a link of the package hyperref, whose `\href` takes all of a quoted URL but the %.

    Args:
        target: quoted, as `urllib.parse.quote` leaves it.
        text: what is shown.
    """
    return Latex(rf"\href{{{target.replace('%', chr(92) + '%')}}}{{{escaped(text)}}}")


def small_list(items: Iterable[str]) -> str:
    """Return the texts as a list in small print, to stand below a table; nothing where there are none."""
    lines = [f"\\item {escaped(' '.join(item.split()))}\n" for item in items]
    return f"\\begin{{itemize}}\\footnotesize\n{''.join(lines)}\\end{{itemize}}\n" if lines else ""

"""A page for every command, from the Typer application: usage, help, options in their panels."""

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from itertools import groupby
from typing import Any

from tables import plain, table
from typer.main import get_command

from hwsim.cli import app

LIST = "commands/index.md"

Command = Any  #: Typer's, or click's where Typer stands upon it.


def pages() -> dict[str, str]:
    """Return the pages of all commands, and their list, by place on the site."""
    commands = {tuple(path): command for path, command in leaves(get_command(app), ())}
    return {LIST: _list(commands)} | {_place(path): _page(path, command) for path, command in commands.items()}


def leaves(command: Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Yield every command that is no group, with the words that name it after `hwsim`."""
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield path, command


def _place(path: Sequence[str]) -> str:
    return f"commands/{'-'.join(path)}.md"


def _list(commands: dict[tuple[str, ...], Command]) -> str:
    rows = [
        {"command": f"[`hwsim {' '.join(path)}`]({'-'.join(path)}.md)", "what it does": plain(_paragraphs(command)[0])}
        for path, command in commands.items()
    ]
    return f"# Commands\n\nFrom the texts of `hwsim --help`. {app.info.epilog}\n\n{table(rows)}"


def _paragraphs(command: Command) -> list[str]:
    return [" ".join(text.split()) for text in cleandoc(command.help or "").split("\n\n")]


def _page(path: Sequence[str], command: Command) -> str:
    name = f"hwsim {' '.join(path)}"
    context = command.make_context(name, [], resilient_parsing=True)
    usage = f"{name} {' '.join(command.collect_usage_pieces(context))}"
    texts = [_example(text) if text.startswith("Example: ") else text for text in _paragraphs(command)]
    panels = [
        f"## {title}\n\n{table([_row(parameter, context) for parameter in group])}"
        for title, group in groupby(command.params, _title)
    ]
    return "\n\n".join([f"# {name}", f"```\n{usage}\n```", *texts, *panels]) + "\n"


def _example(text: str) -> str:
    return f"```bash\n{text.removeprefix('Example: ')}\n```"


def _title(parameter: Any) -> str:
    return parameter.rich_help_panel or f"{parameter.param_type_name.capitalize()}s"


def _row(parameter: Any, context: Any) -> dict[str, str]:
    """Return what `--help` says of a parameter: its names with what they take, and what it does."""
    names, text = parameter.get_help_record(context)
    return {"name": f"`{names}`", "what it does": plain(text)}

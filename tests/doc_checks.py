"""Whether the programs would take a command of the documentation, found without running it."""

import re
import shlex
from pathlib import Path
from typing import Any

from typer.main import get_command

from hwsim.cli import app

ROOT = Path(__file__).resolve().parents[1]
FOR_ALL = ("-q", "--quiet", "-v", "--verbose")  #: Options that may stand before the command's name.
ALONE = ("--help", "--install-completion", "--show-completion")  #: Options that need no command.


def leaf_and_rest(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the words name, and the words after it.

    Raises:
        KeyError: there is no such command.
    """
    command: Any = get_command(app)
    while hasattr(command, "commands") and words and words[0] not in ALONE:
        name, *words = words
        command = command if name in FOR_ALL else command.commands[name]
    return command, words


def parse(words: list[str]) -> None:
    """Read a command's options and arguments as `hwsim` does.

    Raises:
        Exception: it would refuse them.
    """
    leaf, rest = leaf_and_rest(words)
    leaf.make_context("hwsim", rest)


def check_script(path: str, options: list[str]) -> None:
    """Check that a script exists and that its text names the options."""
    text = (ROOT / path).read_text(encoding="utf-8")
    assert [option for option in options if f'"{option}"' not in text] == [], path


def check_command(command: str) -> None:
    """Check a command of the shell by what it names: options of hwsim, scripts, targets of make."""
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z]+=\S*", word)]
    match words:
        case ["hwsim", *rest]:
            parse(rest)
        case ["torchrun", *options]:
            parse([word for word in options[options.index("hwsim") + 1 :] if word != "..."])
        case ["python", script, *rest] if script.endswith(".py"):
            check_script(script, [word for word in rest if word.startswith("--")])
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case _:
            assert words[0] in ("test", "break", "source"), f"cannot check {command!r}"


def check_mention(text: str) -> None:
    """Check a command in a sentence: values may be placeholders there, and arguments left out."""
    words = [word for word in shlex.split(text) if not re.fullmatch(r"[A-Z]+=\S*", word)]
    match words:
        case ["hwsim", *rest]:
            leaf, options = leaf_and_rest(rest)
            known = {name for parameter in leaf.params for name in parameter.opts} | {*ALONE, *FOR_ALL}
            assert [word for word in options if word.startswith("--") and word not in known] == []
        case ["python", script, *_] if script.endswith(".py"):
            check_command(shlex.join(words))
        case ["make", *_]:
            for command in text.split(" && "):
                check_command(command)
        case _:
            assert words[0] in ("python", "pytest"), f"cannot check {text!r}"

"""Files: written so that nothing is ever half-written, where they can be written, and JSON objects."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder that replaces `path` when the block ends without an error.

    The folder is created if it is missing. On an error the temporary file is removed and `path` keeps its old content.

    Raises:
        OSError: the folder cannot be created or written, or the disk is full; the message names the file.
    """
    target = Path(path)
    make_folder(target.parent)
    temporary = _temporary_beside(target)
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(path: Path, reason: Exception) -> OSError:
    """Return the error for a file that could not be replaced, as on a full disk; the temporary file is not named."""
    why = reason.strerror if isinstance(reason, OSError) and reason.filename else reason
    return OSError(f"{path} cannot be written, what it held before is kept; mend this and start again: {why}")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OSError: it cannot be made; the message names what is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(folder, error) from error


def check_folder(folder: Path) -> None:
    """Check that files can be written into a folder, whether it is there or would be made; nothing is left there.

    Raises:
        OSError: they cannot; the message names what is in the way.
    """
    nearest = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=nearest):  # has no name, so the folder does not change
            pass
    except OSError as error:
        raise _no_folder(folder, error) from error


def check_file(path: Path) -> None:
    """Check that `atomic_write` could write a file; nothing is left there.

    Raises:
        OSError: it could not; the message names what is in the way.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, and a file is to be written: choose another name")
    check_folder(path.parent)


def _nearest(folder: Path) -> Path:
    """Return the folder, or what is there of the path to it."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))


def _no_folder(folder: Path, error: OSError) -> OSError:
    nearest = _nearest(folder)
    why = f"no file can be made in {nearest} ({error.strerror})" if nearest.is_dir() else f"{nearest} is no folder"
    return type(error)(f"cannot write into {folder}: {why}; choose another place")


def _temporary_beside(target: Path) -> Path:
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix or ".tmp")
    except OSError as error:
        raise _no_folder(target.parent, error) from error
    os.close(handle)
    return Path(name)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object read from a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object, keys sorted, at once or not at all; NaN and infinity are refused."""
    text = json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Files: written so that nothing is ever half-written, and JSON objects."""

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
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix or ".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(path: Path, reason: Exception) -> OSError:
    """Return the error for a file that could not be replaced, as on a full disk."""
    return OSError(f"{path} cannot be written, what it held before is kept; mend this and start again: {reason}")


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

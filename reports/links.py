"""Links from pages and tables to files."""

import os
from pathlib import Path
from urllib.parse import quote


def relative_path(path: Path, home: Path) -> str:
    """Return the path from a folder to a file, with slashes."""
    return Path(os.path.relpath(path.resolve(), home.resolve())).as_posix()


def relative_link(path: Path, home: Path) -> str:
    """Return the link to a file from a page in a folder."""
    return quote(relative_path(path, home))

"""Atomic writes: a file is the old one or the new one, whole, and nothing else is left."""

import os
import re
import stat
from pathlib import Path

import pytest

from hwsim.files import atomic_write, check_file, check_folder


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_new_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "result.json"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".json"
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["result.json"]


def test_an_old_file_keeps_its_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    with atomic_write(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["result"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "result.csv"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.csv"]


def test_an_error_leaves_no_new_file(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_write(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert names(tmp_path) == []


def test_a_block_that_replaces_the_temporary_file_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    with atomic_write(path) as temporary:
        (tmp_path / "other").write_text("moved")
        (tmp_path / "other").replace(temporary)
    assert path.read_text() == "moved"
    assert names(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "x") as temporary:
            temporary.write_text("new")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask


def test_what_is_in_the_way_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    in_the_way = {
        tmp_path / "file" / "below": f"cannot write into {tmp_path / 'file'}: {tmp_path / 'file'} is no folder; choose",
        tmp_path / "folder": f"{tmp_path / 'folder'} cannot be written, what it held before is kept",
    }
    for path, message in in_the_way.items():
        with pytest.raises(OSError, match=re.escape(message)) as told, atomic_write(path) as temporary:
            temporary.write_text("new")
        assert f".{path.name}." not in str(told.value), "the temporary file is nobody's business"
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path / "folder") == []


def test_what_can_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = tmp_path.stat().st_mtime_ns
    check_folder(tmp_path / "new" / "below")
    check_file(tmp_path / "file")
    with pytest.raises(IsADirectoryError, match="is a folder, and a file is to be written: choose another name"):
        check_file(tmp_path)
    for folder in ("file", "file/below", "dangling", "dangling/below"):
        at = tmp_path / folder.partition("/")[0]
        message = f"cannot write into {tmp_path / folder}: {at} is no folder; choose another place"
        with pytest.raises(OSError, match=re.escape(message)):
            check_folder(tmp_path / folder)
        with pytest.raises(OSError, match=re.escape(message)), atomic_write(tmp_path / folder / "x"):
            pass
    assert tmp_path.stat().st_mtime_ns == before
    assert names(tmp_path) == ["dangling", "file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no files, such as /proc")
def test_a_folder_that_takes_no_files_is_told_without_the_temporary_file() -> None:
    message = r"^cannot write into /proc: no file can be made in /proc \([\w ]+\); choose another place$"
    with pytest.raises(OSError, match=message), atomic_write("/proc/levels.pdf"):
        pass
    with pytest.raises(OSError, match=message):
        check_file(Path("/proc/levels.pdf"))
    with pytest.raises(OSError, match=r"^cannot write into /proc/x: no file can be made in /proc "):
        check_folder(Path("/proc/x"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_an_os_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError), atomic_write(tmp_path / "x"):
        pass
    tmp_path.chmod(0o700)


def test_the_content_is_on_disk_before_the_old_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    seen: list[tuple[int, str]] = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append((os.fstat(handle).st_size, path.read_text())))
    with atomic_write(path) as temporary:
        temporary.write_text("content")
    assert seen == [(7, "old")]

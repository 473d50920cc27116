"""Files that are replaced: whole or not at all, under any name, with the permissions and links that they had."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.saved import whole_files
from gpu_logreg.saved.whole_files import check_destination, is_replaced, whole_file, write_whole


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def older(tmp_path) -> Path:
    path = tmp_path / "m"
    path.write_bytes(b"older and longer than the new one")
    return path


def refuse_in_the_folder(monkeypatch, call: str, number: int) -> None:
    """Whoever makes or renames a file beside gets this error: tests may run as root, whom no permission holds back."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(whole_files, "_new_file", refuse) if call == "open" else monkeypatch.setattr(
        whole_files.os, call, refuse
    )


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o664, 0o666, 0o755])
def test_permissions_are_kept(older, bits):
    older.chmod(bits)
    write_whole(older, b"new")
    assert (older.read_bytes(), mode(older)) == (b"new", bits)


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    write_whole(tmp_path / "m", b"new")
    assert mode(tmp_path / "m") == mode(tmp_path / "other")


def test_a_private_file_is_private_from_the_beginning(older):
    older.chmod(0o600)
    with whole_file(older) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
        file.write(b"new")
    assert older.read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(older):
    os.chown(older, 1234, 4321)
    older.chmod(0o4750)
    write_whole(older, b"new")
    assert (older.stat().st_uid, older.stat().st_gid, mode(older)) == (1234, 4321, 0o4750)


def test_extended_attributes_are_kept(older):
    try:
        os.setxattr(older, "user.origin", b"here")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")
    write_whole(older, b"new")
    assert os.getxattr(older, "user.origin") == b"here"


def test_symbolic_links_stay(older, tmp_path):
    (tmp_path / "folder").mkdir()
    links = {"link": "m", "second": "link", "folder/away": "../m", "dangling": "folder/made"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
        check_destination(tmp_path / name)
        write_whole(tmp_path / name, name.encode())
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_bytes() == name.encode()
    assert older.read_bytes() == b"folder/away"
    assert (tmp_path / "folder/made").read_bytes() == b"dangling"


def test_links_that_lead_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost").symlink_to("absent/m")
    for name, reason in (("loop", "cannot be written: "), ("lost", "does not exist")):
        with pytest.raises(DataError, match=reason):
            check_destination(tmp_path / name)


def test_other_names_of_the_file_are_told_of(older, tmp_path):
    os.link(older, tmp_path / "other name")
    with pytest.warns(UserWarning, match=r"m: its other names \(hard links\) keep the older content"):
        write_whole(older, b"new")
    assert older.read_bytes() == b"new"
    assert (tmp_path / "other name").read_bytes().startswith(b"older")


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "n" * 250 + ".csv"], ids=len)
def test_long_names(name, tmp_path):
    for data in (b"first", b"second"):
        check_destination(tmp_path / name)
        write_whole(tmp_path / name, data)
        assert (tmp_path / name).read_bytes() == data
    with pytest.raises(DataError, match="cannot be written: File name too long"):
        check_destination(tmp_path / ("n" * 256))


def test_names_that_cannot_be(tmp_path):
    with pytest.raises(DataError, match="no name of a file holds a zero byte"):
        check_destination(f"{tmp_path}/a\0b")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"its directory .*file does not exist"):
        check_destination(tmp_path / "file" / "m")


def test_a_file_that_is_read_only(older, monkeypatch):
    older.chmod(0o444)
    monkeypatch.setattr(whole_files.os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(DataError, match=r"is read-only; allow writing to it \(chmod u\+w\)"):
        check_destination(older)


@pytest.mark.parametrize(
    ("call", "number"), [("open", errno.EACCES), ("replace", errno.EPERM), ("replace", errno.EBUSY)]
)
def test_a_folder_that_takes_no_other_file(older, tmp_path, monkeypatch, call, number):
    refuse_in_the_folder(monkeypatch, call, number)
    before = older.stat()
    for data in (b"new", b"longer than all that was there before"):
        write_whole(older, data)
        assert older.read_bytes() == data
    assert older.stat().st_ino == before.st_ino
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    with pytest.raises(ModelFileError, match="nothing was saved"):
        write_whole(tmp_path / "new", b"new")


def test_a_folder_that_takes_no_other_file_is_no_reason_to_refuse(older, monkeypatch):
    monkeypatch.setattr(whole_files.os, "access", lambda path, mode: Path(path) == older)
    check_destination(older)
    with pytest.raises(DataError, match=r"its directory .* cannot be written to"):
        check_destination(older.with_name("new"))


def test_writing_over_a_file_asks_for_room_first(older, monkeypatch):
    refuse_in_the_folder(monkeypatch, "open", errno.EACCES)
    refuse_in_the_folder(monkeypatch, "posix_fallocate", errno.ENOSPC)
    before = older.read_bytes()
    with pytest.raises(ModelFileError, match="No space left on device; nothing was saved"):
        write_whole(older, before * 2)
    assert older.read_bytes() == before


def test_an_interruption_while_writing_over_a_file_leaves_it_whole(older, monkeypatch):
    refuse_in_the_folder(monkeypatch, "open", errno.EACCES)
    copy, calls = whole_files.shutil.copyfileobj, []

    def interrupted(source, file):
        calls.append(1)
        if len(calls) == 1:
            file.write(source.read(2))
            raise KeyboardInterrupt
        copy(source, file)

    monkeypatch.setattr(whole_files.shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(older, b"new")
    assert older.read_bytes() == b"new"


def test_a_failure_in_the_block_leaves_all_as_it_was(older, tmp_path):
    before = older.read_bytes()
    with pytest.raises(ZeroDivisionError), whole_file(older) as file:
        file.write(b"%d" % (1 // len(file.read())))
    assert older.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_pipes_and_open_streams_are_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with whole_file(tmp_path / "pipe") as file:
        file.write(b"through a pipe")
    reader.join()
    assert read == [b"through a pipe"]
    assert not is_replaced(tmp_path / "pipe")
    log = tmp_path / "log"
    log.write_bytes(b"kept, ")
    with open(log, "ab") as kept, whole_file(Path(f"/dev/fd/{kept.fileno()}")) as file:
        file.write(b"and added")
    assert log.read_bytes() == b"kept, and added"
    for name in ("/dev/stdout", "/dev//stderr", "/dev/fd/1", "/proc/self/fd/1", "/dev/null"):
        assert not is_replaced(Path(name))
        with pytest.raises(DataError, match="is a device or a pipe"):
            check_destination(name)

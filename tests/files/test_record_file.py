"""A file of records: what is read back, and what is left of it after a kill, a full disk or a damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gpu_logreg.errors import CheckpointError
from gpu_logreg.files import record_file
from gpu_logreg.files.record_file import RecordFile, content_of

FIRST = content_of("first", {"a": np.arange(3.0)})


def record(name: str, size: int = 4) -> tuple[str, bytes]:
    return name, content_of(name, {"x": np.full(size, float(len(name)))})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = RecordFile(tmp_path / "c", FIRST)
    file.append([record("one"), record("three")])
    file.append([record("fives")])
    file.close()
    return tmp_path / "c"


def names(path: Path) -> list[str]:
    file = RecordFile(path, FIRST)
    try:
        for place in file.places[1:]:
            np.testing.assert_array_equal(file.read(place)["x"], np.full(4, float(len(place.name))))
        return [place.name for place in file.places]
    finally:
        file.close()


def test_records_come_back_in_their_order(path: Path) -> None:
    assert names(path) == ["first", "one", "three", "fives"]


def test_a_record_cut_at_any_byte_is_as_if_never_written(path: Path) -> None:
    whole = path.read_bytes()
    last = content_of(*("fives", {"x": np.full(4, 5.0)}))
    for cut in (1, 7, 8, 39, 40, len(last) // 2, len(last) - 1, len(last)):
        path.write_bytes(whole[: len(whole) - cut])
        assert names(path) == ["first", "one", "three"]
        file = RecordFile(path, FIRST)
        assert not file.is_damaged
        file.append([record("seventh")])  # over what is left of the other
        file.close()
        assert names(path) == ["first", "one", "three", "seventh"]


def test_what_follows_a_damaged_record_is_lost_and_told(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    file = RecordFile(path, FIRST)
    three = file.places[2]
    file.close()
    whole[(three.start + three.stop) // 2] ^= 4
    path.write_bytes(whole)
    file = RecordFile(path, FIRST)
    assert [place.name for place in file.places] == ["first", "one"]
    assert file.is_damaged
    assert file.lost == len(whole) - three.start
    file.close()


def test_a_length_beyond_the_file_takes_no_memory(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    file = RecordFile(path, FIRST)
    at = file.places[1].start
    file.close()
    whole[at : at + 8] = (2**62).to_bytes(8, "little")
    path.write_bytes(whole)
    assert names(path) == ["first"]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", record_file.MAGIC, record_file.MAGIC + FIRST[:-1]])
def test_another_file_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is no checkpoint|is damaged"):
        RecordFile(path, FIRST)
    assert path.read_bytes() == content


def test_a_folder_or_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be used"):
        RecordFile(tmp_path, FIRST)
    with pytest.raises(CheckpointError, match="No such file"):
        RecordFile(tmp_path / "no" / "c", FIRST)


def test_a_file_in_use_is_refused_until_it_is_closed(path: Path) -> None:
    file = RecordFile(path, FIRST)
    with pytest.raises(CheckpointError, match="another training is writing"):
        RecordFile(path, FIRST)
    file.keep_only([file.places[0], file.places[3]])  # a new file under the same name
    with pytest.raises(CheckpointError, match="another training is writing"):
        RecordFile(path, FIRST)
    file.close()
    assert names(path) == ["first", "fives"]


def test_records_are_left_out_and_more_are_added(path: Path) -> None:
    file = RecordFile(path, FIRST)
    file.keep_only([file.places[0], file.places[2]])
    file.append([record("fourth")])
    np.testing.assert_array_equal(file.read(file.places[1])["x"], np.full(4, 5.0))
    file.close()
    assert names(path) == ["first", "three", "fourth"]
    assert [other.name for other in path.parent.iterdir()] == ["c"]


def test_a_write_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    file = RecordFile(path, FIRST)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            file.append([record("seventh")])
        with pytest.raises(OSError, match="No space"):
            file.keep_only(file.places[2:])
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == ["c"]
    file.append([record("ninth")])
    file.close()
    assert names(path) == ["first", "one", "three", "fives", "ninth"]

"""Streams that can be read only once, members of archives, folders, and how they are packed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import COMMAND, environment, run, succeed
from data_files import refusal, train

from gpu_logreg.errors import DataError
from gpu_logreg.files import streams
from gpu_logreg.files.load import FileOptions
from gpu_logreg.files.streams import make_reopenable

ROWS = 30_000
TEXT = "a,y\n" + "".join(f"{at % 7}.5,{at % 2}\n" for at in range(ROWS))


def zstandard(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard,
}


@pytest.fixture
def piped(tmp_path: Path):
    """A function that makes a named pipe of data."""
    threads = []

    def pipe(data: bytes, name: str = "pipe") -> Path:
        path = tmp_path / name
        os.mkfifo(path)
        thread = threading.Thread(target=path.write_bytes, args=(data,))
        thread.start()
        threads.append(thread)
        return path

    yield pipe
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("ending", PACKED)
def test_a_pipe_is_read_once_and_whole(ending: str, piped, tmp_path: Path) -> None:
    path = piped(PACKED[ending](TEXT.encode()))
    rows, y = train(path)
    assert rows.n_rows == len(y) == ROWS
    assert rows.source.at(ROWS - 1) == f"{path}, line {ROWS + 1}"
    (tmp_path / f"d.csv{ending}").write_bytes(PACKED[ending](TEXT.encode()))
    assert train(tmp_path / f"d.csv{ending}")[0].n_rows == ROWS


def test_a_message_about_a_pipe_names_its_line(piped) -> None:
    path = piped(TEXT.encode() + b"1\n")
    assert refusal(lambda: train(path), path).startswith(f": line {ROWS + 2} has 1 field where 2 were expected")


def test_other_formats_through_a_pipe(piped, tmp_path: Path) -> None:
    X = np.arange(12.0).reshape(4, 3)
    pq.write_table(pa.table({"a": [1, 2], "y": [0, 1]}), tmp_path / "d.parquet")
    assert train(piped((tmp_path / "d.parquet").read_bytes(), "p1"))[0].n_rows == 2
    data = io.BytesIO()
    np.save(data, X)
    assert train(piped(data.getvalue(), "p2"), "c2")[0].values.shape == (4, 2)
    data = io.BytesIO()
    np.savez(data, X=X, y=np.arange(4))
    assert train(piped(data.getvalue(), "p3"))[0].values.shape == (4, 3)
    assert train(piped(b"1 1:2 4:1\n-1 2:1\n", "p4"), None)[0].values.shape == (2, 4)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("d.csv", "a,y\n1,0\n2,1\n")
    assert train(piped(data.getvalue(), "p5"))[0].n_rows == 2
    empty = piped(b"", "p6")
    assert refusal(lambda: train(empty), empty) == ": is empty"


def test_a_stream_that_the_temporary_folder_has_no_room_for(piped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_CHECKED_BYTES", 0)
    monkeypatch.setattr(streams, "_SPARED_BYTES", 2**70)
    path = piped(b"a,y\n1,0\n")
    assert "that folder is full; give a file, or set TMPDIR to a folder with more room" in refusal(
        lambda: make_reopenable(path), path
    )


def test_the_command_line_reads_standard_input(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "m.model"

    def give(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    give(gzip.compress(TEXT.encode()))
    ended = succeed(capsys, "train", "-", "--target", "y", "--model", model)
    assert f"standard input: {ROWS:,} rows, 1 columns" in ended.err
    give(TEXT.encode())
    lines = succeed(capsys, "predict", model, "-", "--keep", "a").out.splitlines()
    assert (len(lines), lines[0], lines[1].split(",")[0]) == (ROWS + 1, "a,prediction", "0.5")
    give(b"")
    assert run(capsys, "predict", model, "-").err == "error: standard input: is empty\n"
    monkeypatch.setattr("sys.stdin", None)
    assert run(capsys, "predict", model, "-").err == "error: standard input: is closed; give a file\n"
    done = subprocess.run(
        [*COMMAND, "predict", model, "/dev/stdin"],
        input=TEXT.encode(), capture_output=True, timeout=120, check=False, env=environment(OMP_NUM_THREADS="1"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == ROWS + 1


def test_pipes_on_the_command_line(capsys, piped, tmp_path: Path) -> None:
    model = tmp_path / "m.model"
    ended = succeed(capsys, "train", piped(TEXT.encode(), "a"), "--target", "y", "--valid", piped(TEXT.encode(), "b"))
    assert ended.out.split()[2:5] == ["rows", f"{ROWS:,}", f"{ROWS:,}"]
    assert "is the file trained on" in run(capsys, "train", "-", "--target", "y", "--valid", "/dev/stdin").err
    assert not model.exists()


# ------------------------------------------------------------------------------------------------ archives and folders


def test_members_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "d.zip"
    pq.write_table(pa.table({"a": [1, 2, 3], "y": [0, 1, 1]}), tmp_path / "in.parquet")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "a,y\n1,0\n2,1\n")
        archive.writestr("x/b.csv.gz", gzip.compress(TEXT.encode()))
        archive.write(tmp_path / "in.parquet", "x/in.parquet")
        archive.writestr("y/in.parquet", b"")
    assert train(Path(f"{path}:a.csv"))[0].n_rows == 2
    assert train(Path(f"{path}:x/b.csv.gz"))[0].n_rows == ROWS
    assert train(Path(f"{path}:b.csv.gz"))[0].n_rows == ROWS
    assert train(Path(f"{path}:x/in.parquet"))[0].n_rows == 3
    held = "it holds a.csv, x/b.csv.gz, x/in.parquet, y/in.parquet"
    for name in ("c.csv", "in.parquet"):
        assert (
            refusal(lambda name=name: train(Path(f"{path}:{name}")), path) == f": has no single member {name!r}; {held}"
        )
    assert refusal(lambda: train(path), path).endswith(f"name one of them: {path}:a.csv")
    for name, what in [
        ("no.zip", ": no such file"),
        ("in.parquet.zip", ": is not a zip archive; give the file itself"),
    ]:
        if name != "no.zip":
            (tmp_path / name).write_bytes((tmp_path / "in.parquet").read_bytes())
        assert refusal(lambda name=name: train(Path(f"{tmp_path / name}:x")), tmp_path / name) == what


def test_a_member_with_a_password(tmp_path: Path) -> None:
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("d.csv", "a,y\n1,0\n")
    data = bytearray(path.read_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        data[data.index(mark) + (6 if mark.endswith(b"\x04") else 8)] |= 1  # "encrypted"
    path.write_bytes(data)
    assert "cannot be unpacked" in refusal(lambda: train(path), path)


def test_folders_of_parquet(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    pq.write_table(pa.table({"t": ["x", None], "a": [1, 2], "y": [0, 1]}), folder / "part-1.parquet")
    rows, y = train(folder)
    assert (rows.n_rows, y.tolist()) == (2, [0, 1])
    pq.write_table(pa.table({"t": ["b", "x"], "a": [0.5, 2], "y": [1, 1]}), folder / "part-2.parq")
    rows, y = train(folder)
    assert rows.arrow.to_pydict() == {"t": ["x", None, "b", "x"], "a": [1, 2, 0.5, 2]}
    assert y.tolist() == [0, 1, 1, 1]
    pq.write_table(pa.table({"a": ["u"], "t": ["x"], "y": [1]}), folder / "part-3.parquet")
    assert "its files have different columns" in refusal(lambda: train(folder), folder)
    (folder / "readme.txt").write_text("hello")
    assert refusal(lambda: train(folder), folder) == ": is a directory; give one file"
    pq.write_table(pa.table({"a": [1, 2], "y": [0, 1]}), tmp_path / "d.parq")
    assert train(tmp_path / "d.parq")[0].n_rows == 2


@pytest.mark.parametrize("ending", [".xz", ".zst"])
def test_damage(ending: str, tmp_path: Path) -> None:
    path, random = tmp_path / f"d.csv{ending}", np.random.default_rng(0)
    whole = PACKED[ending](("a,y\n" + "".join(f"{value},0\n" for value in random.random(3000))).encode())
    for data in (whole[: len(whole) // 2], whole[:-5], whole[:9] + bytes(9) + whole[18:]):
        path.write_bytes(data)
        assert "truncated or damaged" in refusal(lambda: train(path), path)
    path.write_bytes(b"a,y\n1,0\n")
    assert f"ends in {ending} but holds something else" in refusal(lambda: train(path), path)


def test_a_file_of_several_frames(tmp_path: Path) -> None:
    for ending in (".xz", ".zst", ".gz"):
        path = tmp_path / f"d.csv{ending}"
        path.write_bytes(PACKED[ending](b"a,y\n1,0\n") + PACKED[ending](b"2,1\n"))
        assert train(path)[0].n_rows == 2


def test_options_that_do_not_apply(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,y\n1,0\n2,1\n")
    np.save(tmp_path / "d.npy", np.eye(3))
    pq.write_table(pa.table({"a": [1, 2], "y": [0, 1]}), tmp_path / "d.parquet")
    (tmp_path / "d.svm").write_text("1 1:2\n-1 1:1\n")
    for name, options, why in [
        ("d.csv", {"features": "X"}, ": --features is for .npz archives, and this is CSV; leave it out"),
        ("d.npy", {"features": "X"}, ": --features is for .npz archives, and this is a NumPy .npy file; leave it out"),
        ("d.parquet", {"sep": ";"}, ": --sep is for CSV, and this is Parquet; leave it out"),
        ("d.npy", {"skip_rows": 1}, ": --skip-rows is for CSV, and this is a NumPy .npy file; leave it out"),
        ("d.parquet", {"decimal": ","}, ": --decimal is for CSV, and this is Parquet; leave it out"),
        ("d.svm", {"thousands": ","}, ": --thousands is for CSV, and this is LIBSVM text; leave it out"),
        ("d.svm", {"missing": ("x",)}, ": --missing is for CSV and Parquet, and this is LIBSVM text; leave it out"),
        ("d.npy", {"text": ("c0",)}, ": --text is for CSV and Parquet, and this is a NumPy .npy file; leave it out"),
    ]:
        path = tmp_path / name
        assert refusal(lambda p=path, o=options: train(p, options=FileOptions(**o)), path) == why  # type: ignore[arg-type]


def test_other_paths_are_given_back(tmp_path: Path) -> None:
    (tmp_path / "a:b.csv").write_text("x")
    for path in (tmp_path / "a:b.csv", tmp_path / "none.csv", tmp_path):
        assert make_reopenable(path) == path
    with pytest.raises(DataError, match="no such file"):
        train(tmp_path / "none.csv")

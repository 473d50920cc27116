"""CSV that is decoded once into numbers in a temporary file."""

import gzip
import os
import tempfile
from collections import namedtuple

import numpy as np
import pytest

from gpu_logreg.errors import DataError
from gpu_logreg.files import decoded_text, row_cache
from gpu_logreg.files.decoded_text import decode_csv
from gpu_logreg.files.formats import FileOptions

pytest.importorskip("pyarrow")

N = 5000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(decoded_text, "_BLOCK_BYTES", 2**12)


def text(sep=",", n=N):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, 3)).round(6), rng.choice(["no", "yes"], n)
    lines = [sep.join([*map(repr, x.tolist()), label]) for x, label in zip(X, y, strict=True)]
    return "\n".join([sep.join("abcy"), *lines]) + "\n", X, y


def read(path, **options):
    found = []
    rows = decode_csv(path, {"y": lambda column: found.extend(column.to_pylist())}, ["y"], **options)
    out = np.empty((rows.n_rows, rows.n_columns))
    rows.fill(slice(0, rows.n_rows), out)
    return rows, out, found


@pytest.mark.parametrize("sep", [",", ";", "\t", " "])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_numbers_and_labels(tmp_path, sep, ending):
    content, X, y = text(sep)
    path = tmp_path / f"d{ending}"
    with (gzip.open if ending.endswith("gz") else open)(path, "wt") as file:
        file.write(content)
    rows, out, labels = read(path)
    np.testing.assert_array_equal(out, X)
    assert labels == y.tolist()
    assert rows.names == ("a", "b", "c")
    assert rows.nbytes == X.nbytes
    assert rows.place(0) == f"{path}: "


def test_options_and_columns_that_are_left_out(tmp_path):
    content, X, _ = text(";", 50)
    path = tmp_path / "d.csv"
    path.write_text("a line\n" + content.replace(".", ","))
    rows, out, _ = read(path, drop=["b"], options=FileOptions(skip_rows=1, sep=";"))
    assert rows.names == ("a", "c")
    np.testing.assert_array_equal(out, X[:, [0, 2]])


def test_the_temporary_file_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    path = tmp_path / "d.csv"
    path.write_text(text(n=50)[0])
    rows = read(path)[0]
    assert os.listdir(tmp_path / "t") == []
    os.remove(path)
    rows.fill(slice(0, 50), np.empty((50, 3)))


def refused(path, message, **options):
    with pytest.raises(DataError, match=message) as raised:
        read(path, **options)
    assert "\n" not in str(raised.value)


def test_cells_that_are_no_numbers(tmp_path):
    path, lines = tmp_path / "d.csv", text()[0].splitlines()
    lines[4000] = "1.0,oops,2.0,no"
    path.write_text("\n".join(lines))
    refused(path, r"d.csv: .*invalid value 'oops'; streamed columns are numbers: encode it as such, or drop it")
    lines[4000] = "1.0,,2.0,no"
    path.write_text("\n".join(lines))
    refused(path, r"d.csv, row 4000: column 'b' has a missing cell; streamed columns are numbers")
    lines[4000] = "1.0,2.0,no"
    path.write_text("\n".join(lines))
    refused(path, r"d.csv: line 4001 has 3 fields where 4 were expected")
    refused(path, "has no column 'z'", drop=["z"])
    path.write_text("y\nno\n")
    refused(path, "d.csv: ")


def test_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "d.csv"
    path.write_text(text()[0])
    usage = namedtuple("usage", "free")
    message = "d.csv: is decoded into numbers in the temporary folder .*, which has no room for .*; set TMPDIR"
    monkeypatch.setattr(row_cache.shutil, "disk_usage", lambda folder: usage(2**28 + 1000))
    refused(path, message)
    checks = []
    monkeypatch.setattr(row_cache, "_CHECKED_BYTES", 2**14)
    monkeypatch.setattr(row_cache.shutil, "disk_usage", lambda _: checks.append(1) or usage(2**30 // len(checks)))
    refused(path, message)
    assert len(checks) > 2

    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(row_cache.shutil, "disk_usage", lambda folder: usage(2**40))
    monkeypatch.setattr(row_cache.tempfile, "TemporaryFile", Full)
    refused(path, message)

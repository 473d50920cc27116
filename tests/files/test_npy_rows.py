"""Rows of .npy files and of arrays of .npz archives, read block by block."""

import os

import numpy as np
import pytest

from gpu_logreg.errors import DataError
from gpu_logreg.files.npy_rows import NpyRows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.npy"


def read(rows, part):
    out = np.empty((part.stop - part.start, rows.n_columns), rows.dtype, rows.order)
    rows.fill(part, out)
    return out


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "u1", "i8", "?", ">f8", ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_dtype_and_order(path, dtype, order):
    X = (np.random.default_rng(0).random((50, 4)) * 100).astype(dtype)
    np.save(path, np.asarray(X, order=order))
    rows = NpyRows(path)
    assert (rows.n_rows, rows.n_columns, rows.dtype, rows.order) == (50, 4, X.dtype.newbyteorder("="), order)
    for part in (slice(0, 50), slice(7, 8), slice(49, 50)):
        np.testing.assert_array_equal(read(rows, part), X[part])
    ((first, piece),) = rows.pieces([slice(3, 9)])
    assert first == 3
    np.testing.assert_array_equal(piece, X[3:9])


def test_an_array_of_an_archive(tmp_path):
    X, path = np.arange(30.0).reshape(10, 3), tmp_path / "data.npz"
    np.savez(path, y=np.arange(10), X=X)
    np.testing.assert_array_equal(read(NpyRows(path, "X"), slice(2, 5)), X[2:5])
    with pytest.raises(DataError, match=r"data.npz: has no array 'Z'; it holds y, X$"):
        NpyRows(path, "Z")
    np.savez_compressed(path, X=X)
    with pytest.raises(DataError, match=r"data.npz: array 'X' is packed, and is not read block by block; store it"):
        NpyRows(path, "X")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.arange(3.0), r"holds an array of shape \(3,\); rows and columns are needed"),
        (np.zeros((0, 3)), r"holds an array of shape \(0, 3\)"),
        (np.array([["a"]]), "holds an array of dtype <U1; the rows must be real numbers"),
        (np.zeros((2, 2), complex), "holds an array of dtype complex128"),
    ],
)
def test_arrays_that_are_no_rows(path, array, message):
    np.save(path, array)
    with pytest.raises(DataError, match=message):
        NpyRows(path)


def test_files_that_are_no_arrays(path):
    with pytest.raises(DataError, match=r"rows.npy: no such file"):
        NpyRows(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"rows.npy: is not a NumPy .npy file; give it the ending of what it is"):
        NpyRows(path)
    np.save(path, np.zeros((100, 3)))
    os.truncate(path, 1000)
    with pytest.raises(DataError, match=r"rows.npy: is truncated or damaged \(it ends before the last row\)"):
        NpyRows(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"rows.npy: is truncated or damaged"):
        NpyRows(path)


def test_a_file_that_is_cut_short_or_written_while_it_is_read(path):
    np.save(path, np.zeros((100, 3)))
    rows = NpyRows(path)
    os.truncate(path, 1000)
    with pytest.raises(DataError, match=r"rows.npy: was changed while it is read; train on a file that nobody writes"):
        read(rows, slice(0, 100))
    np.save(path, np.zeros((100, 3)))
    rows = NpyRows(path)
    with open(path, "r+b") as file:
        file.seek(500)
        file.write(b"1")
    os.utime(path, ns=(0, 0))
    with pytest.raises(DataError, match="was changed"):
        read(rows, slice(0, 100))


def test_a_file_that_is_replaced_is_read_to_its_end(path):
    X = np.arange(300.0).reshape(100, 3)
    np.save(path, X)
    rows = NpyRows(path)
    np.save(path.with_name("other.npy"), np.zeros((5, 3)))
    os.replace(path.with_name("other.npy"), path)
    os.utime(path, ns=(0, 0))
    np.testing.assert_array_equal(read(rows, slice(0, 100)), X)

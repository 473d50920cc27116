"""Matrices that SciPy saved in ``.npz`` archives, and labels in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run, succeed
from scipy import sparse

from gpu_logreg.errors import DataError
from gpu_logreg.files.load import (
    FileOptions,
    Matrix,
    load_labelled_data,
    load_prediction_data,
    load_training_data,
    read_table,
)
from gpu_logreg.files.schema import Schema

FORMATS = ["csr", "csc", "coo", "bsr", "dia"]


@pytest.fixture
def rows(tmp_path: Path) -> tuple[Any, Any, Path]:
    """Sparse rows whose last column is their label, labels, and the folder of ``y.npy``."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((40, 30), density=0.1, rng=rng, format="csr")
    y = np.array(["no", "yes"])[np.arange(40) % 2]
    np.save(tmp_path / "y.npy", y)
    return X, y, tmp_path


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, bool])
def test_a_saved_matrix_stays_sparse(kind: str, dtype: Any, rows: Any) -> None:
    X, y, folder = rows
    X = (X * 10).astype(dtype)
    for number, matrix in enumerate((sparse.csr_matrix(X), X)):
        path = folder / f"{number}.npz"
        sparse.save_npz(path, matrix.asformat(kind))
        read, labels = load_training_data(path, str(folder / "y.npy"))
        assert isinstance(read, Matrix)
        assert isinstance(read.values, sparse.csr_array)
        assert read.values.dtype == (dtype if dtype in (np.float32, np.float64) else np.float64)
        np.testing.assert_array_equal(read.values.toarray(), X.toarray())
        assert labels.tolist() == y.tolist()
        schema = Schema.from_json(Schema.fit(read).to_json())
        np.testing.assert_array_equal(load_prediction_data(path, schema).values.toarray(), X.toarray())
        np.testing.assert_array_equal(load_labelled_data(path, schema, str(folder / "y.npy"))[1], y)


def test_a_column_of_a_saved_matrix_may_be_the_label(rows: Any) -> None:
    X, _, folder = rows
    X = sparse.hstack([X, sparse.csr_array(np.arange(40)[:, None] % 2)]).tocsr()
    sparse.save_npz(folder / "d.npz", X)
    read, labels = load_training_data(folder / "d.npz", "c30", drop=["c0"])
    assert read.names == tuple(f"c{at}" for at in range(1, 30))
    np.testing.assert_array_equal(read.values.toarray(), X.toarray()[:, 1:30])
    assert labels.tolist() == [0, 1] * 20
    assert labels.dtype == np.int64
    assert read_table(folder / "d.npz", columns=["c30"]).values.shape == (40, 1)


def test_few_elements_stay_sparse_and_many_do_not(rows: Any) -> None:
    X, _, folder = rows
    sparse.save_npz(folder / "d.npz", X)
    assert isinstance(read_table(folder / "d.npz", FileOptions(dense=True)).values, np.ndarray)
    sparse.save_npz(folder / "full.npz", sparse.csr_array(np.ones((3, 4), dtype=np.float32)))
    full = read_table(folder / "full.npz").values
    assert isinstance(full, np.ndarray)
    assert full.dtype == np.float32


def test_labels_in_a_file_beside_an_array(rows: Any) -> None:
    _, y, folder = rows
    X = np.arange(80.0).reshape(40, 2)
    np.save(folder / "X.npy", X)
    np.savez(folder / "X.npz", rows=X)
    for name in ("X.npy", "X.npz"):
        read, labels = load_training_data(folder / name, str(folder / "y.npy"))
        np.testing.assert_array_equal(read.values, X)
        assert labels.tolist() == y.tolist()


def test_what_cannot_be_used(rows: Any) -> None:
    X, _, folder = rows
    path = folder / "d.npz"
    sparse.save_npz(path, X)

    def refused(target: str | None = None) -> str:
        with pytest.raises(DataError) as error:
            load_training_data(path, target)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "d.npz: name the labels with --target; it has c0, c1" in refused()
    assert refused().endswith("c19, ...; or give a .npy file of labels")
    assert "has no column 'label'; its columns are c0 to c29" in refused("label")
    np.save(folder / "few.npy", np.arange(7))
    assert "few.npy: has 7 labels, and " in refused(str(folder / "few.npy"))
    np.save(folder / "square.npy", np.zeros((40, 2)))
    assert "square.npy: the array has shape (40, 2) and dtype float64; one label" in refused(str(folder / "square.npy"))
    np.save(folder / "nan.npy", np.where(np.arange(40) == 3, np.nan, 1))
    assert "nan.npy, row 4: the label is not a finite number" in refused(str(folder / "nan.npy"))
    assert "no.npy: no such file" in refused(str(folder / "no.npy"))
    held = {"indices": X.indices, "indptr": X.indptr, "data": X.data, "shape": X.shape, "format": b"csr"}
    for damage, expected in (
        ({"indices": X.indices + 10**6}, "indices"),
        ({"format": b"zip"}, "d.npz: "),
        ({"shape": (40,)}, "d.npz: "),
        ({"data": X.data * 1j}, "Complex data"),
        ({"data": X.data[:3]}, "d.npz: "),
        ({"shape": (0, 30), "indptr": X.indptr[:1], "data": X.data[:0], "indices": X.indices[:0]}, "holds no rows"),
    ):
        np.savez(path, **(held | damage))
        assert expected in refused("c3")
    np.savez(path, **{name: value for name, value in held.items() if name != "indices"})
    assert "its sparse matrix cannot be used" in refused("c3")


def test_a_saved_matrix_on_the_command_line(rows: Any, capsys: Any) -> None:
    X, _, folder = rows
    path, model, y = folder / "d.npz", folder / "m", folder / "y.npy"
    sparse.save_npz(path, X)
    out = succeed(capsys, "train", path, "--target", y, "--model", model, "--test-size", "0.3")
    assert "28 rows, 30 columns, sparse" in out.err
    succeed(capsys, "train", path, "--target", y, "--model", model, "--hidden", "2", "--max-iter", "2")
    assert len(succeed(capsys, "predict", model, path).out.split()) == 41
    assert run(capsys, "train", path).code == 2

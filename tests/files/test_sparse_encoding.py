"""Text of many categories as sparse rows: the same numbers as dense ones, and the same models."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from command_line import succeed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.command.scaling import fit_on_standardised
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.files import encoding
from gpu_logreg.files.load import Table, as_table, load_prediction_data, load_training_data
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.unseen import unseen_categories
from gpu_logreg.saved.model_file import load_model_file


def cities(n: int = 1500, k: int = 300, seed: int = 0) -> tuple[Table, Any]:
    """Rows with a city of ``k``, a year far from zero and a sum with missing cells, and their labels."""
    rng = np.random.default_rng(seed)
    effect = np.random.default_rng(9).normal(size=k)
    city = np.append(np.arange(k), rng.integers(k, size=n - k))
    year, total = rng.normal(2005, 8, n), rng.exponential(10, n)
    y = effect[city] + (year - 2005) / 8 + rng.logistic(size=n) > 0
    total[rng.random(n) < 0.1] = np.nan
    columns = {"year": year, "city": [f"town {at}" for at in city], "kind": ["u", "v", None] * (n // 3), "total": total}
    return as_table(pa.table(columns)), y.astype(int)


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any, Any]:
    """Sparse and dense rows of the same table, and their labels."""
    rows, y = cities()
    schema = Schema.fit(rows)
    return schema.transform(rows), schema.transform(rows, dense=True), y


def write_csv(path: Path, rows: Table, y: Any) -> Path:
    from pyarrow import csv

    csv.write_csv(rows.arrow.append_column("y", pa.array(y)), path)
    return path


# ------------------------------------------------------------------------------------------------ the same matrix


CELL = st.none() | st.sampled_from(["x", "y", "z", " x", "?", "ü", "1"])
NUMBER = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.0, float("nan")])
ROWS = st.lists(st.tuples(NUMBER, CELL, NUMBER, CELL), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, new=ROWS, dtype=st.sampled_from([np.float32, np.float64]), block=st.integers(1, 5))
def test_sparse_and_dense_rows_are_the_same_matrix(rows: list[Any], new: list[Any], dtype: Any, block: int) -> None:
    types = (pa.float64(), pa.string(), pa.float64(), pa.string())

    def table(cells: list[Any]) -> Table:
        columns = [pa.array(column, kind) for column, kind in zip(zip(*cells, strict=True), types, strict=True)]
        return as_table(pa.table(columns, names=["a", "t", "b", "u"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "SPARSE_WIDTH", 0)
        patch.setattr(encoding, "SPARSE_SHARE", 1.0)
        patch.setattr("gpu_logreg.files.table._BLOCK_ROWS", block)
        schema = Schema.fit(table([*rows, (1.0, "x", 2.0, "y")]))
        for data in (table([*rows, (1.0, "x", 2.0, "y")]), table(new)):
            X, D = schema.transform(data, dtype), schema.transform(data, dtype, dense=True)
            assert isinstance(X, sparse.csr_array)
            assert isinstance(D, np.ndarray)
            assert X.dtype == D.dtype == dtype
            assert X.indices.dtype == X.indptr.dtype == np.int32
            assert X.has_canonical_format
            np.testing.assert_array_equal(X.toarray(), D)


def test_rows_are_sparse_where_that_is_much_smaller() -> None:
    def encoded(categories: int, numbers: int = 0) -> Any:
        columns = {f"x{at}": np.zeros(2 * categories) for at in range(numbers)}
        rows = as_table(pa.table({"t": [f"w{at}" for at in range(categories)] * 2, **columns}))
        return Schema.fit(rows).transform(rows)

    assert not sparse.issparse(encoded(255))
    assert sparse.issparse(encoded(256))
    assert sparse.issparse(encoded(300, 15))  # 16 of 315 stored
    assert not sparse.issparse(encoded(300, 20))  # 21 of 320


def test_rows_take_what_they_store(both: tuple[Any, Any, Any]) -> None:
    X, D, _ = both
    assert X.nnz == 4 * 1500 + np.isclose(D[:, 2], 1).sum()  # year, city, kind, total; the indicator where it is 1
    assert X.shape == D.shape == (1500, 306)
    np.testing.assert_array_equal(X.toarray(), D)


def test_numbers_too_large_are_named_in_sparse_rows_too() -> None:
    rows = as_table(pa.table({"t": [f"w{at}" for at in range(300)] * 2, "a": [1.0] * 400 + [1e39] * 200}))
    schema = Schema.fit(rows)
    assert sparse.issparse(schema.transform(rows))
    with pytest.raises(DataError, match="row 401: the number in column 'a' is too large for float32"):
        schema.transform(rows, np.float32)


def test_tens_of_thousands_of_categories() -> None:
    n, k = 50_000, 20_000
    words = [f"w{at}" for at in range(k)] + [f"w{at * 7919 % k}" for at in range(n - k)]
    rows = as_table(pa.table({"t": words}))
    schema = Schema.from_json(Schema.fit(rows).to_json())
    X = schema.transform(rows)
    assert X.shape == (n, k)
    names = np.array(schema.feature_names)
    assert names[X.indices].tolist() == [f"t={word}" for word in words]
    assert (X.nnz, X.data.nbytes + X.indices.nbytes) == (n, 12 * n)
    new = as_table(pa.table({"t": ["w3", "other", None, "w19999", "other"]}))
    assert unseen_categories(new, schema) == {"t": (2, ["other"])}
    assert np.diff(schema.transform(new).indptr).tolist() == [1, 0, 0, 1, 0]


# ------------------------------------------------------------------------------------------------ the same models


def test_the_linear_model_is_the_same(both: tuple[Any, Any, Any]) -> None:
    X, D, y = both
    by_sparse, by_dense = (LogisticRegression(tol=1e-8).fit(rows, y) for rows in (X, D))
    assert by_sparse.objective_ == pytest.approx(by_dense.objective_, rel=1e-9)
    np.testing.assert_allclose(by_sparse.predict_proba(X), by_dense.predict_proba(D), atol=1e-5)
    np.testing.assert_allclose(by_sparse.predict_proba(D), by_sparse.predict_proba(X), rtol=1e-12)


def test_the_network_is_as_good(both: tuple[Any, Any, Any]) -> None:
    """Both are standardised alike but for the mean of the categories: the year, far from zero, is learnt."""
    X, D, y = both
    losses = []
    for rows in (X, D):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = fit_on_standardised(MLPClassifier((4,), max_iter=20, random_state=0), rows, y)
        losses.append(model.loss_)
        np.testing.assert_allclose(model.predict_proba(X), model.predict_proba(D), rtol=1e-7)
    assert losses[0] == pytest.approx(losses[1], abs=0.05)
    assert losses[0] < 0.6


# ------------------------------------------------------------------------------------------------ end to end


@pytest.mark.parametrize("options", [(), ("--dtype", "float32"), ("--hidden", "4", "--max-iter", "3")], ids=" ".join)
def test_train_test_and_predict(options: tuple[str, ...], tmp_path: Path, capsys: Any) -> None:
    data, model = write_csv(tmp_path / "train.csv", *cities()), tmp_path / "m"
    valid = write_csv(tmp_path / "valid.csv", *cities(900, seed=1))
    options = ("--target", "y", "--model", str(model), *options)
    assert "306 after encoding, sparse" in succeed(capsys, "train", data, "--valid", valid, *options).err
    assert "test" in succeed(capsys, "train", data, "--test-size", "0.3", *options).out
    stored = load_model_file(model)
    assert stored.schema is not None
    schema = Schema.from_json(stored.schema)
    rows = load_prediction_data(valid, schema)
    X = schema.transform(rows)
    assert sparse.issparse(X)
    predicted = succeed(capsys, "predict", model, valid).out.split()[1:]
    assert predicted == [str(label) for label in stored.estimator.predict(schema.transform(rows, dense=True))]
    assert "after encoding" in succeed(capsys, "info", model).out


def test_rows_stay_dense_where_only_dense_rows_do(tmp_path: Path, capsys: Any) -> None:
    data = write_csv(tmp_path / "train.csv", *cities())
    err = succeed(capsys, "train", data, "--target", "y", "--storage", "float16").err
    assert "306 after encoding" in err
    assert "sparse" not in err
    assert sparse.issparse(Schema.fit(load_training_data(data, "y")[0]).transform(load_training_data(data, "y")[0]))

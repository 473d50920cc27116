"""Arrays of libraries that speak NumPy's protocol and Arrow's: read as arrays; tables stay tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.arrays.interchange import as_array, is_array
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.arrow_inputs import speaks_arrow

N = 60
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3))
Y = (X[:, 0] > 0).astype(int)
S = RNG.random(N)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Labelled:
    """An array as xarray's: NumPy's protocol, and Arrow's for a long table of its coordinates and values."""

    def __init__(self, values, columns=None):
        self._values = np.asarray(values)

    @property
    def ndim(self):
        return self._values.ndim

    @property
    def shape(self):
        return self._values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype=dtype)

    def __arrow_c_stream__(self, requested_schema=None):
        places = np.indices(self._values.shape).reshape(self._values.ndim, -1)
        long = {f"dim_{at}": place for at, place in enumerate(places)} | {"value": self._values.ravel()}
        return pa.table(long).__arrow_c_stream__(requested_schema)


def xarray_of(values):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    return xarray.DataArray(values)


def xarray_with_coordinates(values):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    shape = np.shape(values)
    coords = {"row": np.arange(shape[0]) * 1.0, **({"columns": np.arange(shape[1]) * 1.0} if len(shape) > 1 else {})}
    return xarray.DataArray(values, dims=tuple(coords), coords=coords, name="x")


def xarray_with_text(values):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    dims = ("row", "column")[: np.ndim(values)]
    return xarray.DataArray(values, dims=dims, coords={"column": list("abc")} if len(dims) > 1 else None)


KINDS = {
    "stand-in": Labelled,
    "xarray": xarray_of,
    "xarray with coordinates": xarray_with_coordinates,
    "xarray with names": xarray_with_text,
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def of(request):
    return request.param


@pytest.fixture(
    params=[LogisticRegression, lambda: MLPClassifier((3,), max_iter=2)], ids=["LogisticRegression", "MLPClassifier"]
)
def make(request):
    return request.param


def test_rows_labels_and_weights(make, of):
    wanted, model = make().fit(X, Y, S), make().fit(of(X), of(Y), of(S))
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        answer = getattr(model, name)(of(X))
        assert type(answer) is np.ndarray
        np.testing.assert_array_equal(answer, getattr(wanted, name)(X))
    assert model.score(of(X), of(Y), of(S)) == wanted.score(X, Y, S)
    text = np.array(["no", "yes"])[Y]
    np.testing.assert_array_equal(make().fit(X, of(text)).predict(X), make().fit(X, text).predict(X))


def test_batches_and_several_labels(of):
    wanted, model = MLPClassifier((3,)), MLPClassifier((3,))
    wanted.partial_fit(X, Y, classes=[0, 1], sample_weight=S)
    model.partial_fit(of(X), of(Y), classes=of([0, 1]), sample_weight=of(S))
    np.testing.assert_array_equal(model.coefs_[0], wanted.coefs_[0])
    labels = np.column_stack([Y, 1 - Y, Y])
    several = MLPClassifier((3,), max_iter=2).fit(of(X), of(labels))
    assert several.predict(of(X)).shape == (N, 3)
    assert several.score(of(X), of(labels)) == several.score(X, labels)


def test_what_is_refused_is_named_as_in_an_array(make, of):
    bad = X.copy()
    bad[7, 1] = np.nan
    with pytest.raises(DataError, match="NaN at row 7, column 1; remove or impute it"):
        make().fit(of(bad), Y)
    with pytest.raises(ValueError, match="Expected 2D array"):
        make().fit(of(X[:, 0]), Y)
    with pytest.raises(DataError, match="column 0 of X, as every other, holds datetime64"):
        make().fit(of(np.tile(np.arange(N).astype("M8[ns]")[:, None], 3)), Y)
    with pytest.raises(DataError, match="Complex data not supported"):
        make().fit(of(X + 1j), Y)


class Unreadable(Labelled):
    """Such as a sparse array of another library, which does not become dense by itself."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("cannot be made dense\nautomatically")


def test_an_array_that_cannot_be_read_is_refused_in_one_line(make):
    with pytest.raises(DataError, match=r"X is an array of .* that cannot be read \(RuntimeError: cannot be made"):
        make().fit(Unreadable(X), Y)


class TableWithArray(Labelled):
    """A table that NumPy can read, too: its columns have names, and its Arrow table is the table."""

    columns = ("a", "b", "c")

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.table(dict(zip(self.columns, self._values.T, strict=True))).__arrow_c_stream__(requested_schema)


def test_tables_stay_tables(make):
    table = TableWithArray(X)
    assert speaks_arrow(table)
    assert make().fit(table, Y).feature_names_in_.tolist() == ["a", "b", "c"]
    for held in (pa.table({"a": S}), pa.array(S), pa.chunked_array([S]), pa.record_batch({"a": pa.array(S)})):
        assert speaks_arrow(held)
    for held in (pd.DataFrame(X), pd.Series(S), pl.DataFrame(X), pl.Series(S)):
        assert not speaks_arrow(held)
        assert not is_array(held)
        assert as_array(held) is held
    for held in (X, X.astype(object)):
        assert as_array(held) is held

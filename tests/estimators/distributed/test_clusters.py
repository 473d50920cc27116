"""Fits on the workers of a real scheduler, in processes of their own, are those of the rows in memory."""

from __future__ import annotations

import contextlib
import pickle

import numpy as np
import pytest
from scipy import sparse

import gpu_logreg
from gpu_logreg.errors import DataError

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")
pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed: pip install 'gpu-logreg[dask]'")

import itertools

import dask
import dask.array as da
import dask.dataframe as dd
import pandas as pd
from chunked_rows import CHUNKS, N, chunked, close, rows
from distributed import Client, LocalCluster
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.dask import LogisticRegression


@contextlib.contextmanager
def started(n_workers):
    """A client of a scheduler with some workers, each in a process, or one in this process."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    options["processes"] = n_workers > 1
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster, set_as_default=False) as found:
        yield found


CASES = {
    "newton": ({}, 2),
    "many classes": ({}, 3),
    "l1": ({"l1_ratio": 1.0, "C": 0.05}, 2),
    "l1, many classes": ({"l1_ratio": 1.0, "C": 0.05}, 3),
    "elastic net": ({"l1_ratio": 0.5, "C": 0.05}, 2),
    "newton-cg": ({"solver": "newton-cg"}, 3),
    "lbfgs": ({"solver": "lbfgs"}, 3),
    "balanced": ({"class_weight": "balanced"}, 3),
    "weights of classes": ({"class_weight": {0: 2.0, 1: 0.5}}, 2),
    "no penalty, no intercept": ({"C": np.inf, "fit_intercept": False}, 2),
}


@pytest.mark.parametrize(
    ("case", "weighted"),
    [
        pytest.param(
            case,
            weighted,
            marks=[] if (k + weighted) % 2 and case not in ("newton-cg", "l1, many classes") else [pytest.mark.slow],
        )
        for k, case in enumerate(CASES)
        for weighted in (False, True)
    ],
)
def test_fits_are_those_of_rows_in_memory(client, case, weighted):
    parameters, n_classes = CASES[case]
    X, y, s = rows(n_classes)
    s = s if weighted else None
    model = LogisticRegression(client=client, tol=1e-11, **parameters).fit(*chunked(X, y, s))
    local = gpu_logreg.LogisticRegression(tol=1e-11, **parameters).fit(X, y, s)
    close(model, local)
    assert "4 parts" in model.impl_reason_


@pytest.mark.parametrize("n_others", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_bits_are_those_of_any_number_of_workers(client, n_others):
    X, y, s = rows(3, np.float32, 4000)
    digests = []
    for n_workers in (2, n_others):
        with contextlib.nullcontext(client) if n_workers == 2 else started(n_workers) as one:
            for parameters in ({}, {"l1_ratio": 1.0, "C": 0.01}, {"solver": "lbfgs", "tol": 1e-3}):
                model = LogisticRegression(client=one, **parameters).fit(*chunked(X, y, s, (1200, 200, 1800, 800)))
                digests.append(pickle.dumps([model.coef_, model.intercept_, model.n_iter_, model.n_reads_]))
    assert len(set(digests)) == 3


def test_sparse_chunks(client):
    X, y, s = rows()
    X = sparse.csr_matrix(np.where(np.abs(X) > 0.7, X, 0.0))
    edges = np.cumsum([0, *CHUNKS])
    blocks = [dask.delayed((X[a:b], y[a:b], s[a:b])) for a, b in itertools.pairwise(edges)]
    model = LogisticRegression(client=client, tol=1e-11).fit(blocks)
    close(model, gpu_logreg.LogisticRegression(tol=1e-11).fit(X, y, s))
    assert model.score(blocks) == pytest.approx(model.to_local().score(X, y, s), rel=1e-14)
    apart = [[dask.delayed(one[a:b]) for a, b in itertools.pairwise(edges)] for one in (X, y, s)]
    again = LogisticRegression(client=client, tol=1e-11).fit(*apart)
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_an_array_of_sparse_chunks(client):
    """Its answers are dense, and of empty chunks too."""
    X, y, _ = rows(3)
    X = np.where(np.abs(X) > 0.7, X, 0.0)
    dX, dy, _ = chunked(X, y, None, (0, *CHUNKS))
    dX = dX.map_blocks(sparse.csr_matrix, dtype=np.float64)
    model = LogisticRegression(client=client, tol=1e-11).fit(dX, dy)
    close(model, gpu_logreg.LogisticRegression(tol=1e-11).fit(sparse.csr_matrix(X), y))
    answer = client.compute(model.predict_proba(dX)).result()
    np.testing.assert_allclose(answer, model.to_local().predict_proba(X), rtol=1e-12)


def test_tables(client):
    X, y, s = rows(3)
    frame = pd.DataFrame(X, columns=["age", "height", "weight", "mass"], index=np.arange(N) + 7)
    labels = pd.Series(np.array(["low", "mid", "top"])[y], index=frame.index, name="y")
    table, y_table, s_table = (
        dd.from_pandas(one, npartitions=3) for one in (frame, labels, pd.Series(s, index=frame.index))
    )
    model = LogisticRegression(client=client, tol=1e-11).fit(table, y_table, s_table)
    local = gpu_logreg.LogisticRegression(tol=1e-11).fit(frame, labels, s)
    close(model, local)
    assert list(model.feature_names_in_) == list(frame.columns)
    predicted = model.predict(table)
    assert isinstance(predicted, dd.Series)
    found = client.compute(predicted).result()
    np.testing.assert_array_equal(found.to_numpy(), model.to_local().predict(frame))
    np.testing.assert_array_equal(found.index, frame.index)
    probabilities = client.compute(model.predict_proba(table)).result()
    assert list(probabilities.columns) == ["low", "mid", "top"]
    np.testing.assert_allclose(probabilities.to_numpy(), model.to_local().predict_proba(frame), rtol=1e-12)
    assert model.score(table, y_table, s_table) == pytest.approx(model.to_local().score(frame, labels, s), rel=1e-14)
    with pytest.raises(DataError, match=r"^partition 1: the columns have other names, or another order, than in 0$"):
        LogisticRegression(client=client).fit([dask.delayed((frame, y)), dask.delayed((frame[frame.columns[::-1]], y))])


@pytest.fixture(scope="module")
def fitted(client):
    """A model of two classes, and one of three."""
    return {K: LogisticRegression(client=client, tol=1e-3).fit(*chunked(*rows(K)[:2])) for K in (2, 3)}


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_answers_are_lazy_and_those_of_the_local_model(client, fitted, method, n_classes):
    X = rows(n_classes)[0]
    model = fitted[n_classes]
    local = model.to_local()
    answer = getattr(model, method)(da.from_array(X, chunks=(CHUNKS, 2)))  # columns in several chunks, too
    wanted = getattr(local, method)(X)
    assert isinstance(answer, da.Array)
    assert (answer.shape, answer.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(client.compute(answer).result(), wanted, rtol=1e-12)  # products of one row round apart
    np.testing.assert_array_equal(getattr(model, method)(X), wanted)  # rows in memory are answered at once
    unknown = da.from_array(X, chunks=(CHUNKS, -1))[da.from_array(X[:, 0], chunks=(CHUNKS,)) > 9.0]
    assert client.compute(getattr(model, method)(unknown)).result().shape == (0, *wanted.shape[1:])


def test_the_model_without_dask(client):
    X, y, s = rows()
    model = LogisticRegression(0.5, client=client, tol=1e-7).fit(*chunked(X, y, s))
    local = pickle.loads(pickle.dumps(model.to_local()))
    assert type(local) is gpu_logreg.LogisticRegression
    assert (local.C, local.tol) == (0.5, 1e-7)
    np.testing.assert_array_equal(local.predict(X), model.predict(X))
    assert local.n_reads_ == model.n_reads_
    again = pickle.loads(pickle.dumps(model))
    assert again.client is None
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_parameters(client):
    model = LogisticRegression(0.5, client=client, tol=1e-7, class_weight={0: 2.0})
    assert model.get_params()["client"] is client
    copy = clone(model.set_params(C=0.25))
    assert copy.client is client
    assert (copy.C, copy.tol, copy.class_weight) == (0.25, 1e-7, {0: 2.0})
    assert copy.class_weight is not model.class_weight
    assert set(copy.get_params()) == {*gpu_logreg.LogisticRegression().get_params(), "client"}
    assert "C=0.25" in repr(copy)


def test_a_warm_start(client):
    X, y, _ = rows()
    model = LogisticRegression(client=client, solver="lbfgs", warm_start=True, tol=1e-9).fit(*chunked(X, y))
    first = model.n_reads_
    assert model.fit(*chunked(X, y)).n_reads_ < first


def test_a_checkpoint_recalls_the_reads(client, tmp_path):
    X, y, s = rows(3)
    path, parameters = tmp_path / "fit", {"client": client, "solver": "lbfgs"}
    whole = LogisticRegression(**parameters).fit(*chunked(X, y, s))
    with pytest.warns(ConvergenceWarning):
        LogisticRegression(max_iter=3, **parameters).fit(*chunked(X, y, s), checkpoint=path)
    rest = LogisticRegression(**parameters).fit(*chunked(X, y, s), checkpoint=path)
    np.testing.assert_array_equal(rest.coef_, whole.coef_)
    assert rest.n_iter_ == whole.n_iter_
    with pytest.raises(gpu_logreg.errors.CheckpointError, match="is of other data"):
        LogisticRegression(**parameters).fit(*chunked(X + 1.0, y, s), checkpoint=path)

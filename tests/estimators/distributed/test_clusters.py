"""Fits on the workers of a real scheduler, in processes of their own, are those of the rows in memory."""

from __future__ import annotations

import contextlib
import pickle
import re

import numpy as np
import pytest
from scipy import sparse

import gpu_logreg
from gpu_logreg.errors import ClusterError, DataError

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")
pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed: pip install 'gpu-logreg[dask]'")

import itertools

import dask
import dask.array as da
import dask.dataframe as dd
import pandas as pd
from distributed import Client, LocalCluster
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.dask import LogisticRegression

N, D = 600, 4
CHUNKS = (150, 1, 249, 200)


@contextlib.contextmanager
def started(n_workers):
    """A client of a scheduler with some workers, each in a process."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster, set_as_default=False) as found:
        yield found


def rows(n_classes=2, dtype=np.float64, n=N):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, D)).astype(dtype)
    logits = X @ rng.standard_normal((D, n_classes)) + rng.gumbel(size=(n, n_classes))
    return X, np.argmax(logits, axis=1), rng.exponential(size=n) + 0.1


def chunked(X, y, s=None, chunks=CHUNKS):
    X = da.from_array(X, chunks=(chunks, -1))
    return X, da.from_array(y, chunks=(chunks,)), None if s is None else da.from_array(s, chunks=(chunks,))


def close(model, local, atol=1e-8):
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=0, atol=atol)
    np.testing.assert_allclose(model.intercept_, local.intercept_, rtol=0, atol=atol)
    assert model.coef_.dtype == local.coef_.dtype
    np.testing.assert_array_equal(model.classes_, local.classes_)
    assert model.classes_.dtype == local.classes_.dtype
    assert model.converged_


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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES)
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
    X, y, s = rows(3, np.float32, 20_000)
    digests = []
    for n_workers in (2, n_others):
        with contextlib.nullcontext(client) if n_workers == 2 else started(n_workers) as one:
            for parameters in ({}, {"l1_ratio": 1.0, "C": 0.01}, {"solver": "lbfgs"}):
                model = LogisticRegression(client=one, **parameters).fit(*chunked(X, y, s, (6000, 1000, 9000, 4000)))
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


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_answers_are_lazy_and_those_of_the_local_model(client, method, n_classes):
    X, y, _ = rows(n_classes)
    model = LogisticRegression(client=client).fit(*chunked(X, y))
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


# ---- partitions of every kind


def fit_both(client, blocks, **parameters):
    """A fit of blocks (X, y, s), and of all their rows in memory."""
    arrays = [np.concatenate([block[k] for block in blocks if len(block[0])]) for k in range(3)]
    model = LogisticRegression(client=client, tol=1e-11, **parameters).fit([dask.delayed(block) for block in blocks])
    return model, gpu_logreg.LogisticRegression(tol=1e-11, **parameters).fit(*arrays)


def cut(X, y, s, *edges):
    edges = [0, *edges, len(X)]
    return [(X[a:b], y[a:b], s[a:b]) for a, b in itertools.pairwise(edges)]


def test_empty_partitions_and_unknown_sizes(client):
    X, y, s = rows()
    close(*fit_both(client, cut(X, y, s, 0, 100, 100, 600)))
    dX, dy, ds = chunked(X, y, s)
    kept = da.from_array(X[:, 0], chunks=(CHUNKS,)) > 0.5
    model = LogisticRegression(client=client, tol=1e-11).fit(dX[kept], dy[kept], ds[kept])
    at = X[:, 0] > 0.5
    close(model, gpu_logreg.LogisticRegression(tol=1e-11).fit(X[at], y[at], s[at]))


def test_a_class_that_most_partitions_lack(client):
    X, y, s = rows(3)
    order = np.argsort(y, kind="stable")
    blocks = cut(X[order], y[order], s[order], 40, 80, 550)
    close(*fit_both(client, blocks))
    close(*fit_both(client, blocks, class_weight="balanced"))
    close(
        *fit_both(client, blocks, class_weight={0: 0.0, 1: 1.0, 2: 2.0}, fit_intercept=False)
    )  # partitions without any weight


def test_partitions_of_other_types(client):
    X, y, s = rows()
    X = np.rint(4.0 * X)
    first, second, third, fourth = cut(X, y, s, 150, 300, 450)
    blocks = [
        (first[0].astype(np.float32), first[1].astype(np.int8), first[2].astype(np.float32).astype(np.float64)),
        (second[0].astype(np.int16), second[1], np.rint(second[2] + 1.0).astype(np.int32)),
        (np.asfortranarray(third[0]), third[1].astype(np.float64), third[2]),
        (fourth[0], fourth[1].astype(bool).astype(np.uint8), np.zeros(150)),
    ]
    close(*fit_both(client, blocks), atol=1e-6)  # float32 sums of a quarter of the rows
    blocks[0] = (first[0], *blocks[0][1:])
    close(*fit_both(client, blocks))


def test_one_partition_and_many(client):
    X, y, s = rows(n=2000)
    close(*fit_both(client, cut(X, y, s)))
    model = LogisticRegression(client=client, tol=1e-11).fit(*chunked(X, y, s, (10,) * 200))
    close(model, gpu_logreg.LogisticRegression(tol=1e-11).fit(X, y, s))


def test_rows_that_need_scores(client):
    rng = np.random.default_rng(4)
    X, y, _ = rows(n=20_000)
    X[:, 0] = 0.0
    X[rng.integers(len(X), size=25), 0] = 50.0  # a column that samples hardly see
    parameters = {"tol": 1e-10, "random_state": 0}
    model = LogisticRegression(client=client, **parameters).fit(*chunked(X, y, None, (9000, 11_000)))
    close(model, gpu_logreg.LogisticRegression(**parameters).fit(X, y))


# ---- refusals, each in one line


def refused(client, message, X, y=None, s=None, error=DataError, **parameters):
    with pytest.raises(error, match=message) as caught:
        LogisticRegression(client=client, **parameters).fit(X, y, s)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n", [100, 20_000])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_partition(client, bad, n):
    X, y, _ = rows(n=n)
    X[n - 3, 2] = bad
    name = "NaN" if np.isnan(bad) else "infinity"
    refused(
        client, f"^partition 1: Input X contains {name} at row {n // 2 - 3}, column 2;", *chunked(X, y, None, n // 2)
    )


def test_it_is_named_where_its_rows_count_for_nothing(client):
    X, y, s = rows()
    s[-200:] = 0.0
    X[-1, 0] = np.nan
    refused(client, "^partition 3: Input X contains NaN at row 199, column 0", *chunked(X, y, s))


def test_what_does_not_fit_together(client):
    X, y, s = rows()
    dX, dy, ds = chunked(X, y, s)
    refused(client, "^X has 4 partitions and y has 2; rechunk or repartition one as the other$", dX, dy.rechunk(300))
    refused(client, "^X has 4 partitions and sample_weight has 1;", dX, dy, ds.rechunk(-1))
    refused(client, "^y is missing", dX)
    refused(client, "^X is no collection of Dask's but ndarray; use gpu_logreg.LogisticRegression", X, y)
    refused(client, "^y is no collection of Dask's but ndarray", dX, y)
    refused(client, "^the partitions hold no rows", dX[:0], dy[:0])
    refused(client, "^partition 0: .*inconsistent numbers of samples", [dask.delayed((X, y[:-1]))])
    refused(client, "^partition 1: X has 3 columns, and partition 0 has 4$", cut_delayed((X, y), (X[:, :3], y)))
    refused(client, "^partition 0: the block is no tuple of rows and labels", [dask.delayed(X)])
    refused(client, "^partition 1: sample_weight", cut_delayed((X, y, s), (X, y, -s)))
    refused(client, "^the weights of all rows are zero", cut_delayed((X, y, 0.0 * s)))
    refused(client, "only one class: 1", cut_delayed((X, 0 * y + 1), (X, 0 * y + 1)))
    refused(client, "^partition 1: y holds 'no', and blocks before it 0", cut_delayed((X, y), (X, np.full(N, "no"))))
    refused(client, "^partition 0: .*text", cut_delayed((X.astype(str).astype(object) + "text", y)))
    refused(client, "^solver='sgd' steps over rows in random order", dX, dy, solver="sgd")
    refused(client, "^delayed blocks bring their own weights", [dask.delayed((X, y))], None, ds)
    refused(client, "^X is a sequence that holds no delayed blocks", [X, X])


def cut_delayed(*blocks):
    return [dask.delayed(block) for block in blocks]


def test_a_fit_that_is_refused_leaves_no_model(client):
    X, y, _ = rows()
    model = LogisticRegression(client=client).fit(*chunked(X, y))
    X[0, 0] = np.nan
    with pytest.raises(DataError, match="partition 0"):
        model.fit(*chunked(X, y))
    assert not hasattr(model, "coef_")


def test_without_a_cluster():
    with pytest.raises(ClusterError, match=r"^no cluster is connected; make a client first"):
        LogisticRegression().fit(*chunked(*rows()[:2]))


@pytest.mark.parametrize("estimator", [gpu_logreg.LogisticRegression, gpu_logreg.MLPClassifier])
def test_plain_estimators_say_where_to_go(estimator):
    X, y, _ = rows()
    dX, dy, _ = chunked(X, y)
    told = re.escape("is a collection of Dask's (Array); use the estimator of this name in gpu_logreg.dask, or give")
    with pytest.raises(DataError, match=f"^X {told}"):
        estimator().fit(dX, dy)
    with pytest.raises(DataError, match=f"^y {told}"):
        estimator().fit(X, dy)
    with pytest.raises(DataError, match=r"^X is a collection of Dask's"):
        estimator().fit([dask.delayed(X)], y)
    with pytest.raises(DataError, match=r"^sample_weight is a collection of Dask's"):
        gpu_logreg.LogisticRegression().fit(X, y, dy)
    model = gpu_logreg.LogisticRegression().fit(X, y)
    with pytest.raises(DataError, match=f"^X {told}"):
        model.predict(dX)

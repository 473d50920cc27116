"""What cannot be fitted on a cluster is refused in one line, which names the partition."""

import gc
import re
import time

import numpy as np
import pytest

import gpu_logreg
from gpu_logreg.errors import ClusterError, DataError

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")
pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed: pip install 'gpu-logreg[dask]'")

import dask
import dask.dataframe as dd
import pandas as pd
from chunked_rows import N, chunked, rows
from distributed import Client
from scipy import sparse
from sklearn.exceptions import NotFittedError

from gpu_logreg.dask import LogisticRegression, MLPClassifier


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
    refused(client, "^X is no collection of Dask's but ndarray; use the estimator of this name in gpu_logreg", X, y)
    refused(client, "^y is no collection of Dask's but ndarray", dX, y)
    refused(client, "^the partitions hold no rows", dX[:0], dy[:0])
    refused(
        client, "^partition 0: .*inconsistent numbers of samples.*; rechunk or repartition", [dask.delayed((X, y[:-1]))]
    )
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
    of_both = cut_delayed((X, y), (sparse.csr_array(X), y))
    refused(client, "^partition 1 holds sparse rows, and partition 0 dense ones; give all in one form$", of_both)


def test_what_has_other_shapes(client):
    """Labels of a partition without rows are not passed over, and values are not shown."""
    X, y, s = rows()
    dX, dy, _ = chunked(X, y, s)
    told = "^partition 1: .*inconsistent numbers of samples: X has 0 rows, and y has 5 labels; rechunk"
    refused(client, told, cut_delayed((X, y), (X[:0], y[:5])))
    refused(
        client, "^partition 0: Expected 2D array, got 1D array instead: X is of type ndarray; [^0-9]*$", dX[:, 0], dy
    )
    model = LogisticRegression(client=client).fit(dX, dy)
    for answer in (lambda: model.predict(dX[:, 0]), lambda: model.score(dX[:, 0], dy)):
        with pytest.raises(DataError, match="Expected 2D array, got 1D array instead"):
            answer()
    with pytest.raises(ValueError, match="X has 3 features, but LogisticRegression is expecting 4"):
        model.predict(dX[:, :3])  # at once


def test_answers_that_cannot_be_given_name_the_partition(client):
    X, y, s = rows()
    dX, dy, ds = chunked(X, y, s)
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=4)
    model = LogisticRegression(client=client).fit(dX, dy)
    of_table = LogisticRegression(client=client).fit(frame, dy.rechunk(150))
    bad = X.copy()
    bad[399, 1] = np.nan
    dbad, *_ = chunked(bad, y)
    asked = [
        model.predict_proba(dbad),
        of_table.predict(dd.from_pandas(pd.DataFrame(bad), npartitions=4)),
        model.predict([dask.delayed(X), dask.delayed(X), dask.delayed(bad)])[2],
    ]
    for lazy in asked:
        with pytest.raises(DataError, match=r"^partition 2: Input X contains NaN at row \d+"):
            client.compute(lazy).result()
    for message, arguments in {
        "^partition 2: Input X contains NaN at row 248": (dbad, dy),
        "^partition 0: .*inconsistent numbers of samples": (dX, dy[::-1]),
        "^partition 0: sample_weight holds a negative weight": (dX, dy, -ds),
        "^the weights of all rows are zero$": (dX, dy, 0.0 * ds),
        "^the partitions hold no rows to score$": (dX[:0], dy[:0]),
        "^X is no collection of Dask's but ndarray": (X, dy),
        "^y is no collection of Dask's but ndarray": (dX, y),
    }.items():
        with pytest.raises(DataError, match=message):
            model.score(*arguments)


def test_clients_and_devices_that_cannot_be_used(client):
    X, y, _ = rows()
    some = chunked(X, y)
    for device in ("cuda:all", ["cuda:0"]):
        for estimator in (LogisticRegression, MLPClassifier):
            with pytest.raises(DataError, match="is for rows of one process; on a cluster start a worker for each GPU"):
                estimator(client=client, device=device).fit(*some)
    refused(client.scheduler.address, "^client='tcp://.*' is no distributed.Client", *some)
    with Client(client.scheduler.address, set_as_default=False) as other:
        pass
    refused(other, "^the client is closed; make a new one$", *some, error=ClusterError)
    with pytest.raises(NotFittedError):
        LogisticRegression(client=client).predict(some[0])
    with pytest.raises(NotFittedError):
        LogisticRegression(client=client).to_local()
    with pytest.raises(DataError, match=r"^a LogisticRegression cannot be saved; give its to_local\(\)$"):
        gpu_logreg.save_model(LogisticRegression(client=client).fit(*some), "model.safetensors")


def test_a_fit_that_is_refused_leaves_nothing_on_the_workers(client):
    """The client keeps the error of a task for as long as somebody holds its future."""
    X, y, _ = rows()

    def refuse():
        with pytest.raises(DataError):
            LogisticRegression(client=client).fit(*chunked(X, y, None, (400, 200))[:2], 2 * [dask.delayed(y)])
        with pytest.raises(DataError, match="sample_weight"):
            LogisticRegression(client=client).fit(cut_delayed((X, y, y[:9])))

    before = set(client.futures)
    refuse()
    for _ in range(50):  # they are let go of by the thread of the client, and then by a collection of cycles
        gc.collect()
        if set(client.futures) <= before:
            break
        time.sleep(0.02)
    assert set(client.futures) <= before


def test_a_fit_within_a_task_leaves_its_thread_to_others(client):
    X, y, _ = rows()
    futures = [client.submit(coefficients, X, y, k) for k in range(2)]  # one on every worker, and so in every thread
    local = gpu_logreg.LogisticRegression(tol=1e-11).fit(X, y)
    for future in futures:
        coef, score = future.result(timeout=60)
        np.testing.assert_allclose(coef, local.coef_, rtol=0, atol=1e-8)
        assert score == pytest.approx(local.score(X, y), rel=1e-14)


def coefficients(X, y, _k):
    blocks = cut_delayed((X[:300], y[:300]), (X[300:], y[300:]))
    model = LogisticRegression(tol=1e-11).fit(blocks)
    return model.coef_, model.score(blocks)


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
    with pytest.raises(DataError, match=r"give y\.compute\(\)$"):
        estimator().fit(X, dy)
    with pytest.raises(DataError, match=r"^X is a collection of Dask's"):
        estimator().fit([dask.delayed(X)], y)
    with pytest.raises(DataError, match=r"^sample_weight is a collection of Dask's"):
        gpu_logreg.LogisticRegression().fit(X, y, dy)
    model = gpu_logreg.LogisticRegression().fit(X, y)
    with pytest.raises(DataError, match=f"^X {told}"):
        model.predict(dX)

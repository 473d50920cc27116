"""What cannot be fitted on a cluster is refused in one line, which names the partition."""

import re

import numpy as np
import pytest

import gpu_logreg
from gpu_logreg.errors import ClusterError, DataError

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")
pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed: pip install 'gpu-logreg[dask]'")

import dask
from chunked_rows import N, chunked, rows
from scipy import sparse

from gpu_logreg.dask import LogisticRegression


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
    of_both = cut_delayed((X, y), (sparse.csr_array(X), y))
    refused(client, "^partition 1 holds sparse rows, and partition 0 dense ones; give all in one form$", of_both)


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

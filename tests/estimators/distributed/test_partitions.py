"""Partitions of every kind: empty ones, many, one; of other types, without some classes, with and without weights."""

import itertools

import numpy as np
import pytest
from scipy import sparse

import gpu_logreg

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")
pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed: pip install 'gpu-logreg[dask]'")

import dask
import dask.array as da
from chunked_rows import CHUNKS, chunked, close, rows

from gpu_logreg.dask import LogisticRegression
from gpu_logreg.estimators.distributed.looks import Options
from gpu_logreg.estimators.distributed.parts import prepare_parts
from gpu_logreg.rows.part import shape_of


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


@pytest.mark.parametrize("n_parts", [1, 20, pytest.param(1000, marks=pytest.mark.slow)])
def test_one_partition_and_many(client, n_parts):
    X, y, s = rows(n=10 * n_parts + 100)
    sizes = (100 + 10 * n_parts,) if n_parts == 1 else (10,) * (n_parts + 10)
    model = LogisticRegression(client=client, tol=1e-11).fit(*chunked(X, y, s, sizes))
    close(model, gpu_logreg.LogisticRegression(tol=1e-11).fit(X, y, s))


def test_partitions_with_and_without_weights(client):
    X, y, s = rows()
    s[150:400] = 1.0
    blocks = [dask.delayed((X[:150], y[:150], s[:150])), dask.delayed((X[150:400], y[150:400]))]
    blocks.append(dask.delayed((X[400:], y[400:], s[400:])))
    model = LogisticRegression(client=client, tol=1e-11).fit(blocks)
    close(model, gpu_logreg.LogisticRegression(tol=1e-11).fit(X, y, s))


def test_delayed_blocks_in_every_form(client):
    """One, several, and those of an array; answers are delayed too."""
    X, y, _ = rows()
    local = gpu_logreg.LogisticRegression(tol=1e-11).fit(X, y)
    dX, dy, _ = chunked(X, y)
    one, several = dask.delayed((X, y)), [dask.delayed((some, labels)) for some, labels, _ in cut(X, y, y, 200)]
    for blocks in ((one,), (several,), (dask.delayed(X), dask.delayed(y)), (dX.to_delayed(), dy.to_delayed())):
        close(LogisticRegression(client=client, tol=1e-11).fit(*blocks), local)
    model = LogisticRegression(client=client, tol=1e-11).fit(several)
    assert model.score(one) == local.score(X, y)
    answers = client.compute([model.predict(dask.delayed(X)), *model.predict(several)])
    np.testing.assert_array_equal(answers[0].result(), local.predict(X))
    np.testing.assert_array_equal(np.concatenate([answer.result() for answer in answers[1:]]), local.predict(X))


def test_sparse_partitions_of_other_types(client):
    X, y, s = rows()
    X = np.where(np.abs(X) > 0.7, np.rint(4.0 * X), 0.0)
    forms = sparse.csr_matrix, sparse.csc_array, lambda X: sparse.csr_array(X.astype(np.float32))
    cuts = [slice(0, 200), slice(200, 350), slice(350, 600)]
    blocks = [dask.delayed((form(X[at]), y[at], s[at])) for form, at in zip(forms, cuts, strict=True)]
    model = LogisticRegression(client=client, tol=1e-11).fit(blocks)
    close(model, gpu_logreg.LogisticRegression(tol=1e-11).fit(sparse.csr_array(X), y, s))


def test_rows_that_need_scores(client):
    rng = np.random.default_rng(4)
    X, y, _ = rows(n=20_000)
    X[:, 0] = 0.0
    X[rng.integers(len(X), size=25), 0] = 50.0  # a column that samples hardly see
    parameters = {"tol": 1e-10, "random_state": 0}
    model = LogisticRegression(client=client, **parameters).fit(*chunked(X, y, None, (9000, 11_000)))
    close(model, gpu_logreg.LogisticRegression(**parameters).fit(X, y))


def test_results_of_reads_do_not_stay(client):
    """But of the last ones, whose release may be under way."""
    X, y, _ = rows()
    blocks = [(dask.delayed(X[a:b]), dask.delayed(y[a:b]), None) for a, b in itertools.pairwise([0, 100, 400, 600])]
    prepared, _ = prepare_parts(client, blocks, None, Options())

    def held():
        client.run_on_scheduler(lambda: None)  # after what was sent before
        return sum(str(key).startswith("_call") for key in client.run_on_scheduler(all_keys))

    counts = []
    for _ in range(6):
        prepared.data.parts.each(shape_of)
        counts.append(held())
    assert max(counts) <= 2 * len(client.nthreads())


def all_keys(dask_scheduler):
    return list(dask_scheduler.tasks)

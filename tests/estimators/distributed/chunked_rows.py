"""Rows in memory and the same in chunks, and what a fit on a cluster is held to."""

import dask.array as da
import numpy as np

N, D = 600, 4
CHUNKS = (150, 1, 249, 200)


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

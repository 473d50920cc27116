"""The objective on a sample: standardised coordinates, value, gradient and Hessian, the metric, and row scores.

In raw coordinates everything is compared with the objective of the whole data, restricted to the rows of the sample.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from central_differences import gradient
from hypothesis import given
from hypothesis import strategies as st
from naive_sums import naive_objective

from gpu_logreg.arrays.block_sizes import BlockSize
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu.scores import compiled_row_scores
from gpu_logreg.passes.reference.curvature import curvature_sums
from gpu_logreg.passes.reference.scores import row_scores
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.coordinates import Coordinates, standardised
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.sampling import draw

CPU = Device("cpu")
N, D = 600, 5
L2 = 0.03
# What float32 rows may cost: a few roundings of logits of size ten.
TOLERANCE = {"float32": 3e-5, "float64": 1e-10}

intercepts = pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
weighted = pytest.mark.parametrize("has_weights", [False, True], ids=["plain", "weighted"])


def rows_of(dtype: str, mean: float = 2.0, n: int = N):
    """Rows with columns about ``mean`` and of scales 0.1 to 100 and more, labels that depend on them, weights."""
    rng = np.random.default_rng(11)
    scale = np.geomspace(0.1, 100.0, D) * max(1.0, mean / 1e4)  # float32 has steps of 0.06 at 1e6
    Z = rng.standard_normal((n, D))
    X = (Z * scale + mean * np.array([1, -1, 0, 0.5, 1])).astype(dtype)
    y = (rng.logistic(size=n) < Z @ np.linspace(-1, 1, D) + 0.3).astype(np.uint8)
    s = rng.exponential(size=n) * (rng.random(n) < 0.8)
    return X, y, s


def objective_of(X, y, s, fit_intercept: bool, l2: float = L2) -> Objective:
    dataset = ResidentDataset.from_arrays(X, y, s, CPU)
    return Objective(dataset, choose("reference", dataset.rows, CPU), l2, fit_intercept)


def sampler_of(X, y, s, fit_intercept: bool, seed: int = 0, l2: float = L2) -> Sampler:
    return Sampler(objective_of(X, y, s, fit_intercept, l2), np.random.default_rng(seed))


def raw_hessian(X, s, params, l2: float, fit_intercept: bool) -> np.ndarray:
    """The Hessian by ``[w, b]``, as in a textbook."""
    x = np.asarray(X, np.float64)
    X1 = np.column_stack([x, np.ones(len(x))]) if fit_intercept else x
    p = 1.0 / (1.0 + np.exp(-(X1 @ params)))
    s = np.ones(len(x)) if s is None else s
    return X1.T @ (X1 * (s * p * (1 - p))[:, None]) / s.sum() + np.diag([l2] * X.shape[1] + [0.0] * fit_intercept)


def some_phi(p: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(p) / 2


# ---- coordinates


@intercepts
@given(seed=st.integers(0, 2**32 - 1))
def test_coordinates_there_and_back(fit_intercept, seed):
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal(D) * 10 if fit_intercept else np.zeros(D)
    coordinates = Coordinates(mean, 10.0 ** rng.uniform(-3, 3, D), fit_intercept)
    params = rng.standard_normal(D + fit_intercept)
    phi = coordinates.from_params(params)
    np.testing.assert_allclose(coordinates.to_params(phi), params, rtol=1e-10, atol=1e-8)
    # The same logits, ...
    X = rng.standard_normal((7, D)) * coordinates.scale + mean
    z = X @ params[:D] + (params[D] if fit_intercept else 0.0)
    np.testing.assert_allclose(coordinates.rows(X) @ phi, z, rtol=1e-9, atol=1e-9 * (1 + np.abs(phi).max()))
    # ... and the same change of the value for any move: the gradients are dual to the parameters.
    grad = rng.standard_normal(D + fit_intercept)
    np.testing.assert_allclose(coordinates.grad_to_phi(grad) @ phi, grad @ params, rtol=1e-9, atol=1e-7)


@dtypes
@intercepts
@weighted
def test_columns_of_a_sample_are_standardised(dtype, fit_intercept, has_weights):
    X, y, s = rows_of(dtype)
    share = s if has_weights else np.ones(N)
    at = np.arange(0, N, 2)
    dataset = ResidentDataset.from_arrays(X, y, None, CPU)
    rows = standardised(dataset, at, share[at], fit_intercept)
    assert rows.U.dtype == dtype
    U = rows.U.astype(np.float64)
    tolerance = {"float32": 2e-6, "float64": 1e-12}[dtype]
    mean = np.average(X[at].astype(np.float64), axis=0, weights=share[at]) if fit_intercept else np.zeros(D)
    second = np.average((X[at].astype(np.float64) - mean) ** 2, axis=0, weights=share[at])
    np.testing.assert_allclose(rows.coordinates.mean, mean, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(rows.coordinates.scale, np.sqrt(second), rtol=10 * tolerance)
    np.testing.assert_allclose(rows.variance, second, rtol=20 * tolerance)
    np.testing.assert_allclose(np.average(U[:, :D] ** 2, axis=0, weights=share[at]), 1.0, rtol=30 * tolerance)
    a = share[at][:, None] * (X[at].astype(np.float64) - mean) ** 2
    np.testing.assert_allclose(rows.effective, a.sum(axis=0) ** 2 / (a**2).sum(axis=0), rtol=1e-4)
    if fit_intercept:
        np.testing.assert_array_equal(U[:, D], 1.0)
    assert rows.U.shape == (len(at), D + fit_intercept)
    # The coordinates say what was subtracted and divided by, to the last bit.
    np.testing.assert_allclose(
        (X[at] - rows.coordinates.mean) / rows.coordinates.scale, U[:, :D], rtol=tolerance, atol=tolerance
    )


@dtypes
@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e6, -1e30])
def test_a_constant_column_is_left_at_zero_and_at_a_scale_of_its_size(dtype, value):
    X, y, _ = rows_of(dtype)
    X[:, 2] = value
    dataset = ResidentDataset.from_arrays(X, y, None, CPU)
    share = np.random.default_rng(1).exponential(size=N)
    rows = standardised(dataset, np.arange(N), share, True)
    np.testing.assert_array_equal(rows.U[:, 2], 0.0)
    assert rows.coordinates.mean[2] == np.dtype(dtype).type(value)
    assert (rows.variance[2], rows.effective[2]) == (0.0, 0.0)
    # Far from zero gradients by it are rounding of the size of its values.
    scale = max(1.0, np.sqrt(np.finfo(dtype).eps) * abs(value))
    assert rows.coordinates.scale[2] == pytest.approx(scale, rel=1e-5)


def test_a_column_carried_by_few_rows_has_few_effective_rows():
    n = 2000
    X, y = np.random.default_rng(0).standard_normal((n, 3)), np.arange(n) % 2
    X[:, 1] = 0.0
    X[[5, 600, 1800], 1] = 1.0
    dataset = ResidentDataset.from_arrays(X, y.astype(np.uint8), None, CPU)
    effective = standardised(dataset, np.arange(n), np.ones(n), True).effective
    assert effective[1] == pytest.approx(3.0, rel=0.01)
    assert (effective[[0, 2]] > n / 4).all()  # a third for normal columns


def test_moments_of_a_large_sample_come_from_some_of_its_rows():
    n = 20_000  # more than twice the rows that moments are taken from
    X, y = np.random.default_rng(0).standard_normal((n, 2)) + 5.0, np.arange(n) % 2
    dataset = ResidentDataset.from_arrays(X, y.astype(np.uint8), None, CPU)
    rows = standardised(dataset, np.arange(n), np.ones(n), True)
    np.testing.assert_allclose(rows.coordinates.mean, 5.0, atol=0.1)
    np.testing.assert_allclose(rows.effective, n / 3, rtol=0.1)  # of the sample, not of those
    np.testing.assert_allclose(rows.U[:, :2], (X - rows.coordinates.mean) / rows.coordinates.scale, rtol=1e-10)


# ---- value, gradient, Hessian


@dtypes
@intercepts
@weighted
@pytest.mark.parametrize("mean", [2.0, 1e3, 1e6])
@pytest.mark.parametrize("m", [60, N])
def test_value_and_gradient_are_those_of_the_same_rows_in_raw_coordinates(dtype, fit_intercept, has_weights, mean, m):
    X, y, s = rows_of(dtype, mean)
    if not has_weights:
        s = None
    sample = sampler_of(X, y, s, fit_intercept).sample(m)
    at, weight = draw(y, m, np.random.default_rng(0), s)
    assert len(at) == sample.n_rows
    x, s_at = X[at].astype(np.float64), weight if s is None else weight * s[at]
    raw = objective_of(x, y[at], s_at, fit_intercept)
    phi = some_phi(D + fit_intercept)
    params = sample.coordinates.to_params(phi)
    tolerance = TOLERANCE[dtype] if dtype == "float32" else 1e-14 * (100 + mean)
    value, grad = sample(phi)
    raw_value, raw_grad = raw(params)
    assert value == pytest.approx(raw_value, rel=tolerance)
    size = np.abs(grad).max()
    np.testing.assert_allclose(grad, sample.coordinates.grad_to_phi(raw_grad), rtol=0, atol=100 * tolerance * size)
    C = 1.0 / (L2 * s_at.sum())
    naive = naive_objective(x, y[at], params, C=C, sample_weight=s_at, fit_intercept=fit_intercept)
    assert value == pytest.approx(naive, rel=tolerance)


@intercepts
@weighted
@pytest.mark.parametrize("m", [100, N])
def test_gradient_and_hessian_against_central_differences(fit_intercept, has_weights, m):
    X, y, s = rows_of("float64", 1e3)
    sample = sampler_of(X, y, s if has_weights else None, fit_intercept).sample(m)
    phi = some_phi(D + fit_intercept)
    np.testing.assert_allclose(sample(phi)[1], gradient(lambda q: sample(q)[0], phi), rtol=1e-8, atol=1e-10)
    by_differences = np.array([gradient(lambda q, j=j: sample(q)[1][j], phi) for j in range(len(phi))])
    H = sample.hessian(phi)
    np.testing.assert_allclose(H, by_differences, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(H, H.T, rtol=1e-14)
    assert H.dtype == np.float64
    # Standardised columns with the penalty of raw ones: l2 / scale**2, and none on the intercept.
    np.testing.assert_allclose(sample.penalty[:D], L2 / sample.coordinates.scale**2, rtol=1e-12)
    assert list(sample.penalty[D:]) == [0.0] * fit_intercept


@dtypes
@intercepts
@pytest.mark.parametrize("mean", [2.0, 1e3])
def test_hessian_is_that_of_raw_coordinates(dtype, fit_intercept, mean):
    X, y, s = rows_of(dtype, mean)
    sample = sampler_of(X, y, s, fit_intercept).sample(N + 1)
    phi = some_phi(D + fit_intercept)
    params = sample.coordinates.to_params(phi)
    T = np.array([sample.coordinates.to_params(e) for e in np.eye(len(phi))]).T
    wanted = T.T @ raw_hessian(X, s, params, L2, fit_intercept) @ T
    tolerance = 1e-5 if dtype == "float32" else 1e-15 * (1e5 + (10 * mean) ** 2)  # raw columns lose digits
    np.testing.assert_allclose(sample.hessian(phi), wanted, rtol=tolerance, atol=tolerance)
    exact = sample.hessian(phi, np.float64)
    np.testing.assert_allclose(exact, wanted, rtol=tolerance, atol=tolerance)


@dtypes
def test_the_hessian_does_not_depend_on_the_blocks_it_is_summed_in(dtype, monkeypatch):
    X, y, s = rows_of(dtype)
    sample = sampler_of(X, y, s, True).sample(N)
    phi = some_phi(D + 1)
    whole, value, grad = sample.hessian(phi), *sample(phi)
    monkeypatch.setattr("gpu_logreg.passes.reference.curvature.HESSIAN", BlockSize(1, 1))
    monkeypatch.setattr("gpu_logreg.objectives.sample._GRADIENT_BYTES", 1000, raising=False)
    eps = 10 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(sample.hessian(phi), whole, rtol=0, atol=eps)
    assert sample(phi)[0] == pytest.approx(value, rel=eps)
    np.testing.assert_allclose(sample(phi)[1], grad, rtol=0, atol=eps)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_thinned_samples_are_every_kth_row(k):
    X, y, s = rows_of("float64")
    sample = sampler_of(X, y, s, True).sample(N)
    thin = sample.thin(k)
    assert thin.n_rows == -(-sample.n_rows // k)
    np.testing.assert_array_equal(thin.rows.data.rows.X, sample.rows.data.rows.X[::k])
    np.testing.assert_array_equal(thin.rows.data.rows.y, sample.rows.data.rows.y[::k])
    np.testing.assert_array_equal(thin.rows.data.rows.sample_weight, sample.rows.data.rows.sample_weight[::k])
    assert thin.weight_total == pytest.approx(sample.rows.data.rows.sample_weight[::k].sum())
    assert thin.coordinates is sample.coordinates
    phi = some_phi(D + 1)
    z, s = thin.rows.data.rows.X @ phi, thin.rows.data.rows.sample_weight
    wanted = s @ (np.logaddexp(0, z) - thin.rows.data.rows.y * z) / s.sum() + 0.5 * phi @ (sample.penalty * phi)
    assert thin(phi)[0] == pytest.approx(wanted, rel=1e-13)


def test_a_sample_says_how_exact_it_is():
    for dtype in ("float32", "float64"):
        X, y, _ = rows_of(dtype)
        sample = sampler_of(X, y, None, True).sample(100)
        assert sample.rounding == sample.precision == np.finfo(dtype).eps
        assert sample.separable_below == 0.0


# ---- the metric


def inverse_times(X, s, params, l2: float, fit_intercept: bool, v) -> np.ndarray:
    """``H^-1 v`` by ``[w, b]`` with 80 digits: with means of 1e6, ``H`` has a condition beyond that of float64."""
    x = np.asarray(X, np.float64)
    X1 = np.column_stack([x, np.ones(len(x))]) if fit_intercept else x
    with mpmath.workdps(80):
        rows = [[mpmath.mpf(t) for t in row] for row in X1.tolist()]
        w = [mpmath.mpf(t) for t in params.tolist()]
        p = len(w)
        H = mpmath.matrix(p, p)
        for row, weight in zip(rows, s.tolist(), strict=True):
            q = 1 / (1 + mpmath.exp(-mpmath.fdot(row, w)))
            c = weight * q * (1 - q)
            for i in range(p):
                for j in range(i + 1):
                    H[i, j] += c * row[i] * row[j]
        total = mpmath.fsum(s.tolist())
        for i in range(p):
            for j in range(i + 1):
                H[i, j] /= total
                H[j, i] = H[i, j]
        for i in range(p - fit_intercept):
            H[i, i] += l2
        return np.array([float(t) for t in mpmath.lu_solve(H, mpmath.matrix(v.tolist()))])


@intercepts
@dtypes
@pytest.mark.parametrize("mean", [0.0, 1e3, 1e6])
def test_the_metric_is_the_inverse_of_the_hessian_in_raw_coordinates(dtype, fit_intercept, mean):
    X, y, s = rows_of(dtype, mean, n=60)
    s += 0.1
    sampler = sampler_of(X, y, s, fit_intercept)
    sample = sampler.sample(100)
    phi = some_phi(D + fit_intercept) / 5
    params = sample.coordinates.to_params(phi)
    # A gradient as they are: of rows with the residual r, so that dw - mean db is not all rounding.
    r = np.random.default_rng(3).standard_normal(len(X))
    x = X.astype(np.float64)
    v = np.append(x.T @ r, r.sum()) if fit_intercept else x.T @ r
    wanted = sample.coordinates.from_params(inverse_times(X, s, params, L2, fit_intercept, v))
    tolerance = {"float32": 1e-6, "float64": 1e-15 * (10 + mean)}[dtype]
    if (
        not fit_intercept
    ):  # nothing is centred: where the means are large, H is nearly singular, and its condition counts
        condition = np.linalg.cond(x / np.linalg.norm(x, axis=0)) ** 2
        assert condition < (1e10 if mean else 10.0)
        tolerance = 500 * tolerance if dtype == "float32" else 4.0 * np.finfo(np.float64).eps * (10.0 + condition)
    for metric in (sample.params_metric(phi), sampler.metric(100, params)):
        if metric.factor.added:  # nearly singular for float32: the noise of its gradients is added on purpose
            assert dtype == "float32"
            assert not fit_intercept
            assert mean >= 1e3
            continue
        found = sample.coordinates.from_params(metric.solve(v))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("block_rows", [1, 10_000])
def test_a_metric_of_many_blocks_is_that_of_one(block_rows, monkeypatch):
    X, y, s = rows_of("float64", 1e3)
    block_bytes = 8 * (D + 1) * block_rows
    monkeypatch.setattr("gpu_logreg.objectives.sampler.CURVATURE", BlockSize(block_bytes, block_bytes))
    sampler = sampler_of(X, y, s, True)
    sample = sampler.sample(N)
    phi = some_phi(D + 1)
    metric = sampler.metric(N, sample.coordinates.to_params(phi))
    v = np.linspace(-1, 1, D + 1)
    np.testing.assert_allclose(metric.solve(v), sample.params_metric(phi).solve(v), rtol=1e-9)


def test_nearly_collinear_float32_columns_are_summed_again_in_float64():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((2000, 3))
    X = np.hstack([Z, Z[:, :1] + 1e-4 * rng.standard_normal((2000, 1))]).astype(np.float32)
    y = (rng.random(2000) < 0.5).astype(np.uint8)
    sampler = sampler_of(X, y, None, True, l2=0.0)
    sampler._objective.widen = lambda: False  # as if there were more rows, of which float32 is kept
    sample = sampler.sample(2000)
    phi = np.zeros(5)
    before = sampler._objective.reads.total
    metrics = sample.params_metric(phi), sampler.metric(2000, sample.coordinates.to_params(phi))
    assert sampler._objective.reads.total - before == pytest.approx(4.0)  # both walked the rows twice
    H = raw_hessian(X, None, np.zeros(5), 0.0, True)
    assert np.linalg.cond(H) > 1e8  # more than float32 sums can tell
    # Flatter directions than float32 gradients can tell get the curvature of their noise; all else is exact.
    in_phi = sample.hessian(phi, np.float64)
    eps = float(np.finfo(np.float32).eps)
    for metric in metrics:
        assert metric.factor.added == eps
        inverse = np.array([metric.factor.solve(e) for e in np.eye(5)])
        ratios = np.linalg.eigvals(inverse @ (in_phi + eps * np.diag(np.diag(in_phi))))
        np.testing.assert_allclose(ratios, 1.0, atol=0.01)


# ---- the sampler


def test_walks_over_samples_count_with_their_share():
    X, y, _ = rows_of("float64")
    sampler = sampler_of(X, y, None, True)
    objective = sampler._objective
    sample = sampler.sample(150)
    assert not sampler.irregular
    assert objective.reads.total == pytest.approx(150 / N)
    phi = some_phi(D + 1)
    sample(phi)
    assert objective.reads.total == pytest.approx(2 * 150 / N)
    sample.hessian(phi)
    assert objective.reads.total == pytest.approx(3 * 150 / N)
    sample.thin(3)(phi)
    assert objective.reads.total == pytest.approx((3 * 150 + 50) / N)
    sampler.metric(300, sample.coordinates.to_params(phi))
    assert objective.reads.total == pytest.approx((3 * 150 + 50 + 300) / N)


def test_a_sample_tells_the_objective_where_the_columns_lie():
    X, y, _ = rows_of("float32", 1e3)
    sampler = sampler_of(X, y, None, True)
    sample = sampler.sample(300)
    np.testing.assert_array_equal(sampler._objective.centre, sample.coordinates.mean)
    np.testing.assert_array_equal(sampler._objective.spread, sample.coordinates.scale)
    assert (sampler.n_rows, sampler.n_params) == (N, D + 1)


@weighted
def test_rows_are_scored_where_columns_are_carried_by_few_and_the_sample_holds_them_all(has_weights):
    n, hits = 20_000, 4
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((n, 6)), (np.arange(n) % 2).astype(np.uint8)
    X[:, 4:] = 0.0
    carriers = rng.choice(n, (2, hits), replace=False)
    X[carriers[0], 4] = X[carriers[1], 5] = 1.0
    s = (0.5 + rng.random(n)) * (rng.random(n) < 0.7) if has_weights else None
    if has_weights:
        s[carriers.ravel()] = 1.5
    for seed in range(5):
        sampler = sampler_of(X, y, s, True, seed=seed)
        sample = sampler.sample(1000)
        assert sampler.irregular
        assert sampler._objective.reads.total == pytest.approx(1.0 + 2 * 1000 / n, rel=0.01)
        for column in (4, 5):
            raw = (
                sample.rows.data.rows.X[:, column] * sample.coordinates.scale[column] + sample.coordinates.mean[column]
            )
            carried = np.isclose(raw, 1.0)
            assert carried.sum() == hits
            wanted = np.ones(hits) if s is None else s[X[:, column] == 1.0]
            np.testing.assert_allclose(sample.rows.data.rows.sample_weight[carried].sum(), wanted.sum())
        assert (sample.rows.data.rows.sample_weight > 0.0).all()
        assert abs(sample.weight_total / (n if s is None else s.sum()) - 1) < 0.05


@weighted
def test_a_sample_of_all_rows_that_have_a_weight_is_not_drawn_again(has_weights):
    X, y, s = rows_of("float64")
    X[:, 1] = 0.0
    X[np.argmax(s), 1] = 1.0
    sampler = sampler_of(X, y, s if has_weights else None, True)
    present = np.count_nonzero(s) if has_weights else N
    assert sampler.sample(N).n_rows == present
    assert sampler._objective.reads.total == pytest.approx(present / N)
    assert sampler.complete
    sampler.sample(N // 2)
    assert not sampler.complete


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_of_the_sample_that_is_not_finite_is_named(bad):
    X, y, _ = rows_of("float64")
    X[7, 3] = bad
    kind = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(DataError, match=f"Input X contains {kind} at row 7, column 3; remove or impute it"):
        sampler_of(X, y, None, True).sample(N)


# ---- the passes behind it


@dtypes
def test_curvature_sums_against_the_textbook(dtype):
    rng = np.random.default_rng(0)
    U, z = rng.standard_normal((200, 4)).astype(dtype), (20 * rng.standard_normal(200)).astype(dtype)
    s = rng.exponential(size=200)
    p = 1.0 / (1.0 + np.exp(-z.astype(np.float64)))
    wanted = sum(s[i] * p[i] * (1 - p[i]) * np.outer(U[i], U[i].astype(np.float64)) for i in range(200))
    found = curvature_sums(U, curvature(z), s)
    assert found.dtype == dtype
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@dtypes
@pytest.mark.parametrize("score", [row_scores, compiled_row_scores])
def test_row_scores_against_a_loop(score, dtype):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((50, 4)).astype(dtype) + np.array([0, 5, -3, 1], dtype)
    mean, inverse = X.mean(axis=0).astype(np.float64), np.array([1.0, 0.25, 4.0, 0.0])
    wanted = [sum((x - mean) ** 2 * inverse) for x in X.astype(np.float64)]
    scores = score(Rows(X, np.zeros(50), None), mean, inverse, 1e9)
    np.testing.assert_allclose(scores, wanted, rtol=1e-5 if dtype == "float32" else 1e-13)


@dtypes
@pytest.mark.parametrize("score", [row_scores, compiled_row_scores])
def test_any_other_value_in_a_column_that_looked_constant_is_unseen(score, dtype):
    X = np.array([[1.0, 7.0, 0.0], [2.0, 7.0, 0.0], [3.0, 7.5, 0.0], [4.0, 6.9, -1e-30]], dtype)
    mean, inverse = np.array([2.0, 7.0, 0.0]), np.array([0.5, np.nan, np.nan])
    kept = inverse.copy()
    scores = score(Rows(X, np.zeros(4), None), mean, inverse, 100.0)
    np.testing.assert_allclose(scores, [0.5, 0.0, 0.5 + 100.0, 2.0 + 200.0], rtol=1e-6)
    np.testing.assert_array_equal(inverse, kept)


@dtypes
def test_scores_of_a_data_set_are_those_of_its_rows_in_order(dtype, monkeypatch):
    X, y, _ = rows_of(dtype)
    dataset = ResidentDataset.from_arrays(X, y, None, CPU)
    mean, inverse = X.mean(axis=0).astype(np.float64), 1.0 / X.var(axis=0).astype(np.float64)
    whole = row_scores(dataset.rows, mean, inverse, 0.0)
    for engine in ("reference", "cpu"):
        monkeypatch.setattr(f"gpu_logreg.passes.{engine}.engine.SCORES", BlockSize(1000, 1000))
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for impl in ("reference", "cpu"):
        scores = choose(impl, dataset.rows, CPU).scores(dataset, mean, inverse, 0.0)
        np.testing.assert_allclose(scores, whole, rtol=tolerance)
    assert whole.mean() == pytest.approx(D, rel=1e-3)


def test_rows_of_integers_are_scored_in_the_dtype_of_the_pass():
    X = np.arange(12, dtype=np.uint8).reshape(6, 2)
    dataset = ResidentDataset.from_arrays(X, np.arange(6) % 2, None, CPU)
    engine = choose("reference", dataset.rows, CPU)
    scores = engine.scores(dataset, np.array([5.0, 6.0]), np.array([1.0, 2.0]), 0.0)
    np.testing.assert_allclose(scores, (X[:, 0] - 5.0) ** 2 + 2 * (X[:, 1] - 6.0) ** 2)


def test_a_sample_for_a_hessian_alone_makes_no_gradient_pass():
    sampler = sampler_of(*rows_of("float32"), True)
    sample = sampler.sample(N // 2)
    sample.damped_hessian(np.zeros(D + 1))
    assert "gradient_pass" not in vars(sample)
    sample(np.zeros(D + 1))
    assert vars(sample)["gradient_pass"] is sample.gradient_pass

"""Whole fits on device arrays: on the stand-in for CuPy everywhere, and on a GPU where there is one."""

from __future__ import annotations

import itertools

import fake_cupy
import kernel_host
import numpy as np
import pytest
from sweeps import every_other, thinned

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.cholesky import Factor, cholesky
from gpu_logreg.arrays.device import cuda_problem, import_cupy
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import dense as cuda

N, D = 6000, 12


@pytest.fixture(params=["fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def cupy(request, monkeypatch):
    if request.param == "cupy":
        if cuda_problem():
            pytest.skip(cuda_problem())
        yield import_cupy()
        return
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    caches = cuda._kernels, cuda_multinomial._kernels, cuda_multinomial._most_shared
    for cache in caches:
        cache.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(params=[True, False], ids=["factored on the device", "factored on the host"])
def factored(request, monkeypatch):
    monkeypatch.setattr("gpu_logreg.passes.reference.curvature.DEVICE_FACTOR_P", 2 if request.param else 10**6)


def problem(kind: str, dtype: str):
    """Rows, labels and weights."""
    rng = np.random.default_rng(8)
    X = rng.standard_normal((N, D))
    w = rng.standard_normal(D)
    s = None
    y = rng.logistic(size=N) < X @ w - 6.0 if kind == "rare class" else rng.logistic(size=N) < X @ w
    if kind == "rare columns":
        X[:, 6:] = 0.0
        for j in range(6, D):
            X[rng.choice(N, 6, replace=False), j] = 1.0
    if kind == "far from zero":
        X += 1e5
    if kind == "weights":
        s = rng.exponential(size=N) * (rng.random(N) < 0.8)
    if kind == "collinear":
        X[:, 6:] = X[:, :6] + 1e-4 * X[:, 6:]
    return X.astype(dtype), y.astype(np.int64), s


@pytest.mark.usefixtures("factored")
@pytest.mark.parametrize(
    ("kind", "dtype"),
    thinned(
        itertools.product(["plain", "weights", "rare columns"], ["float32", "float64"]),
        lambda case: case in [("plain", "float32"), ("rare columns", "float64")],
    ),
)
def test_an_l1_penalty_on_the_device_gives_the_zeros_of_the_host(cupy, kind, dtype):
    X, y, s = problem(kind, dtype)
    options = {"l1_ratio": 1.0, "C": 0.1}
    host = LogisticRegression(device="cpu", tol=1e-8, **options).fit(X.astype(np.float64), y, s)
    model = LogisticRegression(device="cuda", **options).fit(X, y, s)
    assert (model.device_, model.solver_) == ("cuda:0", "proximal")
    assert model.converged_, model.stop_reason_
    assert ((model.coef_ != 0) == (host.coef_ != 0)).all()
    assert model.objective_ == pytest.approx(host.objective_, rel=1e-8)


@pytest.mark.usefixtures("factored")
@pytest.mark.parametrize(
    ("kind", "dtype"),
    thinned(
        itertools.product(
            ["weights", "plain", "rare class", "rare columns", "far from zero", "collinear"], ["float32", "float64"]
        ),
        lambda case: case in [("weights", "float32"), ("rare class", "float64"), ("far from zero", "float32")],
    ),
)
def test_a_fit_on_the_device_finds_what_one_on_the_host_finds(cupy, kind, dtype):
    X, y, s = problem(kind, dtype)
    host = LogisticRegression(device="cpu", tol=1e-8).fit(X.astype(np.float64), y, s)
    model = LogisticRegression(device="cuda").fit(X, y, s)
    assert model.device_ == "cuda:0"
    assert model.impl_ == "cuda"
    assert model.converged_, model.stop_reason_
    assert value_of(model, X, y, s) <= value_of(host, X, y, s) * (1 + 1e-9)
    assert model.n_reads_ <= 45


def classes_problem(K: int, d: int, dtype: str, n: int = 2000):
    """Rows, numbers of classes and weights; columns of whole numbers where ``dtype`` is one of them."""
    rng = np.random.default_rng([K, d])
    X = rng.integers(0, 256, (n, d)) if dtype == "uint8" else rng.standard_normal((n, d)) * np.geomspace(0.3, 3.0, d)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (scaled @ rng.standard_normal((d, K)) + 2.0 * rng.gumbel(size=(n, K))).argmax(axis=1)
    y[:K] = np.arange(K)
    return X.astype(dtype), y, rng.exponential(size=n) * (rng.random(n) < 0.9)


def value_of_classes(model, X, y, s) -> float:
    """scikit-learn's objective of many classes in float64."""
    z = X.astype(np.float64) @ model.coef_.T + model.intercept_
    m = z.max(axis=1)
    loss = np.log(np.exp(z - m[:, None]).sum(axis=1)) + m - z[np.arange(len(y)), y]
    return float((np.ones(len(y)) if s is None else s) @ loss + 0.5 * (model.coef_**2).sum())


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(("K", "d", "weighted"), every_other([(3, 12, True), (10, 5, False)]))
def test_a_fit_of_many_classes_on_the_device_finds_what_one_on_the_host_finds(cupy, K, d, weighted, dtype):
    X, y, s = classes_problem(K, d, dtype)
    s = s if weighted else None
    if s is not None:
        s[:K] = 1.0
    host = LogisticRegression(device="cpu", tol=1e-8).fit(X.astype(np.float64), y, s)
    model = LogisticRegression(device="cuda").fit(X, y, s)
    assert (model.device_, model.impl_, model.impl_reason_) == ("cuda:0", "cuda", "auto: the rows are on a GPU")
    assert model.converged_, model.stop_reason_
    assert value_of_classes(model, X, y, s) <= value_of_classes(host, X, y, s) * (1 + 1e-9)
    again = LogisticRegression(device="cuda", impl="cuda").fit(X, y, s)
    assert again.coef_.tobytes() == model.coef_.tobytes()


@pytest.mark.parametrize("solver", every_other(["lbfgs", "gradient-descent"]))
def test_other_solvers_of_many_classes(cupy, solver):
    X, y, _ = classes_problem(4, 3, "float64", 500)
    model = LogisticRegression(device="cuda", solver=solver, C=0.01, max_iter=5000).fit(X, y)
    host = LogisticRegression(device="cpu", C=0.01).fit(X, y)
    assert model.impl_ == "cuda"
    np.testing.assert_allclose(model.coef_, host.coef_, atol=1e-4)


def test_an_l1_penalty_on_many_classes_gives_the_zeros_of_the_host(cupy):
    X, y, s = classes_problem(3, 8, "float32")
    host = LogisticRegression(device="cpu", tol=1e-8, l1_ratio=1.0, C=0.02).fit(X.astype(np.float64), y, s)
    model = LogisticRegression(device="cuda", l1_ratio=1.0, C=0.02).fit(X, y, s)
    assert (model.impl_, model.solver_) == ("cuda", "proximal")
    assert 0 < np.count_nonzero(model.coef_) < model.coef_.size
    assert ((model.coef_ != 0) == (host.coef_ != 0)).all()
    assert model.objective_ == pytest.approx(host.objective_, rel=1e-8)


def value_of(model, X, y, s) -> float:
    """scikit-learn's objective in float64."""
    z = X.astype(np.float64) @ model.coef_[0] + model.intercept_[0]
    s = np.ones(len(y)) if s is None else s
    return float(s @ (np.logaddexp(0.0, z) - y * z) + 0.5 * model.coef_[0] @ model.coef_[0])


@pytest.mark.parametrize("solver", every_other(["lbfgs", "gradient-descent"]))
def test_other_solvers(cupy, solver):
    X, y, _ = problem("plain", "float64")
    model = LogisticRegression(device="cuda", solver=solver, C=0.01, max_iter=5000).fit(X, y)
    host = LogisticRegression(device="cpu", C=0.01).fit(X, y)
    np.testing.assert_allclose(model.coef_, host.coef_, atol=1e-4)


def test_rows_that_are_on_the_device_stay_there_and_predict_there(cupy):
    X, y, _ = problem("plain", "float32")
    there = cupy.asarray(X)
    model = LogisticRegression().fit(there, y)
    host = LogisticRegression(device="cpu").fit(X, y)
    assert model.device_reason_ == "auto: the rows are on this device"
    proba = model.predict_proba(there)
    assert isinstance(proba, cupy.ndarray)
    np.testing.assert_allclose(proba.get(), host.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(model.predict(there).get(), host.predict(X))


@pytest.mark.slow
def test_a_second_fit_gives_the_same_bits(cupy):
    X, y, _ = problem("plain", "float32")
    first, second = (LogisticRegression(device="cuda").fit(X, y) for _ in range(2))
    assert first.coef_.tobytes() == second.coef_.tobytes()


def test_the_factor_on_the_device_is_that_on_the_host(cupy):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 20)) * np.geomspace(1e-3, 1e3, 20)
    H, v = A.T @ A, rng.standard_normal(20)
    host, device = Factor(H), Factor(cupy.asarray(H))
    np.testing.assert_allclose(device.solve(v), host.solve(v), rtol=1e-9)
    assert isinstance(device.solve(v), np.ndarray)
    assert device.smallest_pivot == pytest.approx(host.smallest_pivot)
    singular = np.ones((3, 3))  # mended by the same power of ten
    host, device = Factor(singular - 1e-14 * np.eye(3)), Factor(cupy.asarray(singular - 1e-14 * np.eye(3)))
    assert 0.0 < device.added == host.added
    with pytest.raises(np.linalg.LinAlgError, match="far from positive definite"):
        Factor(cupy.asarray(np.array([[1.0, 9.0], [9.0, 1.0]])))
    with pytest.raises(np.linalg.LinAlgError, match="NaN or infinity"):
        Factor(cupy.asarray(np.array([[1.0, np.nan], [np.nan, 1.0]])))


def test_a_factorisation_that_fails_is_seen_whatever_cusolver_leaves(cupy):
    """CuPy raises of its own accord for none of these, and the pivots that are left may all be positive."""
    rng = np.random.default_rng(1)
    for p, bad in ((2, 1), (40, 20), (300, 299)):
        A = rng.standard_normal((2 * p, p))
        H = A.T @ A / p
        H[bad, 0] = H[0, bad] = 5.0 * np.sqrt(H[0, 0] * H[bad, bad])
        assert cholesky(cupy.asarray(H)) is None
        with pytest.raises(np.linalg.LinAlgError, match="far from positive definite"):
            Factor(cupy.asarray(H))
    assert cholesky(cupy.asarray(np.eye(3))).L.get().tolist() == np.eye(3).tolist()  # the setting is for one alone

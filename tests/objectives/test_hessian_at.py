"""The Hessian of an objective as products: against differences of its gradient, and the Hessian of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from central_differences import derivative
from scipy import sparse
from sweeps import every_other

from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.products import HessianAt
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset

CPU = Device("cpu")

impls = pytest.mark.parametrize("impl", ["reference", "cpu"])


def objective(impl: str, X, K: int, l2: float = 0.1, fit_intercept: bool = True) -> Objective:
    n = X.shape[0]
    rng = np.random.default_rng([n, K])
    y = rng.integers(0, max(2, K), n).astype(np.int32 if K > 1 else np.uint8)
    data = ResidentDataset.from_arrays(X, y, rng.exponential(size=n), CPU, encoded=K > 1)
    return Objective(data, choose(impl, data.rows, CPU, loss_of_classes(max(2, K))), l2, fit_intercept)


def rows(kind: str = "float64", n: int = 80, d: int = 70):
    X = np.random.default_rng(0).standard_normal((n, d)) / 4
    return csr_rows(sparse.csr_array(np.where(X > 0.1, X, 0.0))) if kind == "sparse" else X.astype(kind)


def explicit(f: Objective, params: np.ndarray) -> np.ndarray:
    """Of all rows, with a column of ones for the intercept, by `gpu_logreg.passes.engine.Engine.curvature`."""
    X, y, s = f.dataset.rows
    dense = X.toarray() if f.dataset.is_sparse else X
    ones = np.ones((len(dense), int(f.fit_intercept)))
    data = ResidentDataset.from_arrays(np.hstack([dense, ones]).astype(np.float64), y, s, CPU, encoded=f.n_logits > 1)
    H = choose("reference", data.rows, CPU, f.loss).curvature(data, params) / data.weight_total
    penalty = np.r_[np.full(dense.shape[1], f.l2), np.zeros(int(f.fit_intercept))]
    return np.asarray(H) + np.diag(np.tile(penalty, f.n_logits))


@impls
@pytest.mark.parametrize("kind", ["float64", "sparse"])
@pytest.mark.parametrize(("K", "fit_intercept"), every_other([(1, True), (1, False), (3, True), (5, False)]))
def test_products_are_differences_of_the_gradient_and_those_with_the_hessian(impl, kind, K, fit_intercept):
    f = objective(impl, rows(kind), K, fit_intercept=fit_intercept)
    rng = np.random.default_rng(K)
    params, v = rng.standard_normal((2, f.n_params))
    H = f.curvature_at(params)
    assert H.shape == (f.n_params, f.n_params)
    along = derivative(lambda t: f(params + t[0] * v)[1], np.zeros(1), 1e-3)
    np.testing.assert_allclose(H @ v, along, rtol=1e-8, atol=1e-9)
    written_out = explicit(f, params)
    np.testing.assert_allclose(H @ v, written_out @ v, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(H.diagonal(), written_out.diagonal(), rtol=1e-12)


@impls
@pytest.mark.parametrize("kind", ["float32", "float64", "sparse"])
@pytest.mark.parametrize("K", [1, 3])
def test_value_and_gradient_with_curvature_are_those_of_a_call_in_one_read(impl, kind, K):
    f, g = (objective(impl, rows(kind), K) for _ in range(2))
    f.column_moments()
    g.column_moments()
    params, v = np.random.default_rng(1).standard_normal((2, f.n_params))
    value, grad, H = f.with_curvature(params)
    wanted_value, wanted_grad = g(params)
    eps = float(np.finfo(f.dataset.compute_dtype).eps)
    assert f.reads.total == 2.0
    assert (value, f.rounding) == pytest.approx((wanted_value, g.rounding), rel=100 * eps)
    np.testing.assert_allclose(grad, wanted_grad, rtol=100 * eps, atol=10 * eps)
    found = H @ v
    assert f.reads.total == 3.0
    np.testing.assert_allclose(found, g.curvature_at(params) @ v, rtol=100 * eps, atol=10 * eps * np.abs(found).max())


@pytest.mark.parametrize("K", [1, 3])
def test_intercepts_get_what_rounding_takes_from_the_weights_of_a_point_and_a_direction(K, monkeypatch):
    """Of an average row, whose columns are at their `centre`, the logits are those of weights in float64."""
    f = objective("reference", rows("float32") + np.float32(3.0), K)
    mean, _ = f.column_moments()
    seen: list = []
    for name in ("row_curvature", "product"):
        sums = getattr(f.engine, name)
        see = lambda *arguments, sums=sums: (seen.append(arguments[-2:]), sums(*arguments))[1]  # noqa: E731
        monkeypatch.setattr(f.engine, name, see)
    point, direction = np.random.default_rng(2).standard_normal((2, f.n_params))
    assert (f.curvature_at(point) @ direction).shape == direction.shape
    for packed, (w, b) in zip((point, direction), seen, strict=True):
        by_class = packed.reshape(f.n_logits, -1)
        rounded = w.astype(np.float32).astype(np.float64)
        exact = by_class[:, :-1] @ mean + by_class[:, -1]
        np.testing.assert_allclose(rounded @ mean + b, exact if K > 1 else exact[0], rtol=1e-14)


@impls
def test_a_hessian_stays_that_of_its_dtype_when_the_objective_widens(impl):
    f = objective(impl, rows("float32"), 1)
    params, v = np.random.default_rng(3).standard_normal((2, f.n_params))
    H = f.curvature_at(params)
    before = H @ v
    assert f.widen()
    np.testing.assert_array_equal(H @ v, before)
    np.testing.assert_allclose(f.curvature_at(params) @ v, explicit(f, params) @ v, rtol=1e-11, atol=1e-12)


def test_rows_that_are_not_finite_are_refused_by_their_place():
    X = rows()
    X[5, 2] = np.nan
    f = objective("reference", X, 1)
    with pytest.raises(DataError, match="Input X contains NaN at row 5, column 2"):
        f.with_curvature(np.zeros(f.n_params))


def test_constants_for_all_classes_feel_the_ridge_alone():
    f = objective("reference", rows(), 4)
    H = f.curvature_at(np.random.default_rng(4).standard_normal(f.n_params))
    assert isinstance(H, HessianAt)
    constant = np.tile(np.random.default_rng(5).standard_normal(f.n_params // 4), 4)
    penalised = np.where(np.arange(f.n_params) % (f.n_params // 4) == f.n_params // 4 - 1, 0.0, f.l2 * constant)
    np.testing.assert_allclose(H @ constant, penalised, atol=1e-14)

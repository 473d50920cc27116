"""Sums over columns of sparse rows, held to the formulas on dense rows; coordinate descent, to its own in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.mathematics.penalty import soft_threshold
from gpu_logreg.passes.cpu import column_copies, column_sums
from gpu_logreg.passes.cpu.column_copies import copied_columns, some_columns
from gpu_logreg.passes.cpu.columns import CpuColumns
from gpu_logreg.rows.block import Rows

ONCE = (1, 0.99, 0.0, 0.0, 0.0)
"""One cycle."""


def rows_of(n=60, d=17, dtype=np.float64, seed=0):
    X = sparse.random(n, d, 0.25, format="csr", dtype=dtype, random_state=np.random.default_rng(seed))
    X = X.tolil()
    X[:, 3] = 0.0  # a column of zeros
    X[5] = 0.0  # a row of zeros
    return sparse.csr_array(X)


@pytest.fixture
def small_tasks(monkeypatch):
    """Several threads, and several tasks, for few elements."""
    for module in (column_copies, column_sums):
        monkeypatch.setattr(module, "LEAST_ELEMENTS", 8)
        monkeypatch.setattr(module, "n_threads", lambda: 3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_copies_of_columns_are_those_of_scipy(small_tasks, dtype, index):
    X = rows_of(dtype=dtype)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    columns, theirs = copied_columns(X), X.tocsc()
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(columns, name), getattr(theirs, name))
    assert columns.dtype == dtype
    at = np.array([0, 3, 4, 11, 16])
    some = some_columns(columns.data, columns.indices, columns.indptr, at, X.shape[0])
    np.testing.assert_array_equal(some.toarray(), X[:, at].toarray())
    assert some.has_sorted_indices


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
def test_copies_of_nothing(shape):
    columns = copied_columns(sparse.csr_array(shape))
    assert columns.shape == shape
    assert columns.nnz == 0


class Dense:
    """The same loss and model by formulas on dense rows."""

    def __init__(self, X, y, s, W, b):
        self.X, self.s = X, s / s.sum()
        z = X @ W.T + b
        if len(W) == 1:
            p = 1.0 / (1.0 + np.exp(-z))
            self.loss = float(self.s @ (np.logaddexp(0.0, z[:, 0]) - y * z[:, 0]))
            self.r, self.H = self.s[:, None] * (p - y[:, None]), self.s[:, None, None] * (p * (1.0 - p))[:, :, None]
        else:
            p = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
            own = np.eye(len(W))[y]
            self.loss = -float(self.s @ np.log((p * own).sum(axis=1)))
            self.r = self.s[:, None] * (p - own)
            self.H = self.s[:, None, None] * (p[:, :, None] * np.eye(len(W)) - p[:, :, None] * p[:, None, :])

    def cycle(self, k, at, w, grad, moves, l1, l2, fit_intercept):
        """Coordinate descent in the obvious way: the intercept goes to its minimum after every weight."""
        h, w, moves, grad = self.H[:, k, k], w.copy(), moves.copy(), grad.copy()

        def model_grad():
            return self.r[:, k] + np.einsum("il,il->i", self.H[:, k], moves)

        def intercept():
            if fit_intercept:
                moves[:, k] -= model_grad().sum() / h.sum()

        intercept()
        for j in at:
            x = self.X[:, j]
            mean = h @ x / h.sum() if fit_intercept else 0.0
            curvature = h @ (x - mean) ** 2 + l2
            if not curvature > 0.0:
                continue
            g = x @ (model_grad() - self.r[:, k]) + grad[j]
            new = float(soft_threshold(np.array(curvature * w[j] - g), np.array(l1)) / curvature)
            moves[:, k] += x * (new - w[j])
            grad[j] += l2 * (new - w[j])
            w[j] = new
            intercept()
        return w, moves


def both(classes=2, fit_intercept=True, weights=True, seed=0):
    rng = np.random.default_rng(seed)
    X = rows_of(seed=seed)
    n, d = X.shape
    loss = loss_of_classes(classes)
    y = rng.integers(0, classes, n)
    s = rng.exponential(size=n) if weights else None
    if weights:
        s[7] = 0.0
    W = rng.standard_normal((loss.n_logits, d)) * (rng.random(d) < 0.4)
    b = rng.standard_normal(loss.n_logits) * fit_intercept
    walked = []
    columns = CpuColumns(Rows(X, y, s), loss, n if s is None else s.sum(), fit_intercept, walked.append)
    value = columns.place(W, b)
    return columns, Dense(X.toarray(), y, np.ones(n) if s is None else s, W, b), W, value, walked


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_loss_gradient_and_curvature(small_tasks, classes, weights, fit_intercept):
    columns, dense, W, value, walked = both(classes, fit_intercept, weights)
    np.testing.assert_allclose(value, dense.loss, rtol=1e-12)
    dW, db = columns.gradient()
    assert walked[-1] == 1.0
    np.testing.assert_allclose(dW, dense.r.T @ dense.X, atol=1e-15)
    np.testing.assert_allclose(db, dense.r.sum(axis=0) * fit_intercept, atol=1e-15)
    at = np.array([0, 2, 3, 9])
    curvature, of_intercept = columns.expand()
    for k in range(len(W)):
        columns.cycles(k, at.copy(), (dW[k], W[k].copy()), (0.0, 0.5, 0.0, 0.0), ONCE)
    h = np.einsum("ikk->ki", dense.H)
    mean = h @ dense.X / h.sum(axis=1, keepdims=True) * fit_intercept
    about = np.stack([h_k @ (dense.X - mean_k) ** 2 for h_k, mean_k in zip(h, mean, strict=True)])
    at, empty = at[at != 3], int(not fit_intercept and not W[:, 3].any())
    np.testing.assert_allclose(curvature[:, at], about[:, at] + 0.5, rtol=1e-9, atol=1e-16)
    assert (curvature[:, 3] == -empty).all()
    assert (np.delete(curvature, [*at, 3], axis=1) == -1.0).all()
    np.testing.assert_allclose(of_intercept, h.sum(axis=1) * fit_intercept, rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_a_cycle_is_that_of_numpy(classes, fit_intercept, l2):
    columns, dense, W, _value, _ = both(classes, fit_intercept)
    dW, _ = columns.gradient()
    at = np.array([0, 1, 2, 3, 8, 9, 14])
    columns.expand()
    at = at[at != 3]  # which would be left out: it is empty
    moves, l1 = np.zeros((60, len(W))), 0.01
    grad, w = dW.copy(), W.copy()
    for k in [*range(len(W)), 0]:
        expected, moves = dense.cycle(k, at, w[k], grad[k], moves, l1, l2, fit_intercept)
        done = columns.cycles(k, at.copy(), (grad[k], w[k]), (l1, l2, np.inf, np.inf), ONCE)
        np.testing.assert_allclose(w[k], expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(w[k] == 0.0, expected == 0.0)
        assert done.kept == len(at)
        assert done.decrease >= 0.0
    # The step to where the model has moved is one of the logits: those at the new weights, to within the intercept.
    stepped = columns.try_step(1.0)
    columns.accept()
    values = [stepped - columns.place(w, np.full(len(W), 0.0))] if not fit_intercept else []
    np.testing.assert_allclose(values, np.zeros(len(values)), atol=1e-13)


@pytest.mark.parametrize("until", [ONCE, (7, 0.99, 1e-3, 0.0, 0.0)])
def test_cycles_lower_the_model_by_what_they_say(until):
    columns, dense, W, _value, _ = both(2, True)
    dW, _db = columns.gradient()
    columns.expand()
    w, l1 = W[0].copy(), 0.01
    done = columns.cycles(0, np.arange(17), (dW[0].copy(), w), (l1, 0.0, np.inf, np.inf), until)
    v = dense.X @ (w - W[0]) + done.intercept
    rise = dense.r[:, 0] @ v + 0.5 * dense.H[:, 0, 0] @ v**2 + l1 * (np.abs(w).sum() - np.abs(W).sum())
    np.testing.assert_allclose(done.decrease, -rise, rtol=1e-10)


def test_zeros_well_below_the_strength_are_left_out_of_the_next_cycle():
    columns, _, W, _, _ = both(2, False)
    dW, _ = columns.gradient()
    at = np.flatnonzero((W[0] == 0.0) & (np.arange(17) != 3))
    columns.expand()
    sizes = np.abs(dW[0, at])
    l1, w = 1.01 * sizes.max(), W[0].copy()  # all stay at zero
    done = columns.cycles(0, at, (dW[0].copy(), w), (l1, 0.0, 0.5 * l1, 0.0), ONCE)
    assert done.kept == np.count_nonzero(sizes >= 0.5 * l1)
    assert 0 < done.kept < len(at)
    np.testing.assert_array_equal(w, W[0])


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_systems_of_two_classes(small_tasks, fit_intercept):
    columns, dense, _, _, _ = both(2, fit_intercept)
    taken, at = np.array([0, 2, 3, 8, 9]), np.array([2, 9])
    dW, _ = columns.gradient()
    columns.expand()
    # No weight moves, but the intercept goes to its minimum.
    done = columns.cycles(0, taken.copy(), (dW[0], np.zeros(17)), (1e9, 0.0, np.inf, np.inf), ONCE)
    columns.take(taken)
    n_elements, pairs = columns.n_taken
    lengths = np.count_nonzero(dense.X[:, taken], axis=1)
    assert (n_elements, pairs) == (lengths.sum(), 0.5 * (lengths**2).sum())
    h = dense.H[:, 0, 0]
    mean = h @ dense.X[:, taken] / h.sum() * fit_intercept
    about = dense.X[:, taken] - mean
    np.testing.assert_allclose(columns.hessian(), (about.T * h) @ about, atol=1e-15)
    v, v_b = np.array([0.5, -2.0]), 0.3 * fit_intercept
    moved = about[:, [1, 4]] @ v + v_b
    product, product_b = columns.product(at, v, v_b)
    np.testing.assert_allclose(product, about[:, [1, 4]].T @ (h * moved), atol=1e-15)
    np.testing.assert_allclose(product_b, (h @ moved) * fit_intercept, atol=1e-15)
    change = columns.move(at, v, v_b)
    np.testing.assert_allclose(change, v_b - mean[[1, 4]] @ v, atol=1e-15)
    slope, slope_b = columns.slopes(at)
    moved += done.intercept
    np.testing.assert_allclose(slope, about[:, [1, 4]].T @ (dense.r[:, 0] + h * moved), atol=1e-15)
    np.testing.assert_allclose(slope_b, (dense.r[:, 0] + h * moved).sum() * fit_intercept, atol=1e-15)


def test_a_column_that_is_constant_has_no_curvature_beside_an_intercept():
    X = sparse.csr_array(np.column_stack([np.full(9, 0.1), np.arange(9.0)]))
    rows = Rows(X, np.arange(9) % 2, None)
    for fit_intercept, constant in ((True, True), (False, False)):
        columns = CpuColumns(rows, loss_of_classes(2), 9.0, fit_intercept, lambda share: None)
        columns.place(np.array([[0.3, -0.2]]), np.zeros(1))
        curvature, _ = columns.expand()
        dW, w = columns.gradient()[0][0], np.array([0.3, -0.2])
        done = columns.cycles(0, np.arange(2), (dW, w), (0.0, 0.0, 0.0, 0.0), ONCE)
        assert (curvature[0] == 0.0).tolist() == [constant, False]
        assert (w == [0.3, -0.2]).tolist() == [constant, False]
        assert done.kept == 2 - constant


def test_rows_on_their_wrong_side_by_far_have_some_curvature():
    X = sparse.csr_array(np.array([[1.0], [1.0]]))
    columns = CpuColumns(Rows(X, np.array([0, 1]), None), loss_of_classes(2), 2.0, False, lambda share: None)
    assert columns.place(np.array([[800.0]]), np.zeros(1)) == pytest.approx(400.0)
    curvature, _ = columns.expand()
    columns.cycles(0, np.arange(1), (columns.gradient()[0][0], np.array([800.0])), (0.0, 0.0, 0.0, 0.0), ONCE)
    assert curvature[0, 0] > 0.0


@pytest.mark.parametrize("classes", [2, 3])
def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch, classes):
    found = []
    for threads in (1, 3):
        for module in (column_copies, column_sums):
            monkeypatch.setattr(module, "LEAST_ELEMENTS", 8)
            monkeypatch.setattr(module, "n_threads", lambda threads=threads: threads)
        columns, _, _W, value, _ = both(classes)
        found.append((value, columns.gradient()[0].tobytes()))
    assert found[0] == found[1]


def test_a_cautious_model_is_nowhere_below_the_loss():
    """At its own point it touches the loss; at others it is above, where the exact one need not be."""
    rng = np.random.default_rng(0)
    X, y = sparse.csr_array(rng.standard_normal((40, 1)) * 3.0), rng.integers(0, 2, 40)
    columns = CpuColumns(Rows(X, y, None), loss_of_classes(2), 40.0, False, lambda share: None)
    value, at = columns.place(np.array([[1.5]]), np.zeros(1)), np.arange(1)
    slope = float(columns.gradient()[0][0, 0])

    def curvature(caution):
        found, _ = columns.expand(caution)
        columns.cycles(0, at.copy(), (np.array([slope]), np.array([1.5])), (0.0, 0.0, 0.0, 0.0), ONCE)
        return float(found[0, 0])

    exact, half, bound = map(curvature, (0.0, 0.5, 1.0))
    assert exact < bound
    assert half == pytest.approx(0.5 * (exact + bound))
    steps = np.linspace(-6.0, 6.0, 49)
    losses = np.array([columns.place(np.array([[1.5 + step]]), np.zeros(1)) for step in steps])
    assert (losses <= value + slope * steps + 0.5 * bound * steps**2 + 1e-12).all()
    assert (losses > value + slope * steps + 0.5 * exact * steps**2 + 1e-12).any()

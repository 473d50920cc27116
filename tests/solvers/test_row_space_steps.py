"""Steps by the numbers of the rows, on rows that are a matrix: what is asked of the rows, and when the matrix is."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg.objectives.row_space import RowsAt
from gpu_logreg.solvers.row_space import _newton_step, minimum_in_row_space


class Squares:
    """Mean of ``(z - y)**2 / 2`` with a ridge: the minimum is that of a linear system."""

    fit_intercept, n_logits = False, 1

    def __init__(self, G, y, l2: float) -> None:
        self.n_rows, self.l2, self.squares, self.gram = len(y), l2, G.diagonal().copy(), None
        self.n_images = 0
        self._G, self._y = G, y[:, None]

    def keep_gram(self) -> None:
        self.gram = self._G

    def image(self, V):
        self.n_images += self.gram is None
        return self._G @ V

    def at(self, Z):
        n = len(Z)
        loss = 0.5 * float(((Z - self._y) ** 2).mean())
        return RowsAt(loss, (Z - self._y) / n, np.full((n, 1), 1.0 / n), None, np.full(n, 1.0 / n))


def problem(n: int, condition: float):
    rng = np.random.default_rng(n)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    G = (basis * np.geomspace(1.0, condition, n)) @ basis.T
    return Squares(0.5 * (G + G.T), rng.standard_normal(n), l2=1e-3)


def least(rows) -> float:
    a = np.linalg.solve(rows._G / rows.n_rows + rows.l2 * np.eye(rows.n_rows), rows._y / rows.n_rows)
    return rows.at(rows._G @ a).loss + 0.5 * rows.l2 * float((a * (rows._G @ a)).sum())


@pytest.mark.parametrize(("condition", "price", "gram"), [(4.0, 30.0, False), (1e4, 10.0, True)])
def test_the_matrix_is_asked_for_where_products_are_slow(condition, price, gram):
    rows = problem(40, condition)
    found = minimum_in_row_space(rows, np.zeros(1), enough=1e-10, max_iter=200, price=price)
    assert (rows.gram is not None, found.slow, found.stopped) == (gram, False, False)
    assert rows.n_images <= (found.n_iter if not gram else 8)
    assert found.loss_curve[-1] == pytest.approx(least(rows), rel=1e-9)
    assert len(found.loss_curve) == found.n_iter + 1
    assert (np.diff(found.loss_curve) <= 0.0).all()


def test_without_room_for_the_matrix_it_says_that_it_is_slow():
    rows = problem(40, 1e4)
    found = minimum_in_row_space(rows, np.zeros(1), enough=1e-10, max_iter=200, price=10.0, has_room=False)
    assert (rows.gram, found.slow) == (None, True)
    assert found.n_iter < 10


def test_a_direction_towards_the_minimum_is_all_it_takes():
    rows = problem(40, 1e4)
    a = np.linalg.solve(rows._G / 40 + rows.l2 * np.eye(40), rows._y / 40)
    found = minimum_in_row_space(rows, np.zeros(1), enough=1e-10, max_iter=200, price=1e9, towards=a)
    assert found.n_iter <= 4
    assert found.loss_curve[0] == pytest.approx(least(rows), rel=1e-12)


def test_a_direction_without_curvature_but_by_rounding_is_left_out():
    H = np.array([[4.0, 0.0, 1e160], [0.0, 2.0, 0.0], [1e160, 0.0, 0.0]])
    with np.errstate(all="raise"):
        step = _newton_step(H, np.array([8.0, -2.0, 1.0]))
    np.testing.assert_allclose(step, [-2.0, 1.0, 0.0], rtol=1e-14)

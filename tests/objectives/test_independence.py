"""Whether columns are nearly independent, by some hundred rows."""

from __future__ import annotations

import numpy as np
import pytest
from test_linear import objective_of

from gpu_logreg.objectives.independence import ROWS, columns_are_independent

N = 4 * ROWS


def asked(X, **settings) -> bool:
    y = np.arange(len(X)) % 2
    return columns_are_independent(objective_of(X, y, None, "cpu", 0.0, True), np.random.default_rng(0), **settings)


def autoregressive(rho: float, d: int = 300) -> np.ndarray:
    """Columns of which each has the correlation ``rho`` with the next; the mean squared eigenvalue is known."""
    X = np.random.default_rng(1).standard_normal((N, d))
    for j in range(1, d):
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1.0 - rho * rho) * X[:, j]
    return X


@pytest.mark.parametrize("d", [5, 300, 3000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_independent_columns(d, dtype):
    X = np.random.default_rng(0).standard_normal((N, d)).astype(dtype)
    assert asked(X * np.geomspace(1e-2, 1e3, d).astype(dtype) + np.asarray(5.0, dtype))


def test_the_limit_is_where_it_is_said_to_be():
    """``(1 + rho**2) / (1 - rho**2)`` is 1.2 at 0.3 and 1.67 at 0.5."""
    assert asked(autoregressive(0.3))
    assert not asked(autoregressive(0.5))


def test_a_common_part_of_all_columns():
    X = np.random.default_rng(0).standard_normal((N, 300))
    assert not asked(X + np.random.default_rng(1).standard_normal((N, 1)))


def test_rare_columns_and_heavy_tails_are_not_for_few_rows():
    X = np.random.default_rng(0).standard_normal((N, 50))
    for column in ((np.arange(N) % 100 == 0).astype(float), np.random.default_rng(1).standard_cauchy(N)):
        assert not asked(np.column_stack([X, column]))


def test_columns_far_from_zero_are_not_for_float32():
    X = np.random.default_rng(0).standard_normal((N, 20))
    assert not asked(X + 1e5)


def test_few_rows_are_not_asked():
    assert not asked(np.random.default_rng(0).standard_normal((N - 1, 20)))


def test_centres_and_spreads_are_those_of_the_rows():
    X = 3.0 + 2.0 * np.random.default_rng(0).standard_normal((N, 20))
    objective = objective_of(X, np.arange(N) % 2, None, "cpu", 0.0, True)
    assert columns_are_independent(objective, np.random.default_rng(0))
    np.testing.assert_allclose(objective.centre, 3.0, atol=0.4)
    np.testing.assert_allclose(objective.spread, 2.0, rtol=0.15)
    assert objective.reads.total == ROWS / N

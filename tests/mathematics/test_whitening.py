"""Coordinates where the information is the identity: against their definition, and where they are refused."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg.mathematics.whitening import LEAST_ROWS, Whitening


def problem(spread, n=500):
    """Rows with a 1 behind them, and curvatures; columns of several scales, all of them near one another."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 1)) + spread * rng.standard_normal((n, 4))
    U, V = np.column_stack([X * [1.0, 1e-20, 1e20, 3.0], np.ones(n)]), rng.uniform(0.1, 0.25, n)
    return U, V, (U.T * V) @ U


def inverse_of(information):
    scale = np.sqrt(information.diagonal())
    return np.linalg.inv(information / np.outer(scale, scale)) / np.outer(scale, scale)


def test_the_information_becomes_the_identity_and_sums_go_there_and_back():
    U, V, information = problem(1.0)
    white = Whitening.of(inverse_of(information), information, 7.0, LEAST_ROWS)
    T = (U * white.scale) @ white.root
    np.testing.assert_allclose((T.T * V) @ T, 7.0 * np.eye(5), atol=1e-5)  # the root is rounded to float32
    assert (np.log2(white.scale) % 1.0 == 0.0).all()
    assert (white.root == white.root.astype(np.float32)).all()
    f = np.random.default_rng(1).random(len(U))
    sums, there = (U.T * f) @ U, (T.T * f) @ T
    scale = np.sqrt(sums.diagonal())
    np.testing.assert_allclose(white.of_products(sums), there, atol=1e-12 * there.max())
    np.testing.assert_allclose(
        white.to_products(there) / np.outer(scale, scale), sums / np.outer(scale, scale), atol=1e-12
    )


@pytest.mark.parametrize(("spread", "n_rows"), [(1e-2, LEAST_ROWS), (1.0, LEAST_ROWS - 1)])
def test_columns_near_one_another_and_few_rows_have_none(spread, n_rows):
    _, _, information = problem(spread)
    assert Whitening.of(inverse_of(information), information, 1.0, n_rows) is None

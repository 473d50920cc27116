"""Tests, criteria and sandwiches: against SciPy's distributions and small cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from gpu_logreg.mathematics.inference import (
    chi_square_test,
    half_width,
    log_likelihood_of_shares,
    sandwich,
    sandwich_of_groups,
    two_sided_p,
    wald_statistic,
)


def test_probabilities_are_those_of_the_distributions_far_out_too():
    np.testing.assert_allclose(
        two_sided_p(np.array([-1.96, 0.0, 30.0])), 2 * stats.norm.sf([1.96, 0.0, 30.0]), rtol=1e-9
    )
    for chi2, df in ((3.2, 2), (900.0, 5), (0.0, 1)):
        np.testing.assert_allclose(chi_square_test(chi2, df).p, stats.chi2.sf(chi2, df), rtol=1e-9)
    assert chi_square_test(-1e-12, 3) == (0.0, 3, 1.0)
    assert chi_square_test(0.0, 0).p == 1.0
    np.testing.assert_allclose(half_width(0.9), stats.norm.ppf(0.95))


def test_the_null_likelihood_is_that_of_the_shares_and_of_no_absent_class():
    np.testing.assert_allclose(log_likelihood_of_shares(np.array([3.0, 1.0, 0.0])), 3 * math.log(0.75) + math.log(0.25))


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC3"])
def test_sandwiches(kind):
    rng = np.random.default_rng(0)
    B, g = np.diag([1.0, 2.0]), rng.standard_normal((7, 2))
    factor = 7 / 5 if kind == "HC1" else 1.0
    np.testing.assert_allclose(sandwich(B, g.T @ g, kind, 7.0), factor * B @ g.T @ g @ B)
    np.testing.assert_allclose(sandwich_of_groups(B, g, 20.0), 7 / 6 * 19 / 18 * B @ g.T @ g @ B)


def test_wald_of_a_singular_covariance_is_infinite():
    assert wald_statistic(np.array([1.0, 2.0]), np.ones((2, 2))) == math.inf
    assert wald_statistic(np.array([1.0]), np.zeros((1, 1))) == math.inf
    assert wald_statistic(np.array([1.0, 2.0]), np.diag([1.0, 4.0])) == pytest.approx(2.0)

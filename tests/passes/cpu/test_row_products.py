"""The compiled products of rows, against NumPy's."""

import numpy as np
import pytest

from gpu_logreg.passes.cpu.row_products import CompiledProducts
from gpu_logreg.passes.reference.row_products import RowProducts
from gpu_logreg.passes.sums import Groups


@pytest.mark.parametrize("ones", [True, False])
@pytest.mark.parametrize(("m", "d"), [(1, 1), (64, 31), (131, 32), (200, 65)])
def test_they_are_those_of_numpy(m, d, ones):
    rng = np.random.default_rng(m)
    X, factors = np.asfortranarray(rng.standard_normal((m, d))), [rng.random(m), rng.random(m)]
    U = np.column_stack([X, np.ones(m)]) if ones else X
    root = np.tril(rng.standard_normal((U.shape[1], U.shape[1])))
    for products in (CompiledProducts(), RowProducts()):
        for f, found in zip(factors, products.grams(X, factors, ones), strict=True):
            np.testing.assert_allclose(np.tril(found), np.tril((U.T * f) @ U), atol=1e-13 * m)
        np.testing.assert_allclose(products.squares(X, root, ones), ((U @ root) ** 2).sum(axis=1), rtol=1e-11)


@pytest.mark.parametrize("ones", [True, False])
def test_sums_of_groups_are_those_of_numpy(ones):
    rng = np.random.default_rng(0)
    X, r, s, codes = rng.standard_normal((50, 3)), rng.standard_normal((50, 2)), rng.random(50), rng.integers(0, 7, 50)
    U = np.column_stack([X, np.ones(50)]) if ones else X
    of_rows = np.hstack([r[:, :1] * U, r[:, 1:] * U])
    for products in (CompiledProducts(), RowProducts()):
        groups = Groups(codes, np.zeros((7, of_rows.shape[1])), np.zeros(7))
        products.add_to_groups(groups, products.by_group(codes, X, r, s, ones))
        for g in range(7):
            np.testing.assert_allclose(groups.grad_sums[g], of_rows[codes == g].sum(axis=0), atol=1e-13)
        np.testing.assert_allclose(groups.weights, np.bincount(codes, s, 7), rtol=1e-13)


def test_what_is_not_finite_reaches_the_sums():
    X = np.ones((70, 5))
    X[66, 2] = np.inf
    found = CompiledProducts().grams(X, [np.ones(70)], True)[0]
    assert not np.isfinite(found[2:, 2]).any()
    assert np.isfinite(found[3:, 3]).all()

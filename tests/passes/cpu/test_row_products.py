"""The compiled products of rows, against NumPy's."""

import numpy as np
import pytest

from gpu_logreg.mathematics.logistic import loss_dz_and_curvature
from gpu_logreg.mathematics.whitening import Whitening
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
@pytest.mark.parametrize(("m", "d"), [(1, 1), (64, 31), (131, 32), (200, 65)])
def test_products_in_float32_are_those_of_numpy(m, d, ones):
    rng = np.random.default_rng(m)
    sizes = np.exp2(rng.integers(-60, 60, d + ones))
    sizes[d:] = 1.0
    X, factors = rng.standard_normal((m, d)) * sizes[:d], [1e200 * rng.random(m), 1e-200 * rng.random(m), np.zeros(m)]
    U = (np.column_stack([X, np.ones(m)]) if ones else X) / sizes
    products = CompiledProducts().in_single(1.0 / sizes)
    found = products.grams(X, factors, ones)
    for f, gram in zip(factors, found, strict=True):
        error = np.tril(gram / np.outer(sizes, sizes) - (U.T * f) @ U)
        assert np.abs(error).max() <= 3e-6 * m * f.max()
    np.testing.assert_allclose(products.sizes(X, ones), (U**2).sum(axis=1), rtol=1e-12)
    assert not CompiledProducts().sizes(X, ones).any()


@pytest.mark.parametrize("is_half", [True, False])
@pytest.mark.parametrize("ones", [True, False])
@pytest.mark.parametrize(("m", "d"), [(1, 1), (64, 31), (131, 32), (200, 65)])
def test_whitened_products_are_those_of_numpy_and_leave_rows_of_large_leverage_out(m, d, ones, is_half):
    rng = np.random.default_rng(m)
    X, factors, curvature = rng.standard_normal((m, d)), 1e300 * rng.random(m), rng.uniform(0.1, 0.2, m)
    X[m // 2] *= 1e3
    if m > 1:
        X[0, 0] = np.inf
    U = np.column_stack([X, np.ones(m)]) if ones else X
    p = U.shape[1]
    root = (np.eye(p) + 0.1 * np.tril(rng.standard_normal((p, p)))).astype(np.float32).astype(np.float64)
    white = Whitening(np.exp2(rng.integers(-3, 3, p)), root, 1e3 * p)
    found, left_out = CompiledProducts().whitened_gram(X, white, curvature, factors, is_half, ones)
    kept = np.ones(m, bool)
    kept[left_out] = False
    assert list(left_out) == ([0, m // 2] if m > 1 else [0])
    T = (U[kept] * white.scale) @ root
    h = curvature[kept] * (T**2).sum(axis=1) / white.total
    assert (h < 0.1).all()
    f = factors[kept] / (1.0 - h if is_half else (1.0 - h) ** 2)
    scale = np.sqrt((T.T**2 * f).sum(axis=1)) if kept.any() else np.ones(p)
    np.testing.assert_allclose(
        np.tril(found) / np.outer(scale, scale), np.tril((T.T * f) @ T / np.outer(scale, scale)), atol=3e-6
    )


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


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("ones", [True, False])
@pytest.mark.parametrize(("m", "d"), [(0, 3), (1, 1), (64, 31), (131, 32), (200, 65)])
@pytest.mark.parametrize("unit", [1.0, 1e150])
def test_sums_in_one_read_are_those_of_numpy(m, d, ones, single, unit):
    rng = np.random.default_rng(m)
    X, y = rng.standard_normal((m, d)), rng.integers(0, 2, m, dtype=np.uint8)
    a, c = unit * rng.integers(0, 3, m), rng.choice([0.5, 2.0], m)
    U = np.column_stack([X, np.ones(m)]) if ones else X
    phi = rng.standard_normal(d + ones) / np.sqrt(d)
    phi[:1] *= 30.0 if m > 100 else 1.0  # rows far on both sides
    products = CompiledProducts().in_single(np.exp2(rng.integers(-1, 2, d + ones))) if single else CompiledProducts()
    found = products.at_point(np.asfortranarray(X), y, (a, c), phi, ones, True)
    row_loss, dz, h = loss_dz_and_curvature(U @ phi, y)
    assert found.loss == pytest.approx(float(a @ row_loss), rel=1e-12)
    np.testing.assert_allclose(found.kept[0], -dz, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(found.kept[1], h, rtol=1e-10)
    np.testing.assert_allclose(found.grad, (a * -dz) @ U, atol=1e-12 * unit * max(m, 1))
    scale = products._scale if single else np.ones(d + ones)
    np.testing.assert_allclose(found.kept[2], ((U * scale) ** 2).sum(axis=1), rtol=1e-5 if single else 1e-12)
    for f, gram in zip((a * h, a * c * dz * dz), found.matrices, strict=True):
        error = np.tril(gram - (U.T * f) @ U)
        assert np.abs(error).max() <= (1e-5 if single else 1e-13) * unit * max(m, 1)
    alone = products.at_point(X, y, (a, c), phi, ones, False)
    assert len(alone.matrices) == 1
    np.testing.assert_array_equal(np.tril(alone.matrices[0]), np.tril(found.matrices[0]))
    assert RowProducts().at_point(X, y, (a, c), phi, ones, False) is None


def test_what_is_not_finite_reaches_all_sums_of_one_read():
    X = np.ones((70, 5))
    X[66, 2] = np.nan
    found = CompiledProducts().at_point(X, np.ones(70, np.uint8), (np.ones(70), np.ones(70)), np.ones(6), True, True)
    assert not np.isfinite(found.loss)
    assert not np.isfinite(found.grad).any()
    assert not any(np.isfinite(np.diag(gram)).any() for gram in found.matrices)


def test_what_is_not_finite_reaches_the_sums():
    X = np.ones((70, 5))
    X[66, 2] = np.inf
    found = CompiledProducts().grams(X, [np.ones(70)], True)[0]
    assert not np.isfinite(found[2:, 2]).any()
    assert np.isfinite(found[3:, 3]).all()

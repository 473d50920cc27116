"""What a loss knows of its logits: packing, free directions, the start of a fit, curvature, probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_logreg.mathematics.losses import WHOLE_P, Binary, Classes, Labels, loss_of_classes

LOSSES = [Binary(), Classes(3), Classes(7)]
losses = pytest.mark.parametrize("loss", LOSSES, ids=["two", "three", "seven"])
intercepts = pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
seeds = given(seed=st.integers(0, 2**32 - 1))


def logits_and_labels(loss, seed: int, n: int = 20):
    rng = np.random.default_rng(seed)
    K = loss.n_logits
    z = 3.0 * rng.standard_normal((n, K))
    y = rng.integers(0, max(2, K), n)
    return z, y.astype(np.uint8 if K == 1 else np.int32)


def by_logits(loss, z):
    """Logits as a pass has them: of two classes a vector."""
    return z[:, 0] if loss.n_logits == 1 else z


@losses
@seeds
def test_dz_is_the_derivative_of_the_loss(loss, seed):
    z, y = logits_and_labels(loss, seed)
    step = 1e-5
    dz = loss.loss_and_dz(by_logits(loss, z), y)[1].reshape(z.shape)
    for k in range(loss.n_logits):
        e = step * (np.arange(loss.n_logits) == k)
        np.testing.assert_allclose(
            dz[:, k], (loss.row_loss(z + e, y) - loss.row_loss(z - e, y)) / (2 * step), atol=1e-8
        )


@seeds
def test_the_curvature_of_two_classes_is_the_derivative_of_dz(seed):
    loss = Binary()
    z, y = logits_and_labels(loss, seed)
    z, step = z[:, 0], 1e-5
    rise = (loss.loss_and_dz(z + step, y)[1] - loss.loss_and_dz(z - step, y)[1]) / (2 * step)
    np.testing.assert_allclose(loss.curvature(z, y), rise, atol=1e-9)
    row_loss, dz, h = loss.loss_dz_and_curvature(z, y)
    np.testing.assert_allclose(h, loss.curvature(z, y), rtol=1e-12)
    np.testing.assert_allclose(row_loss, loss.loss_and_dz(z, y)[0], rtol=1e-12)
    np.testing.assert_allclose(dz, loss.loss_and_dz(z, y)[1], rtol=1e-12)


@losses
@intercepts
@seeds
def test_a_packed_gradient_is_unpacked_again(loss, fit_intercept, seed):
    rng, K, d = np.random.default_rng(seed), loss.n_logits, 4
    dw = rng.standard_normal(d if K == 1 else (K, d))
    db = rng.standard_normal() if K == 1 else rng.standard_normal(K)
    if loss.has_free_directions:
        dw, db = dw - dw.mean(axis=0), db - db.mean()
    packed = loss.packed_gradient(dw, db, fit_intercept)
    assert packed.shape == (K * (d + fit_intercept),)
    w, b = loss.unpack(packed, d)
    np.testing.assert_allclose(w, dw, rtol=0, atol=1e-14)
    np.testing.assert_allclose(b, db if fit_intercept else 0.0 * db, rtol=0, atol=1e-14)


@seeds
def test_gradients_of_many_classes_add_up_to_zero(seed):
    rng = np.random.default_rng(seed)
    packed = Classes(5).packed_gradient(rng.standard_normal((5, 3)), rng.standard_normal(5), True)
    np.testing.assert_allclose(packed.reshape(5, 4).sum(axis=0), 0.0, atol=1e-14)


@losses
@seeds
def test_a_fit_starts_at_the_optimum_without_weights(loss, seed):
    rng, n_classes = np.random.default_rng(seed), max(2, loss.n_logits)
    shares = rng.dirichlet(np.ones(n_classes)) * 0.9 + 0.1 / n_classes
    z = np.tile(loss.start(shares, 0.0), (n_classes, 1))
    y = np.arange(n_classes).astype(np.int32)
    dz = loss.loss_and_dz(by_logits(loss, z), y)[1].reshape(n_classes, -1)
    np.testing.assert_allclose(shares @ dz, 0.0, atol=1e-12)


@losses
@seeds
def test_curvature_at_the_start_and_its_bound(loss, seed):
    rng, K, n_classes = np.random.default_rng(seed), loss.n_logits, max(2, loss.n_logits)
    shares = rng.dirichlet(np.ones(n_classes)) * 0.9 + 0.1 / n_classes
    h = loss.curvature_at_start(shares, True)
    assert len(h) == K
    wanted = shares[-K:] * (1.0 - shares[-K:])
    np.testing.assert_allclose(h, wanted, rtol=1e-12)
    # Without an intercept all classes are as probable.
    np.testing.assert_allclose(loss.curvature_at_start(shares, False), (1 - 1 / n_classes) / n_classes, rtol=1e-12)
    p = loss.probabilities(by_logits(loss, logits_and_labels(loss, seed)[0]))
    for row in p:
        H = np.diag(row) - np.outer(row, row)
        # Of one logit the curvature is that along the difference of two, a half of the eigenvalue of both.
        largest = np.linalg.eigvalsh(H)[-1] / (2.0 if K == 1 else 1.0)
        assert largest <= loss.largest_curvature * (1.0 + 1e-12)


@losses
@seeds
def test_probabilities_their_logarithms_and_the_decision_agree(loss, seed):
    z = by_logits(loss, logits_and_labels(loss, seed)[0])
    p = loss.probabilities(z)
    assert p.shape == (20, max(2, loss.n_logits))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.exp(loss.log_probabilities(z)), p, rtol=1e-10)
    np.testing.assert_array_equal(loss.decide(z), p.argmax(axis=1))


@seeds
def test_labels_are_decided_one_by_one(seed):
    loss = Labels(4)
    z = np.random.default_rng(seed).standard_normal((10, 4))
    p = loss.probabilities(z)
    np.testing.assert_allclose(p, 1.0 / (1.0 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_allclose(loss.log_probabilities(z), np.log(p), rtol=1e-10)
    np.testing.assert_array_equal(loss.decide(z), (p > 0.5).astype(int))


def test_two_classes_keep_their_hessian_whole_and_many_classes_while_it_is_small():
    for p in (1, WHOLE_P, 10 * WHOLE_P):
        form = Binary().hessian_form(p)
        assert form.whole
        assert not form.has_mean_factors
        assert (form.width, form.row_products) == (p, p * p)
    K = 5
    for width, whole in ((WHOLE_P // K, True), (WHOLE_P // K + 1, False)):
        form = Classes(K).hessian_form(K * width)
        assert (form.n_params, form.width, form.whole, form.has_mean_factors) == (K * width, width, whole, True)
        # A block for each pair of classes, of which that of a class with itself counts twice; or two factors.
        assert form.row_products == (K * (K + 1) if whole else 2) * width**2
        # One matrix of all parameters, or one of each class.
        assert form.factor_products == pytest.approx(K**3 * width**3 / 3 if whole else K * width**3 / 3, rel=1e-12)


def test_the_loss_of_a_number_of_classes():
    assert loss_of_classes(2) == Binary()
    assert loss_of_classes(4) == Classes(4)

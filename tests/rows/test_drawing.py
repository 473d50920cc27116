"""Samples that are drawn a stretch of rows at a time are those of the whole, or as unbiased."""

import numpy as np
import pytest

from gpu_logreg.rows import drawing
from gpu_logreg.rows.drawing import Drawing, DrawingByStretches

N = 6000


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def both(labels, weights, n_classes=2):
    by_part = None if weights is None else lambda part: weights[part].astype(np.float64)
    return Drawing(labels, weights, n_classes), DrawingByStretches(labels, by_part, n_classes)


@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_stretch_draws_what_the_whole_draws(rng, share, weighted):
    labels = (rng.random(N) < share).astype(np.uint8)
    weights = rng.exponential(size=N) if weighted else None
    whole, stretches = both(labels, weights)
    assert whole.n_present == stretches.n_present == N
    for one, other in zip(
        whole.draw(500, np.random.default_rng(0)), stretches.draw(500, np.random.default_rng(0)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_even_draws_do_not_depend_on_stretches(monkeypatch, rng):
    monkeypatch.setattr(drawing, "STRETCH_ROWS", 700)
    whole, stretches = both((rng.random(N) < 0.5).astype(np.uint8), None)
    drawn = stretches.draw(500, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[0], whole.draw(500, np.random.default_rng(0))[0])


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_stretches_are_unbiased(monkeypatch, rng, weighted, scored):
    monkeypatch.setattr(drawing, "STRETCH_ROWS", 1000)
    labels = (np.arange(N) > 0.99 * N).astype(np.uint8)  # sorted, and rare
    weights = rng.exponential(size=N) * (rng.random(N) < 0.8) if weighted else None
    stretches = both(labels, weights)[1]
    if scored:
        scores = rng.pareto(1.0, size=N)
        stretches.by_scores([scores[:2500], scores[2500:]], 4)
    value = rng.standard_normal(N) ** 2
    s = np.ones(N) if weights is None else weights
    estimates, sizes = [], []
    for seed in range(200):
        rows, weight = stretches.draw(600, np.random.default_rng(seed))
        assert (np.diff(rows) > 0).all()
        assert (s[rows] > 0).all()
        estimates.append(weight @ (s * value)[rows])
        sizes.append(len(rows))
    assert 400 < np.mean(sizes) < 900
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - s @ value) < 4.5 * error + 1e-9
    if weighted:
        assert stretches.n_present == np.count_nonzero(weights)


def test_a_sample_of_all_rows_is_all_rows_of_positive_weight(monkeypatch, rng):
    monkeypatch.setattr(drawing, "STRETCH_ROWS", 1000)
    weights = rng.exponential(size=N) * (rng.random(N) < 0.8)
    rows, weight = both((np.arange(N) % 2).astype(np.uint8), weights)[1].draw(N, np.random.default_rng(0))
    np.testing.assert_array_equal(rows, np.flatnonzero(weights))
    assert (weight == 1.0).all()

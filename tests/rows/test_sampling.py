"""Samples of rows: sums of weights, bounds, probabilities by counting draws, strata, what is never and always drawn."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_logreg.rows.sampling import RARE_SHARE, draw, evenly, inclusion

DRAWS = 3000
SIGMAS = 4.5
"""Means over many draws may miss what they estimate by this many standard errors; of ten thousand, none should."""


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# Sizes of rows: none, alike, over six decades, with ties and with zeros.
sizes = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-3, 1e3), st.sampled_from([1.0, 2.0, 1000.0])), min_size=1, max_size=200
).map(np.array)
seeds = st.integers(0, 2**32 - 1)


@given(n=st.integers(1, 500), share=st.floats(0.0, 1.2), seed=seeds)
def test_one_row_from_each_of_equal_stretches(n, share, seed):
    m = max(1, int(share * n))
    rows = evenly(n, m, seeded(seed))
    assert rows.dtype.kind == "i"
    if m >= n:
        np.testing.assert_array_equal(rows, np.arange(n))
        return
    assert len(rows) == m
    # Row i occupies [i, i + 1); stretch k is [k n / m, (k + 1) n / m): the two must meet.
    k = np.arange(m)
    assert (rows + 1 > k * n / m - 1e-9).all()
    assert (rows < (k + 1) * n / m + 1e-9).all()
    assert (np.diff(rows) >= 0).all()


@given(times=st.integers(2, 20), m=st.integers(1, 60), seed=seeds)
def test_stretches_of_whole_rows_give_each_row_once_at_most(times, m, seed):
    rows = evenly(times * m, m, seeded(seed))
    np.testing.assert_array_equal(rows // times, np.arange(m))


@pytest.mark.parametrize(("n", "m"), [(10, 4), (12, 4), (7, 6), (9, 1)])
def test_evenly_draws_every_row_as_often_as_any_other(n, m):
    generator = seeded(1)
    counts = np.zeros(n)
    for _ in range(DRAWS):
        np.add.at(counts, evenly(n, m, generator), 1)
    # A count is a sum over draws of one or two Bernoulli variables of mean m / n in all.
    error = np.sqrt(DRAWS * m / n)
    assert np.abs(counts - DRAWS * m / n).max() < SIGMAS * error


@given(size=sizes, share=st.floats(0.01, 1.5))
def test_probabilities_are_in_proportion_up_to_one_and_add_up_to_the_rows_wanted(size, share):
    positive = int(np.count_nonzero(size))
    m = max(1.0, share * len(size))
    probability = inclusion(size, m)
    assert probability.shape == size.shape
    assert (probability[size == 0.0] == 0.0).all()
    assert (probability >= 0.0).all()
    assert (probability <= 1.0).all()
    if m >= positive:
        np.testing.assert_array_equal(probability, size > 0.0)
        return
    assert (probability[size > 0.0] > 0.0).all()
    assert m * (1 - 2e-3) <= probability.sum() <= m * (1 + 1e-9)
    below = (probability < 1.0) & (size > 0.0)
    if below.any():
        c = probability[below] / size[below]
        np.testing.assert_allclose(c, c[0], rtol=1e-9)
        # Nothing that is drawn for sure is smaller than what is not.
        assert size[probability >= 1.0].min(initial=np.inf) >= size[below].max() * (1 - 1e-9)


def test_probabilities_that_are_known():
    np.testing.assert_allclose(inclusion(np.array([1.0, 1.0, 2.0, 0.0]), 2.0), [0.5, 0.5, 1.0, 0.0])
    np.testing.assert_allclose(inclusion(np.array([1.0, 1.0, 100.0]), 2.0), [0.5, 0.5, 1.0], rtol=2e-3)
    np.testing.assert_allclose(inclusion(np.ones(8), 2.0), np.full(8, 0.25))
    np.testing.assert_array_equal(inclusion(np.array([3.0, 0.0, 0.1]), 2.0), [1.0, 0.0, 1.0])


@given(size=sizes, m=st.integers(1, 250), second=st.floats(0.0, 1.0), sized=st.booleans(), seed=seeds)
def test_a_sample_is_in_order_and_its_weights_are_one_over_probabilities(size, m, second, sized, seed):
    n = len(size)
    is_second = (seeded(seed).random(n) < second).astype(np.uint8)
    m = max(m, 4)
    rows, weight = draw(is_second, m, seeded(seed), size if sized else None)
    assert rows.shape == weight.shape
    assert ((rows >= 0) & (rows < n)).all()
    assert (np.diff(rows) >= 0).all()
    assert (weight >= 1.0 - 1e-12).all()
    assert np.isfinite(weight).all()
    if sized:
        assert (size[rows] > 0.0).all()
        assert (np.diff(rows) > 0).all()
    if m >= n:
        np.testing.assert_array_equal(rows, np.flatnonzero(size) if sized else np.arange(n))
        np.testing.assert_array_equal(weight, 1.0)
    elif not sized:
        assert weight.sum() == pytest.approx(n)


@given(size=sizes, m=st.integers(4, 100), seed=seeds)
def test_a_sample_depends_on_the_seed_alone(size, m, seed):
    is_second = np.arange(len(size)) % 3 == 0
    for given_size in (None, size):
        first = draw(is_second, m, seeded(seed), given_size)
        second = draw(is_second, m, seeded(seed), given_size)
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_another_seed_draws_other_rows():
    is_second = np.arange(1000) % 2
    for size in (None, np.ones(1000) + np.arange(1000) / 1000):
        first, second = (draw(is_second, 100, seeded(k), size)[0] for k in (0, 1))
        assert len(np.intersect1d(first, second)) < 50


@functools.cache
def population(kind: str):
    """Labels, sizes or None, and a quantity whose total is to be estimated; 400 rows."""
    rng = seeded(3)
    n = 400
    share = 0.02 if kind.startswith("rare") else 0.4
    is_second = (rng.random(n) < share).astype(np.uint8)
    size = rng.pareto(1.5, n) + 0.1 if kind.endswith("sized") else None
    if kind == "zeros, sized":
        size[::3] = 0.0
    value = rng.standard_normal(n) + 3.0 * is_second + np.arange(n) / 100
    return is_second, size, value


@pytest.mark.parametrize("kind", ["even", "rare", "sized", "rare, sized", "zeros, sized"])
def test_the_weighted_total_is_unbiased(kind):
    is_second, size, value = population(kind)
    wanted = value if size is None else np.where(size > 0.0, value, 0.0)
    generator = seeded(4)
    totals = np.empty((DRAWS, 3))
    for k in range(DRAWS):
        rows, weight = draw(is_second, 60, generator, size)
        second = is_second[rows] == 1
        totals[k] = weight @ value[rows], weight @ second, weight.sum()
    exact = wanted.sum(), (wanted * 0 + is_second)[wanted != 0].sum(), np.count_nonzero(wanted)
    error = totals.std(axis=0) / np.sqrt(DRAWS)
    assert (np.abs(totals.mean(axis=0) - exact) <= SIGMAS * error + 1e-9 * np.abs(exact)).all()
    assert error[0] < 0.02 * abs(exact[0])  # else the test could not fail


@pytest.mark.parametrize("kind", ["sized", "rare, sized", "zeros, sized"])
def test_rows_are_drawn_with_the_probabilities_that_their_weights_tell(kind):
    is_second, size, _ = population(kind)
    generator = seeded(5)
    counts, told = np.zeros(len(size)), np.full(len(size), np.nan)
    for _ in range(DRAWS):
        rows, weight = draw(is_second, 60, generator, size)
        counts[rows] += 1
        assert (np.isnan(told[rows]) | (told[rows] == 1.0 / weight)).all()  # a probability is that of every draw
        told[rows] = 1.0 / weight
    assert (counts[size == 0.0] == 0).all()
    drawn = counts > 0
    assert drawn[size > 0.0].mean() > 0.99
    error = np.sqrt(DRAWS * told[drawn] * (1.0 - told[drawn]))
    assert (np.abs(counts[drawn] - DRAWS * told[drawn]) <= SIGMAS * error + 1e-9 * DRAWS).all()
    # Within a class, in proportion to the size.
    for label in (0, 1):
        free = drawn & (told < 1.0) & (is_second == label)
        ratio = told[free] / size[free]
        np.testing.assert_allclose(ratio, ratio.max(initial=0.0), rtol=1e-9)
        assert free.any() or kind.startswith("rare")  # all eight of a rare class are taken


@pytest.mark.parametrize("share", [0.3, 0.5, 0.94])
def test_sorted_labels_are_sampled_like_shuffled_ones(share):
    n, m = 10_000, 500
    is_second = (np.arange(n) < share * n).astype(np.uint8)  # sorted: a prefix would hold one class
    for seed in range(20):
        rows, weight = draw(is_second, m, seeded(seed))
        assert len(rows) == m
        # One row of every stretch: the count of a class is off by one at most.
        assert abs(int(is_second[rows].sum()) - share * m) <= 1
        assert weight.sum() == pytest.approx(n)


@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("label", [0, 1])
def test_a_rare_class_is_taken_whole_with_weight_one(label, sized):
    n, m, rare = 10_000, 400, 30
    is_rare = np.zeros(n, dtype=bool)
    is_rare[seeded(2).choice(n, rare, replace=False)] = True
    is_second = (is_rare == label).astype(np.uint8)
    size = 1.0 + seeded(3).random(n) if sized else None
    rows, weight = draw(is_second, m, seeded(0), size)
    np.testing.assert_array_equal(rows[is_rare[rows]], np.flatnonzero(is_rare))
    np.testing.assert_array_equal(weight[is_rare[rows]], 1.0)
    others = weight[~is_rare[rows]]
    assert others.sum() == pytest.approx(n - rare, rel=0.1 if sized else 1e-12)
    assert 0.9 * (m - rare) <= len(others) <= m


def test_a_rare_class_too_large_to_be_taken_whole_adds_a_quarter():
    n, m = 100_000, 400
    is_second = (seeded(1).random(n) < 0.5 * RARE_SHARE).astype(np.uint8)
    rows, weight = draw(is_second, m, seeded(0))
    second = is_second[rows] == 1
    assert int(second.sum()) == m // 4
    assert len(rows) <= 1.25 * m
    assert weight[second].sum() == pytest.approx(is_second.sum())
    assert weight[~second].sum() == pytest.approx(n - is_second.sum())


def test_a_row_of_overwhelming_size_is_always_there_with_its_true_weight():
    n = 5000
    size = np.ones(n)
    size[[17, 2500, 4999]] = 1e4
    is_second = np.arange(n) % 2
    for seed in range(50):
        rows, weight = draw(is_second, 100, seeded(seed), size)
        assert {17, 2500, 4999} <= set(rows.tolist())
        np.testing.assert_array_equal(weight[np.isin(rows, [17, 2500, 4999])], 1.0)


class AlwaysZero:
    """The generator that draws the smallest number it may."""

    def random(self, size=None):
        return 0.0 if size is None else np.zeros(size)


def test_rows_of_size_zero_are_not_drawn_even_by_the_smallest_start():
    size = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    rows, weight = draw(np.zeros(8, dtype=np.uint8), 2, AlwaysZero(), size)
    np.testing.assert_array_equal(rows, [2, 5])
    np.testing.assert_array_equal(weight, [2.0, 2.0])
    np.testing.assert_array_equal(evenly(8, 4, AlwaysZero()), [0, 2, 4, 6])


def test_a_class_without_weight_and_a_single_class_are_drawn_all_the_same():
    is_second = np.arange(100) % 2
    rows, weight = draw(is_second, 20, seeded(0), np.where(is_second, 1.0, 0.0))
    assert (is_second[rows] == 1).all()
    assert weight.sum() == pytest.approx(50, rel=1e-9)
    rows, weight = draw(np.zeros(100, dtype=np.uint8), 20, seeded(0))
    assert len(rows) == 20
    assert weight.sum() == pytest.approx(100)


@settings(max_examples=30)
@given(m=st.integers(4, 99), n=st.integers(100, 400), seed=seeds)
def test_the_number_of_rows_drawn_is_about_the_number_wanted(m, n, seed):
    is_second = np.arange(n) % 2
    size = 1.0 + seeded(seed).exponential(size=n)
    assert abs(len(draw(is_second, m, seeded(seed), size)[0]) - m) <= 4
    assert len(draw(is_second, m, seeded(seed))[0]) == m


@pytest.mark.parametrize(
    ("size", "m"),
    [([5.7e-5, 2.6e-21], 1), ([1.9e13, 5.9e-7, 4.8e-10], 1), ([1e20, 1e20, 1.0, 1e-9], 2), ([1.0, 1.0], 0.5)],
)
def test_sizes_of_all_magnitudes_still_add_up_to_the_rows_wanted(size, m):
    assert inclusion(np.array(size), m).sum() == pytest.approx(m, rel=1e-12)

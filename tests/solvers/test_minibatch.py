"""Epochs, order of the rows, reasons to stop: the solver on stand-ins that hold no data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpu_logreg.mathematics.optimizers import Schedule
from gpu_logreg.solvers import Stop
from gpu_logreg.solvers.minibatch import Progress, minibatch


class Script:
    """Batches that give the values and scores they are told to."""

    def __init__(self, values, scores=(), finite=lambda at: True):
        self.finite = finite
        self.values, self.scores = iter(values), iter(scores)
        self.orders, self.rates, self.kept, self.at = [], [], {}, 0

    def epoch(self, order, batch_size, rate):
        self.orders.append(np.array(order))
        self.rates.append(rate)
        self.at += 1
        return next(self.values)

    def score(self):
        return next(self.scores)

    def has_finite_loss(self, rows):
        return self.finite(self.at)

    def keep(self, name):
        self.kept[name] = self.at

    def recall(self, name):
        self.at = self.kept[name]

    def vector(self):
        return np.array([float(self.at)])


def run(values, scores=(), *, finite=lambda at: True, schedule=None, rng=None, progress=None, rows=None, **options):
    batches = Script(values, scores, finite)
    rows = np.arange(20) if rows is None else rows
    schedule = Schedule("constant", 0.5) if schedule is None else schedule
    options = {"max_iter": 50, "n_iter_no_change": 3, "tol": 0.1} | options
    progress = Progress() if progress is None else progress
    return batches, minibatch(batches, rows, batch_size=8, schedule=schedule, rng=rng, progress=progress, **options)


def falling(n):
    return [10.0 - k for k in range(n)]


def test_every_epoch_is_a_new_shuffle_of_all_rows():
    rows = np.arange(100, 150)
    batches, _ = run(falling(4), rng=np.random.default_rng(1), rows=rows, max_iter=4)
    assert len({order.tobytes() for order in batches.orders}) == 4
    for order in batches.orders:
        np.testing.assert_array_equal(np.sort(order), rows)
    again, _ = run(falling(4), rng=np.random.default_rng(1), rows=rows, max_iter=4)
    np.testing.assert_array_equal(again.orders, batches.orders)
    unshuffled, _ = run(falling(4), rows=rows, max_iter=4)
    np.testing.assert_array_equal(unshuffled.orders, [rows] * 4)


def test_max_iter():
    batches, progress = run(falling(5), max_iter=5)
    assert progress.n_iter == batches.at == 5
    assert progress.rows_seen == 100
    assert progress.loss_curve == falling(5)
    assert progress.best_loss == 6.0
    assert progress.stop == Stop("max_iter = 5 reached", False)


def test_a_loss_that_no_longer_falls_by_tol():
    values = [10.0, 9.0, 8.95, 8.94, 8.93, 8.92, 8.0]
    batches, progress = run(values)
    # Four epochs in a row that gained less than tol, one more than n_iter_no_change.
    assert progress.n_iter == batches.at == 6
    assert progress.stop.converged
    assert progress.stop.message == "the training loss did not improve by more than tol = 0.1 for 3 epochs"
    assert progress.best_loss == 8.92


def test_a_gain_starts_the_count_again():
    values = [10.0, 9.0, 9.0, 9.0, 9.0, 8.5, 8.5, 8.5, 8.5, 8.5]
    assert run(values)[1].n_iter == 10


def test_the_adaptive_rate_falls_instead():
    values = [5.0] * 30
    batches, progress = run(values, schedule=Schedule("adaptive", 1e-5))
    assert progress.stop.converged
    np.testing.assert_allclose(batches.rates, [1e-5] * 5 + [2e-6] * 4 + [4e-7] * 4, rtol=1e-9)


def test_the_score_of_the_rows_held_back_decides_and_the_best_is_kept():
    scores = [0.5, 0.8, 0.7, 0.85, 0.6, 0.6, 0.9]
    batches, progress = run(falling(7), scores, by_score=True)
    assert progress.n_iter == 6
    assert progress.validation_scores == scores[:6]
    assert progress.best_validation_score == 0.85
    assert batches.at == 4
    assert progress.stop.message == "the validation score did not improve by more than tol = 0.1 for 3 epochs"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_goes_back_to_the_last_finite_epoch(bad):
    batches, progress = run([3.0, 2.0, bad, 1.0])
    assert progress.n_iter == batches.at == 2
    assert progress.loss_curve == [3.0, 2.0]
    assert progress.diverged
    assert progress.stop == Stop("the loss is no longer finite in epoch 3", False)


def test_divergence_that_began_with_the_last_update_of_the_epoch_before():
    batches, progress = run([3.0, 2.0, 1.0, math.nan], finite=lambda at: at < 3)
    assert batches.at == 2
    assert progress.n_iter == 3
    assert progress.stop.message == "the loss is no longer finite in epoch 4"


def test_divergence_with_the_very_last_update():
    batches, progress = run([3.0, 2.0, 1.0], finite=lambda at: at < 3, max_iter=3)
    assert batches.at == progress.n_iter == 2
    assert progress.loss_curve == [3.0, 2.0]
    assert progress.diverged


def test_divergence_in_the_first_epoch_keeps_the_start():
    batches, progress = run([math.nan])
    assert progress.n_iter == batches.at == 0
    assert progress.diverged


def test_an_observer_sees_every_epoch_and_may_stop():
    told = []

    def observer(iteration):
        told.append(iteration)
        return iteration.n_iter == 3

    _, progress = run(falling(9), observer=observer)
    assert [i.n_iter for i in told] == [1, 2, 3]
    assert [i.value for i in told] == falling(3)
    assert [i.params.tolist() for i in told] == [[1.0], [2.0], [3.0]]
    assert {i.step for i in told} == {0.5}
    assert progress.stop == Stop("stopped by a callback", False)
    told.clear()
    run(falling(9), observer=observer, max_iter=2)
    assert [i.last for i in told] == [False, True]


def test_going_on_from_earlier_progress():
    _, progress = run(falling(3), max_iter=3)
    _, progress = run([7.99, 7.98, 7.97, 7.96], progress=progress, max_iter=4)
    assert progress.n_iter == 4
    assert progress.rows_seen == 140
    assert len(progress.loss_curve) == 7
    assert progress.stop.converged


def test_going_on_by_score_ends_at_the_best_known():
    """Of this fit or of one before it: an earlier score that no epoch reaches is not forgotten."""
    batches, progress = run(falling(4), [0.5, 0.8, 0.7, 0.6], by_score=True, max_iter=4)
    assert (batches.at, progress.best_validation_score) == (2, 0.8)
    batches, progress = run(falling(2), [0.7, 0.75], by_score=True, max_iter=2, progress=progress)
    assert batches.at == 0  # where it began, which is all that it knows of the fit before
    assert progress.best_validation_score == 0.8
    batches, progress = run(falling(2), [0.7, 0.9], by_score=True, max_iter=2, progress=progress)
    assert (batches.at, progress.best_validation_score) == (2, 0.9)
    progress.best_params = "kept by the caller"
    batches = Script(falling(1), [0.1])
    batches.kept["best"] = -7
    limits = {"batch_size": 8, "schedule": Schedule("constant", 0.5), "rng": None, "progress": progress}
    minibatch(batches, np.arange(20), by_score=True, max_iter=1, **limits)
    assert batches.at == -7


def test_going_on_by_score_from_an_epoch_that_diverges():
    progress = Progress(best_validation_score=0.8)
    batches, progress = run([math.nan], by_score=True, progress=progress)
    assert batches.at == 0
    assert progress.diverged

"""The loop that solvers share: what it does where a search finds nothing, and where passes become more precise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from gpu_logreg import LogisticRegression
from gpu_logreg.solvers import Stop
from gpu_logreg.solvers.criteria import PLATEAU
from gpu_logreg.solvers.iteration_loop import Patience, iterate, widen_for_the_last
from gpu_logreg.solvers.line_search import Trial


class Objective:
    """Passes that can be widened once."""

    rounding, precision, separable_below = 1e-6, 1e-7, 0.0
    n_widened = 0

    def widen(self) -> bool:
        self.n_widened += 1
        self.precision = self.rounding = 1e-16
        return self.n_widened == 1


class Script:
    """Steps whose searches succeed, or not, as it is written; every success halves what remains."""

    measure, exact, keeps_model, smooth_grad = "max |grad|", False, True, None

    def __init__(self, outcomes: str, recoveries: int = 0) -> None:
        self.objective = Objective()
        self.here = Trial(0.0, np.zeros(1), 1.0, -1.0, np.ones(1))
        self.outcomes, self.recoveries, self.log = list(outcomes), recoveries, ""
        self.remaining = 1.0

    def evaluate(self) -> None:
        self.log += "e"

    def restart(self, model=None) -> None:
        self.log += "r" if model is None else "m"

    def propose(self, n_iter: int, renew: bool) -> float:
        self.log += "P" if renew else "p"
        return self.remaining

    def step(self, remaining: float) -> bool:
        success = self.outcomes.pop(0) == "+"
        self.remaining *= 0.5 if success else 1.0
        self.log += "+" if success else "-"
        return success

    def recover(self, remaining: float) -> bool:
        self.recoveries -= 1
        return self.recoveries >= 0

    def step_unseen(self):
        self.log += "u"
        self.here = self.here._replace(value=0.5)
        return self.remaining

    def figures(self) -> str:
        return "figures"


def small(here: Trial, remaining: float) -> Stop | None:
    return Stop("small", True) if remaining <= 0.3 else None


def test_steps_until_the_criterion_and_one_that_is_not_evaluated():
    steps = Script("++")
    result = iterate(steps, criterion=small, max_iter=9, last_step=True)
    assert steps.log == "eP+P+Pu"
    assert (result.n_iter, result.converged, result.message, result.value) == (2, True, "small", 0.5)
    assert result.predicted == 0.25
    assert result.loss_curve == [1.0, 1.0, 0.5]


def test_another_model_where_a_search_finds_nothing_and_no_new_one_for_it():
    steps = Script("-+-+", recoveries=2)
    result = iterate(steps, criterion=small, max_iter=9, refresh=lambda here, remaining: None)
    assert steps.log == "eP-p+P-p+P"
    assert result.converged


def test_passes_are_widened_before_it_gives_up():
    steps = Script("--")
    result = iterate(steps, criterion=small, max_iter=9)
    assert steps.log == "eP-ep-"
    assert not result.converged
    assert result.stuck
    assert result.message.startswith("no lower value within rounding (1e-16 of the value) with figures")


def test_a_step_that_rounding_hid_is_tried_again_after_widening():
    steps = Script("-++")
    result = iterate(steps, criterion=small, max_iter=9, before_step=lambda here, r: steps.objective.widen())
    assert steps.log == "eP-eP+P+P"
    assert result.converged


@pytest.mark.parametrize("widens", [False, True])
def test_a_better_model_and_the_point_anew_where_it_has_widened_the_passes(widens):
    steps, models = Script("++"), ["model"]

    def refresh(here: Trial, remaining: float):
        if models and widens:
            steps.objective.widen()
        return models.pop() if models else None

    iterate(steps, criterion=small, max_iter=9, refresh=refresh)
    assert steps.log == ("ePmep+P+P" if widens else "ePmp+P+P")


class Idle(Script):
    """Steps that find lower values, by which nothing less remains."""

    def step(self, remaining: float) -> bool:
        self.log += "+"
        return True


@pytest.mark.parametrize(("remaining", "stops"), [(5e-11, True), (1e-8, False), (1e-3, False)])
def test_a_decrease_that_no_longer_halves_ends_the_run_where_it_is_rounding(remaining, stops):
    steps = Idle("")
    steps.remaining = remaining
    result = iterate(steps, criterion=lambda *_: None, max_iter=9, patience=3)
    assert result.converged == result.stuck == stops
    assert result.n_iter == (3 if stops else 9)
    assert steps.log.startswith("eP+P+P+P")
    assert steps.objective.n_widened == (remaining == 1e-8)  # which precise passes show to be no rounding


def test_patience_begins_anew_with_more_precise_passes():
    steps = Idle("")
    steps.remaining = 1e-8
    steps.objective.widen = lambda: steps.log.count("e") == 1  # once; they hide as much
    result = iterate(steps, criterion=lambda *_: None, max_iter=19, patience=3)
    assert result.converged
    assert result.n_iter == 3 + 1 + 3


class Still(Idle):
    """Steps with exact curvature that only stir the rounding of the value."""

    exact = True

    def step(self, remaining: float) -> bool:
        self.here = self.here._replace(value=1.0 + 1e-12 * (self.here.value == 1.0))
        return True


def test_exact_steps_end_where_the_value_stands_still():
    steps = Still("")
    steps.remaining, steps.objective.rounding = 1e-11, 1e-16
    result = iterate(steps, criterion=lambda *_: None, max_iter=2 * PLATEAU)
    assert result.converged
    assert result.n_iter == PLATEAU
    assert "the value has not fallen" in result.message


def test_the_last_iteration_asks_for_no_model_and_an_observer_stops():
    steps, seen = Script("+++"), []
    result = iterate(steps, criterion=lambda *_: None, max_iter=2, observer=lambda it: seen.append(it.last))
    assert steps.log == "eP+P+p"
    assert result.message == "max_iter = 2 reached with figures"
    assert seen == [False, True]
    result = iterate(Script("+++"), criterion=lambda *_: None, max_iter=2, observer=lambda it: True)
    assert (result.n_iter, result.message) == (1, "stopped by a callback")


def test_passes_are_widened_for_the_last_step_alone():
    objective = Objective()
    before_step = widen_for_the_last(objective, 1e-3)
    assert before_step is not None
    here = Trial(0.0, np.zeros(1), 1.0, -1.0, np.ones(1))
    assert not before_step(here, 1.0)  # no rate is known
    assert not before_step(here, 0.1)
    assert before_step(here, 0.008)  # at the rate of 0.08 the next is below 1e-3
    assert not before_step(here, 0.0001)  # they are precise already
    assert widen_for_the_last(objective, 1e-3) is None


@pytest.mark.parametrize(
    ("remaining", "precision", "wanted"),
    [(1e-10, 1e-7, 5), (1.1e-10, 1e-7, 20), (1e-10, 2e-16, 20)],
)
def test_less_patience_where_enough_is_known_and_rounding_is_stirred(remaining, precision, wanted):
    objective = Objective()
    objective.precision = precision
    assert Patience(enough=1e-10).at(objective, 1.0, remaining) == wanted
    assert Patience().at(objective, 1.0, remaining) == 20
    objective.rounding = 1e-8  # a hundredth of it remains: gradients may still tell
    assert Patience(enough=1e-10).at(objective, 1.0, 1e-10) == 20


def test_bytes_far_from_zero_take_about_the_reads_of_those_near_it():
    rng = np.random.default_rng(0)  # 1.8 times as many with twenty steps' patience
    n, d, K = 20_000, 300, 10
    by_factor, factors = rng.standard_normal((6, d)), rng.standard_normal((n, 6))
    X = np.clip(8.0 * factors @ by_factor + 5.0 * rng.standard_normal((n, d)), 0, 55)
    X[rng.random((n, d)) < 0.3] = 0
    Z = (X - X.mean(axis=0)) @ rng.standard_normal((d, K))
    y = (2.0 * Z / Z.std() + rng.gumbel(size=Z.shape)).argmax(axis=1)
    near = X.astype(np.uint8)
    at_zero, far = (LogisticRegression(random_state=0).fit(rows, y) for rows in (near, near + np.uint8(200)))
    assert at_zero.solver_ == far.solver_ == "lbfgs"
    assert far.converged_
    assert far.n_reads_ <= 1.35 * at_zero.n_reads_
    Z = (near.astype(np.float64) + 200.0) @ far.coef_.T + far.intercept_
    value = np.mean(logsumexp(Z, axis=1) - Z[np.arange(n), y]) + 0.5 * np.sum(far.coef_.astype(np.float64) ** 2) / n
    assert value == pytest.approx(at_zero.objective_, rel=1e-9)

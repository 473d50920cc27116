"""Random problems by ``bench/stress.py``, and its judge: known optima are accepted, every kind of fault is found."""

from __future__ import annotations

import math
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as TheirLogisticRegression
from sweeps import slow

from gpu_logreg import LogisticRegression
from gpu_logreg.errors import GpuLogregError

sys.path.append(str(Path(__file__).parents[2] / "bench"))

import stress_judge
from certificate import find_truth
from exact_objective import Exact, Standard
from lower_bounds import lower_bound
from quadratic import minimise_quadratic, solve_transposed, solve_upper, triangle
from stress_judge import exact_of, judge
from stress_problems import draw

WIDE = np.longdouble
ROUNDING = WIDE(1e-17)


@pytest.fixture(autouse=True)
def quiet_sums():
    with np.errstate(all="ignore"):  # logits without bound are no news to the certificate
        yield


# --- the fits themselves


@pytest.mark.parametrize("seed", range(7_000_000, 7_000_040))
def test_a_random_problem_is_fitted_as_its_certificate_says(seed):
    verdict = judge(draw(seed, small=True), LogisticRegression, GpuLogregError)
    assert verdict.faults == [], verdict.text


@pytest.mark.parametrize(
    ("seed", "resolved"),
    [
        (101_100_334, True),  # widened before a step, from a value whose rounding hid every lower one
        slow((101_100_465, True)),  # the same matrix given anew where no step was found, without end
        slow((2_100_079, True)),  # steps on a value that only its rounding moves, to the last iteration
        (2_100_818, True),  # 80 steps of few rows, most of them damped a thousand times too much
        (1_100_337, True),  # lbfgs on columns in units far apart: a thousand steps, and no end
        (1_100_131, True),  # lbfgs that drifted along the constant that all classes may have in common
        (4_400_308, True),  # no coordinate alone left much to gain, and all of them together did
        (3_100_102, True),  # L1 with a twin column: the twins differ by less than a float64 Hessian shows
        (4_300_105, True),
        (1_100_876, True),  # the same of columns far from zero without an intercept
        (2_100_805, True),
        (2_100_851, True),
        (4_100_038, True),  # weights of twin columns cancel, and with them the digits of a value in float64
        slow((2_100_923, False)),  # the same, of nine digits, for a minimum that lies far away
    ],
)
def test_a_problem_that_was_not_fitted_once_is_now_or_said_not_to_be(seed, resolved):
    drawn = draw(seed)
    model = LogisticRegression(**drawn.params)
    with warnings.catch_warnings(action="ignore"):
        model.fit(drawn.X, drawn.y, drawn.sample_weight)
    value = exact_of(drawn).value(model.coef_, model.intercept_)
    assert model.objective_ == pytest.approx(float(value), rel=1e-9)
    if resolved or model.converged_:
        assert stress_judge.relative_excess(value, find_truth(exact_of(drawn)).upper) <= 1e-7


@pytest.mark.parametrize("seed", [4_200_099, 4_300_360, 5_100_330, slow(2_100_720)])
def test_the_scale_of_the_weights_changes_nothing(seed):
    drawn = draw(seed)
    s = np.ones(len(drawn.y)) if drawn.sample_weight is None else drawn.sample_weight.astype(float)
    fits = []
    for factor in (1.0, 1e6, 1e-6, 2.0**20):
        # With the usual tol two ways to one minimum end 5e-9 of the value apart where no penalty bends the loss.
        model = LogisticRegression(**{"tol": 1e-8, **drawn.params, "C": drawn.params["C"] / factor})
        fits.append(model.fit(drawn.X, drawn.y, s * factor))
    assert [model.converged_ for model in fits] == [True] * 4
    values = [float(exact_of(drawn).value(model.coef_, model.intercept_)) for model in fits]
    np.testing.assert_allclose(values, values[0], rtol=1e-9)


# --- the draws


@pytest.mark.parametrize("seed", range(100, 160))
def test_a_seed_is_one_problem_and_its_container_holds_its_rows(seed):
    one, two = draw(seed, small=True), draw(seed, small=True)
    assert one.text == two.text
    held = one.X.toarray() if hasattr(one.X, "toarray") else np.asarray(one.X)
    np.testing.assert_array_equal(held, two.rows)
    np.testing.assert_array_equal(one.y, two.y)
    assert np.isfinite(one.rows.astype(WIDE)).all()
    weighed = np.bincount(one.labels, one.row_weights > 0)
    assert len(weighed) == one.n_classes
    assert (weighed > 0).all()


def test_draws_are_as_wide_as_they_say():
    drawn = [draw(seed, small=True) for seed in range(200)]
    assert {problem.n_classes for problem in drawn} == {2, 3, 4, 5, 6}
    assert {problem.rows.dtype.name for problem in drawn} == {
        "float64",
        "float32",
        "float16",
        "int64",
        "int32",
        "uint8",
    }
    C = np.array([problem.params["C"] for problem in drawn])
    assert C.min() < 1e-9 and C[np.inf > C].max() > 1e9 and np.isinf(C).any()  # noqa: PT018
    assert len({type(problem.X) for problem in drawn}) > 9
    weights = [problem.sample_weight.max() for problem in drawn if problem.sample_weight is not None]
    assert min(weights) < 1e-10
    assert max(weights) > 1e10


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 0.25, 2: 1e-3}])
def test_row_weights_are_those_of_scikit_learn(class_weight):
    problem = next(
        draw(seed) for seed in range(99) if draw(seed).n_classes == 3 and draw(seed).sample_weight is not None
    )
    problem = problem._replace(y=problem.labels, params={"C": 1.0, "class_weight": class_weight})
    from sklearn.utils.class_weight import compute_class_weight

    s = np.asarray(problem.sample_weight, np.float64)
    by_class = compute_class_weight(class_weight, classes=np.arange(3), y=problem.labels, sample_weight=s)
    np.testing.assert_allclose(problem.row_weights.astype(float), s * by_class[problem.labels], rtol=1e-12)


# --- the certificate


def one_column(share: float, C: float, l1_ratio: float) -> Exact:
    """A hundred rows of ones without an intercept, of which a share is of the second class."""
    y = (np.arange(100) < 100 * share).astype(int)
    return Exact(np.ones((100, 1)), y, np.ones(100), 2, C, l1_ratio, fit_intercept=False)


@pytest.mark.parametrize(
    ("C", "l1_ratio", "w"),
    [(math.inf, 0.0, math.log(0.8 / 0.2)), (0.1, 1.0, math.log(0.7 / 0.3)), (0.01, 1.0, 0.0)],
    ids=["no penalty", "L1", "L1 that leaves nothing"],
)
def test_the_truth_of_a_column_of_ones_is_known(C, l1_ratio, w):
    truth = find_truth(one_column(0.8, C, l1_ratio))
    assert float(truth.coef[0, 0]) == pytest.approx(w, abs=1e-15)
    least = 0.8 * math.log1p(math.exp(-w)) + 0.2 * math.log1p(math.exp(w)) + l1_ratio * abs(w) / (100 * C)
    assert float(truth.upper) == pytest.approx(least, rel=1e-15)
    assert float(truth.lower) == pytest.approx(least, rel=1e-12)


def certain(K: int = 2, l1_ratio: float = 0.0, C: float = 1.0, seed: int = 0) -> Exact:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, 4)) * [1.0, 1e3, 1e-3, 1.0] + [0.0, 5e3, 0.0, 1.0]
    y = np.argmax(X[:, :1] * np.arange(K) + 2 * rng.gumbel(size=(40, K)), axis=1)
    y[:K] = np.arange(K)
    return Exact(X, y, rng.uniform(0.1, 2.0, 40), K, C, l1_ratio, fit_intercept=True)


CASES = [(K, l1_ratio, C) for K in (2, 3, 4) for l1_ratio in (0.0, 0.5, 1.0) for C in (1e-3, 1.0, 1e6)]


@pytest.mark.parametrize(("K", "l1_ratio", "C"), CASES)
def test_no_point_is_below_the_lower_bound(K, l1_ratio, C):
    exact = certain(K, l1_ratio, C)
    truth = find_truth(exact)
    assert abs(truth.upper - truth.lower) < 1e-12 * truth.upper
    rng = np.random.default_rng(1)
    for size in 10.0 ** np.arange(-8, 1):
        for _ in range(5):
            coef = truth.coef * (1 + size * rng.standard_normal(truth.coef.shape))
            intercept = truth.intercept + size * rng.standard_normal(truth.intercept.shape)
            assert exact.value(coef, intercept) >= truth.lower * (1 - ROUNDING)


@pytest.mark.parametrize(("K", "l1_ratio", "C"), CASES)
def test_the_bound_of_any_point_is_below_the_minimum(K, l1_ratio, C):
    """Also from points that are no minimum, where a bound that is too sharp would show."""
    exact = certain(K, l1_ratio, C)
    problem = Standard(exact)
    truth = find_truth(exact)
    best = np.zeros((exact.n_logits, problem.n_columns), WIDE)
    best[:, :-1] = truth.coef * problem.scale
    best[:, -1] = truth.intercept + truth.coef @ problem.centre
    assert float(problem.value(best)) == pytest.approx(float(truth.upper), rel=1e-15)
    rng = np.random.default_rng(2)
    told = 0
    for size in (1e-9, 1e-6, 1e-3, 0.1):
        u = best * (1 + size * rng.standard_normal(best.shape))
        bound = lower_bound(problem, u, problem.value(u))
        assert bound <= truth.upper * (1 + ROUNDING)
        told += bound > 0.9 * truth.upper
    assert told >= 2


@pytest.mark.parametrize("K", [2, 4])
def test_the_truth_is_that_of_scikit_learn(K):
    exact = certain(K)
    X, y, s = exact.x.astype(float), exact.y, exact.s.astype(float)
    scale = X.std(axis=0)
    theirs = TheirLogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10)
    # In columns of one scale, where their solver is exact, and with the ridge of the columns as they were: none.
    free = Exact(X / scale, y, s * 40, K, 1.0, 0.0, fit_intercept=True)
    theirs.fit(X / scale, y, s * 40)
    value = free.value(theirs.coef_, theirs.intercept_)
    truth = find_truth(free)
    assert float(value) == pytest.approx(float(truth.upper), rel=1e-11)
    assert truth.upper <= value * (1 + ROUNDING)


def test_separable_classes_have_no_minimum():
    X = np.linspace(-1, 1, 20)[:, None]
    exact = Exact(X, (X[:, 0] > 0).astype(int), np.ones(20), 2, math.inf, 0.0, fit_intercept=True)
    assert find_truth(exact).separable


def test_rows_that_are_certain_leave_a_bound_all_the_same():
    """Two groups of rows, of which a column tells one from the other's class for sure: the infimum is not attained."""
    X = np.array([[0.0]] * 10 + [[1.0]] * 5)
    y = np.array([0, 1] * 5 + [1] * 5)
    truth = find_truth(Exact(X, y, np.ones(15), 2, math.inf, 0.0, fit_intercept=True))
    assert float(truth.lower) == pytest.approx(10 / 15 * math.log(2.0), rel=1e-12)
    assert float(truth.upper) == pytest.approx(float(truth.lower), rel=1e-9)


def test_small_losses_keep_their_digits():
    exact = Exact(np.array([[1.0], [-1.0]]), np.array([1, 0]), np.ones(2), 2, math.inf, 0.0, fit_intercept=False)
    assert float(exact.value([[700.0]], [0.0])) == pytest.approx(math.exp(-700.0), rel=1e-15)


# --- small systems


def test_the_triangle_has_the_products_of_the_columns():
    M = np.random.default_rng(0).standard_normal((9, 6)).astype(WIDE) * 10.0 ** np.arange(0, -18, -3).astype(WIDE)
    R, order = triangle(M)
    np.testing.assert_allclose((R.T @ R).astype(float), (M[:, order].T @ M[:, order]).astype(float), rtol=1e-14)
    b = np.arange(1, 7).astype(WIDE)
    np.testing.assert_allclose((R @ solve_upper(R, b)).astype(float), b.astype(float), rtol=1e-14)
    np.testing.assert_allclose((R.T @ solve_transposed(R, b)).astype(float), b.astype(float), rtol=1e-14)


@pytest.mark.parametrize("seed", range(10))
def test_the_quadratic_with_l1_is_at_its_minimum(seed):
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((12, 7)).astype(WIDE)
    H, grad, u = M.T @ M, rng.standard_normal(7).astype(WIDE), rng.standard_normal(7).astype(WIDE)
    l1 = np.append(rng.uniform(0.0, 3.0, 6), 0.0).astype(WIDE)
    t = minimise_quadratic(H, grad, u, l1, 0.0)
    slope = grad + H @ (t - u)
    pull = np.where(t != 0, np.abs(slope + l1 * np.sign(t)), np.maximum(np.abs(slope) - l1, 0))
    assert float(pull.max()) < 1e-15


# --- the judge, by estimators that are wrong in one way each


class Optimal:
    """The optimum by the certificate itself."""

    def __init__(self, **params):
        self.params = params

    def fit(self, X, y, sample_weight=None):
        drawn = Optimal.problem._replace(sample_weight=sample_weight, params=self.params)
        exact = exact_of(drawn)
        truth = find_truth(exact)
        self.coef_, self.intercept_ = truth.coef.astype(float), truth.intercept.astype(float)
        self.classes_, self.n_features_in_, self.n_iter_ = np.unique(y), drawn.rows.shape[1], [truth.n_iter]
        self.converged_, self.stop_reason_ = not truth.separable, "by the certificate"
        self.spoil()
        self.objective_ = float(exact.value(self.coef_, self.intercept_)) * self.lie
        return self

    lie = 1.0

    def spoil(self):
        pass


class FarOff(Optimal):
    def spoil(self):
        self.coef_ = self.coef_ * 1.01


class SaysNothing(Optimal):
    def spoil(self):
        self.converged_ = False


class WarnsForNothing(Optimal):
    def spoil(self):
        warnings.warn("not at the optimum", ConvergenceWarning, stacklevel=2)


class Overflows(Optimal):
    def spoil(self):
        warnings.warn("overflow encountered in exp", RuntimeWarning, stacklevel=2)


class NotFinite(Optimal):
    def spoil(self):
        self.duality_gap_ = math.nan


class Lies(Optimal):
    lie = 1.0 + 1e-8


class Raises(Optimal):
    def spoil(self):
        raise np.linalg.LinAlgError("singular matrix")


class Refuses(Optimal):
    def spoil(self):
        raise GpuLogregError("two\nlines")


class ChangesWithTheScale(Optimal):
    def spoil(self):
        if self.params["C"] != Optimal.problem.params["C"]:
            self.coef_ = self.coef_ * (1 + 1e-3)


class StaysAfar(Optimal):
    def fit(self, X, y, sample_weight=None):
        far = getattr(self, "coef_", None)
        super().fit(X, y, sample_weight)
        if far is not None:
            self.coef_ = far
        return self


class Slow(Optimal):
    def spoil(self):
        time.sleep(0.02)


@pytest.fixture
def certain_problem(monkeypatch):
    problem = next(p for p in map(draw, range(99)) if p.n_classes == 2 and p.params["C"] == 1.0 and len(p.y) < 100)
    Optimal.problem = problem
    monkeypatch.setattr(stress_judge, "SHARE", 1.0)  # every property is looked at
    return problem


def kinds(problem, estimator):
    return {kind for kind, _ in judge(problem, estimator, GpuLogregError).faults}


def test_the_judge_finds_no_fault_with_the_optimum(certain_problem):
    verdict = judge(certain_problem, Optimal, GpuLogregError)
    assert verdict.faults == []
    assert verdict.notes == []
    assert verdict.excess < 1e-12


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (FarOff, "not the optimum"),
        (SaysNothing, "wrong warning"),
        (WarnsForNothing, "wrong warning"),
        (Overflows, "wrong warning"),
        (NotFinite, "not finite"),
        (Lies, "objective_"),
        (Raises, "raw exception"),
        (Refuses, "refused"),
        (Refuses, "message of many lines"),
        (ChangesWithTheScale, "scale of the weights"),
        (StaysAfar, "warm start"),
    ],
)
def test_the_judge_finds_every_kind_of_fault(certain_problem, estimator, expected):
    assert expected in kinds(certain_problem, estimator)


def test_the_judge_finds_a_slow_fit(certain_problem, monkeypatch):
    monkeypatch.setattr(stress_judge, "SLOW", 0.0)
    monkeypatch.setattr(stress_judge, "SLOWER", 1e-6)
    assert kinds(certain_problem, Slow) == {"slow"}


def test_the_judge_knows_that_separable_classes_have_no_minimum(certain_problem):
    z = certain_problem.rows[:, 0].astype(float)
    labels = (z > np.median(z)).astype(int)
    Optimal.problem = certain_problem._replace(labels=labels, y=labels, params={"C": math.inf}, sample_weight=None)

    class Settles(Optimal):
        def spoil(self):
            self.converged_ = True

    assert "converged where there is no minimum" in kinds(Optimal.problem, Settles)

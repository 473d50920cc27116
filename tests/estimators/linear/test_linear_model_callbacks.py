"""What a fit tells while it runs: printed lines, callables, scikit-learn's callbacks."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression
from gpu_logreg.solvers import Iteration

X, Y = make_classification(400, 8, n_informative=5, flip_y=0.1, random_state=0)
SOLVERS = ("auto", "lbfgs", "newton-cg", "gradient-descent")


@pytest.mark.parametrize("solver", SOLVERS)
def test_verbose_prints_a_line_after_every_iteration(capsys, solver):
    model = LogisticRegression(solver=solver, verbose=1).fit(X, Y)
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"{model.solver_} converged: {model.stop_reason_}"
    assert len(lines) == model.n_iter_[0]
    pattern = re.compile(
        r"(\S+) +(\d+)  objective (\S+)  max \|grad\| (\S+)  "
        r"(?:left \S+  )?(?:rate \S+ per read  )?step \S+  reads (\S+)  \d+\.\d\d s"
    )
    found = [pattern.fullmatch(line) for line in lines]
    assert all(found), lines
    assert {match[1] for match in found} == {model.solver_}
    assert [int(match[2]) for match in found] == list(range(1, len(lines) + 1))
    values = [float(match[3]) for match in found]
    np.testing.assert_allclose(values, model.loss_curve_[1:], rtol=1e-9)
    reads = [float(match[5]) for match in found]
    assert reads == sorted(reads)
    assert reads[-1] <= model.n_reads_ + 0.01


def test_silence_by_default(capsys):
    LogisticRegression().fit(X, Y)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callable_is_told_every_iteration(capsys, solver):
    told: list[Iteration] = []
    model = LogisticRegression(solver=solver, verbose=told.append).fit(X, Y)
    assert capsys.readouterr().out == ""
    assert [step.n_iter for step in told] == list(range(1, model.n_iter_[0] + 1))
    assert [step.value for step in told] == model.loss_curve_[1:]
    np.testing.assert_array_equal(told[-1].params, np.append(model.coef_, model.intercept_))


@pytest.mark.parametrize("solver", ["lbfgs", "gradient-descent"])
def test_a_callable_stops_the_fit_without_a_warning(solver):
    model = LogisticRegression(solver=solver, verbose=lambda step: step.n_iter == 2).fit(X, Y)
    assert model.n_iter_[0] == 2
    assert model.converged_ is False
    assert model.stop_reason_ == "stopped by a callback"
    assert np.isfinite(model.predict_proba(X)).all()


def test_lines_say_what_is_left_and_how_fast_it_falls(capsys):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((30_000, 40))
    LogisticRegression(verbose=1, tol=1e-10).fit(rows, rng.logistic(size=30_000) < rows[:, 0])
    *lines, last = capsys.readouterr().out.splitlines()
    assert all(re.search(r"left \d\.\d\de-\d\d  ", line) for line in lines)
    rates = [float(found[1]) for line in lines if (found := re.search(r"rate (\S+) per read", line))]
    assert len(rates) == len(lines) - 1 >= 2
    assert all(rate < 0.2 for rate in rates)
    assert last.startswith("subsampled-newton converged: ")


def test_an_error_of_a_callable_is_passed_on():
    def fail(iteration):
        raise ZeroDivisionError("in the callable")

    model = LogisticRegression(verbose=fail)
    with pytest.raises(ZeroDivisionError, match="in the callable"):
        model.fit(X, Y)
    assert not hasattr(model, "coef_")


# scikit-learn's callbacks


class Recorder:
    """Writes down every hook; asks to stop at the end of iteration ``stop_at``."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.events: list[tuple[str, str, int]] = []
        self.fitted: list = []
        self.data: list = []

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name, context.task_id))

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name, context.task_id))

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.events.append(("begin", context.task_name, context.task_id))
        self.data.append((X, y, metadata))

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.events.append(("end", context.task_name, context.task_id))
        self.data.append((X, y, metadata))
        self.fitted.append((context.task_name, fitted_estimator))
        return context.task_name == "iteration" and context.task_id == self.stop_at

    def balanced(self) -> bool:
        """Whether every task that began ended, innermost first, between set-up and tear-down."""
        if self.events[0] != ("setup", "fit", 0) or self.events[-1] != ("teardown", "fit", 0):
            return False
        running = []
        for hook, *task in self.events[1:-1]:
            if hook == "begin":
                running.append(task)
            elif hook != "end" or not running or running.pop() != task:
                return False
        return not running


@pytest.fixture
def callbacks():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from version 1.9 on")


def fitted_with(recorder, **parameters) -> LogisticRegression:
    return LogisticRegression(**parameters).set_callbacks(recorder).fit(X, Y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_hooks_are_balanced_and_one_per_iteration(callbacks, solver):
    recorder = Recorder()
    model = fitted_with(recorder, solver=solver)
    assert recorder.balanced(), recorder.events
    begun = [task_id for hook, name, task_id in recorder.events if hook == "begin" and name == "iteration"]
    assert begun == list(range(len(begun)))
    assert len(begun) == max(1, model.n_iter_[0])
    assert not hasattr(model, "_callback_fit_ctx")


@pytest.mark.parametrize("solver", SOLVERS)
def test_fitted_estimators_are_usable_after_every_iteration(callbacks, solver):
    recorder = Recorder()
    model = fitted_with(recorder, solver=solver)
    for _, fitted in recorder.fitted:
        assert fitted is not model
        assert fitted.predict_proba(X).shape == (len(X), 2)
        assert 0 <= fitted.score(X, Y) <= 1
    name, last = recorder.fitted[-1]
    assert name == "fit"
    np.testing.assert_array_equal(last.coef_, model.coef_)
    np.testing.assert_array_equal(last.intercept_, model.intercept_)


def test_hooks_are_given_the_data(callbacks):
    recorder = Recorder()
    weights = np.ones(len(Y))
    LogisticRegression().set_callbacks(recorder).fit(X, Y, weights)
    for rows, y, metadata in recorder.data:
        np.testing.assert_array_equal(rows, X)
        np.testing.assert_array_equal(y, Y)
        assert metadata["sample_weight"] is weights


@pytest.mark.parametrize("solver", ["lbfgs", "gradient-descent"])
def test_a_callback_stops_the_fit(callbacks, solver):
    recorder = Recorder(stop_at=1)
    model = fitted_with(recorder, solver=solver)
    assert model.n_iter_[0] == 2
    assert model.stop_reason_ == "stopped by a callback"
    assert recorder.balanced(), recorder.events


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("max_iter", [0, 1, 3])
def test_hooks_are_balanced_at_the_limit_of_iterations(callbacks, solver, max_iter):
    recorder = Recorder()
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model = fitted_with(recorder, solver=solver, max_iter=max_iter, tol=0.0)
    assert model.n_iter_[0] <= max_iter
    assert recorder.balanced(), recorder.events


@pytest.mark.parametrize("solver", SOLVERS)
def test_hooks_are_balanced_where_the_start_is_the_optimum(callbacks, solver):
    recorder = Recorder()
    model = LogisticRegression(solver=solver, warm_start=True, tol=1e-4).fit(X, Y)
    model.set_callbacks(recorder).fit(X, Y)
    assert recorder.balanced(), recorder.events


def test_hooks_are_balanced_where_a_callable_stops_the_fit(callbacks):
    recorder = Recorder()
    fitted_with(recorder, solver="lbfgs", verbose=lambda step: step.n_iter == 2)
    assert recorder.balanced(), recorder.events


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_callbacks_are_torn_down_where_the_fit_fails(callbacks, error):
    def fail(iteration):
        raise error

    recorder = Recorder()
    model = LogisticRegression(verbose=fail).set_callbacks(recorder)
    with pytest.raises(error):
        model.fit(X, Y)
    assert recorder.events[-1][0] == "teardown"
    assert not hasattr(model, "_callback_fit_ctx")
    model.set_params(verbose=0).fit(X, Y)
    assert model.converged_


def test_progress_bar(callbacks, capsys):
    pytest.importorskip("rich", reason="scikit-learn draws its progress bar with rich")
    model = LogisticRegression(solver="lbfgs").set_callbacks(callbacks.ProgressBar()).fit(X, Y)
    assert model.converged_
    assert "LogisticRegression" in capsys.readouterr().out


def test_scoring_monitor(callbacks):
    monitor = callbacks.ScoringMonitor(scoring="accuracy")
    model = LogisticRegression(solver="lbfgs").set_callbacks(monitor).fit(X, Y)
    assert model.converged_


def test_callbacks_do_not_change_the_fit_and_survive_cloning(callbacks):
    plain = LogisticRegression().fit(X, Y)
    recorder = Recorder()
    model = LogisticRegression().set_callbacks(recorder)
    np.testing.assert_array_equal(model.fit(X, Y).coef_, plain.coef_)
    n_events = len(recorder.events)
    clone(model).fit(X, Y)
    assert len(recorder.events) >= n_events

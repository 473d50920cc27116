"""What a fit refuses, in one line that names the culprit, and what it leaves behind when it fails."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from gpu_logreg import LogisticRegression
from gpu_logreg.errors import DataError, DeviceError, GpuLogregError, ImplementationError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
Y = (X[:, 0] + 0.5 * RNG.standard_normal(60) > 0).astype(int)
SOLVERS = ("auto", "lbfgs", "gradient-descent")


def refusal(rows, y, weights=None, kind=DataError, **parameters) -> str:
    model = LogisticRegression(**parameters)
    with pytest.raises(kind) as error:
        model.fit(rows, y, weights)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    assert not [name for name in vars(model) if name.endswith("_")]
    return str(error.value)


def one_line(*arguments, **options) -> str:
    message = refusal(*arguments, **options)
    assert "\n" not in message
    return message


def test_errors_have_a_common_root_and_are_the_errors_python_expects():
    assert issubclass(DataError, ValueError)
    assert issubclass(ImplementationError, ValueError)
    assert issubclass(DeviceError, RuntimeError)
    for error in (DataError, ImplementationError, DeviceError):
        assert issubclass(error, GpuLogregError)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("bad", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_values_that_are_not_finite_are_named_by_row_and_column(solver, dtype, order, bad, kind):
    rows = np.array(X, dtype, order=order)
    rows[41, 2] = rows[17, 1] = rows[17, 2] = bad
    assert f"Input X contains {kind} at row 17, column 1;" in one_line(rows, Y, solver=solver)


@pytest.mark.parametrize("solver", SOLVERS)
def test_infinities_of_both_signs_in_one_column(solver):
    rows = X.copy()
    rows[5, 1], rows[6, 1] = np.inf, -np.inf
    assert "infinity at row 5, column 1" in one_line(rows, Y, solver=solver)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_bad_value_in_a_row_of_weight_zero_is_named_all_the_same(solver):
    rows, s = X.copy(), np.ones(60)
    rows[33, 0], s[33] = np.nan, 0.0
    assert "NaN at row 33, column 0" in one_line(rows, Y, s, solver=solver)


def test_one_bad_value_among_many_rows_is_found():
    rows = RNG.standard_normal((50_000, 3))
    y = (rows[:, 0] > 0).astype(int)
    rows[43_210, 1] = np.nan
    for parameters in ({}, {"solver": "lbfgs"}, {"impl": "cpu"}):
        assert "NaN at row 43210, column 1" in one_line(rows, y, **parameters)


def test_bad_values_of_a_table_are_named_with_their_column():
    table = pd.DataFrame(X, columns=["age", "height", "weight"])
    table.loc[9, "height"] = np.nan
    assert "NaN at row 9, column 1 ('height'); remove or impute it" in one_line(table, Y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_finite_values_whose_squares_overflow_are_fitted_or_refused_in_words(solver):
    rows = X * 1e200
    model, refused = LogisticRegression(solver=solver), ""
    try:
        model.fit(rows, Y)
    except DataError as error:
        refused = str(error)
    assert "overflow" in refused if refused else model.score(rows, Y) > 0.7


def test_bad_values_at_prediction_are_named():
    model = LogisticRegression().fit(X, Y)
    for bad, kind in ((np.nan, "NaN"), (np.inf, "infinity")):
        rows = X.copy()
        rows[8, 2] = bad
        for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            with pytest.raises(DataError, match=f"Input X contains {kind} at row 8, column 2"):
                getattr(model, name)(rows)


@pytest.mark.parametrize("only", [0, "yes", True])
def test_one_class_only(only):
    message = one_line(X, np.full(60, only))
    assert "at least 2 classes" in message
    assert f"only one class: {only!r}" in message


def test_all_the_weight_on_one_class():
    assert "hold only one class: 1" in one_line(X, Y, Y.astype(float))
    assert "hold only one class: 'b'" in one_line(X, np.array(["a", "b"])[Y], None, class_weight={"a": 0.0})


def test_a_continuous_target():
    assert "continuous" in one_line(X, X[:, 0], kind=ValueError)


@pytest.mark.parametrize(
    "y",
    [np.where(Y, 1.0, np.nan), np.array(["a", None], dtype=object)[Y], pd.Series([None, "b"]).iloc[Y]],
    ids=["NaN", "None", "pandas"],
)
def test_missing_labels(y):
    message = one_line(X, y, kind=ValueError)
    assert re.search(r"\by\b", message)
    assert re.search(r"NaN|None|missing", message)


def test_labels_of_types_that_do_not_sort_together():
    assert "label" in one_line(X, np.array(["a", 1], dtype=object)[Y], kind=ValueError)


def test_lengths_that_differ():
    assert "[60, 59]" in one_line(X, Y[:-1], kind=ValueError)
    assert "sample_weight has length 59, and X has 60 rows" in one_line(X, Y, np.ones(59))
    assert "have shape (60, 1)" in one_line(X, Y, np.ones((60, 1)))


@pytest.mark.parametrize(("shape", "said"), [((180,), "Expected 2D array, got 1D array"), ((60, 3, 1), "dim 3")])
def test_rows_of_another_shape(shape, said):
    assert said in refusal(X.reshape(shape), Y, kind=ValueError)


def test_no_rows_and_no_columns():
    assert "0 sample(s)" in one_line(X[:0], Y[:0], kind=ValueError)
    assert "0 feature(s)" in one_line(X[:, :0], Y, kind=ValueError)


@pytest.mark.parametrize("value", ["abc", None, 1 + 2j])
def test_rows_that_are_not_real_numbers(value):
    message = refusal(np.full((60, 3), value), Y, kind=(ValueError, TypeError))
    assert re.search(r"strings|'abc'|NoneType|NaN|[Cc]omplex", message)


def test_weights_that_cannot_be_used():
    s = np.ones(60)
    s[12] = -0.25
    assert "sample_weight holds a negative weight, -0.25, at row 12" in one_line(X, Y, s)
    assert "sample_weight is zero for every row" in one_line(X, Y, np.zeros(60))
    for extreme in (1e-50, 1e38):
        assert f"sample_weight is at most {extreme:g}; multiply" in one_line(X, Y, np.full(60, extreme))
    for bad in (np.nan, np.inf):
        s[12] = bad
        assert "sample_weight contains NaN or infinity" in one_line(X, Y, s)
    assert "sample_weight" in one_line(X, Y, np.full(60, "heavy"), kind=ValueError)


def test_class_weights_that_cannot_be_used():
    assert "class_weight={0: -1.0} holds a weight that is negative" in one_line(X, Y, class_weight={0: -1.0})
    assert "not finite" in one_line(X, Y, class_weight={0: np.nan})
    assert "class_weight" in one_line(X, Y, class_weight={"a": 1.0}, kind=ValueError)
    assert "class_weight" in one_line(X, Y, class_weight="even", kind=ValueError)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("C", bad) for bad in (0.0, -1.0, np.nan, "1", None)),
        *(("tol", bad) for bad in (-1e-9, np.nan, "1e-6")),
        *(("max_iter", bad) for bad in (-1, 2.5, "10")),
        *(("fit_intercept", bad) for bad in ("yes", 2)),
        *(("l1_ratio", bad) for bad in (-0.1, 1.1, "all")),
        *(("penalty", bad) for bad in ("none", "L1", 0)),
        *(("solver", bad) for bad in ("newton", "LBFGS", None)),
        *(("impl", bad) for bad in ("fast", None)),
        *(("device", bad) for bad in ("gpu", "cuda:x", None, 0)),
        *(("warm_start", bad) for bad in ("no",)),
        *(("verbose", bad) for bad in (-1, "loud")),
        *(("random_state", bad) for bad in ("seed", -1)),
        *(("step", bad) for bad in ("newton",)),
        *(("learning_rate", bad) for bad in (0.0, -1.0, "fast")),
    ],
)
def test_parameters_out_of_range_are_named(name, value):
    message = one_line(X, Y, kind=ValueError, **{name: value})
    assert name in message
    assert str(value) in message


def test_unlimited_c_is_in_range():
    assert LogisticRegression(C=np.inf).fit(X, Y).converged_


def test_devices_and_passes_that_cannot_be_had():
    assert "impl='cuda' needs rows on a GPU" in one_line(X, Y, impl="cuda", device="cpu", kind=ImplementationError)
    message = one_line(X, Y, device="cuda:99", kind=DeviceError)
    assert "device='cuda:99' cannot be used" in message
    assert "device='cpu'" in message


FAILURES = {
    "rows": (np.full((60, 3), np.nan), Y, None, DataError),
    "labels": (X, np.zeros(60), None, DataError),
    "weights": (X, Y, -np.ones(60), DataError),
    "lengths": (X, Y[:5], None, ValueError),
}


@pytest.mark.parametrize(("rows", "y", "weights", "kind"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failed_fit_after_a_good_one_leaves_no_fit_and_a_usable_estimator(rows, y, weights, kind):
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    model = LogisticRegression(C=0.5).fit(table, Y)
    wanted = model.coef_
    with pytest.raises(kind):
        model.fit(rows, y, weights)
    assert not [name for name in vars(model) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        model.predict(X)
    np.testing.assert_array_equal(model.fit(table, Y).coef_, wanted)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interrupted_fit_leaves_no_fit_and_a_usable_estimator(solver):
    def interrupt(iteration):
        raise KeyboardInterrupt

    model = LogisticRegression(solver=solver).fit(X, Y)
    wanted = model.coef_
    model.set_params(verbose=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert not [name for name in vars(model) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        model.predict(X)
    np.testing.assert_array_equal(model.set_params(verbose=0).fit(X, Y).coef_, wanted)


@pytest.mark.parametrize("name", ["predict", "predict_proba", "predict_log_proba", "decision_function", "score"])
def test_prediction_before_a_fit(name):
    arguments = (X, Y) if name == "score" else (X,)
    with pytest.raises(NotFittedError, match="LogisticRegression instance is not fitted yet"):
        getattr(LogisticRegression(), name)(*arguments)

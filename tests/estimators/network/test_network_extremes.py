"""Networks at the edge of the arithmetic: weights that underflow, rows of 1e308, and a caller who has errors raised."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.command.scaling import fit_on_standardised
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.network.fit import of_unit_size
from gpu_logreg.mathematics.network import Network
from gpu_logreg.objectives.network import NetworkObjective
from gpu_logreg.passes.training import rows_with_weight
from gpu_logreg.rows.block import Rows

N = 120
RNG = np.random.default_rng(1)
X = RNG.standard_normal((N, 3))
Y = (X @ [1.0, -1.0, 0.5] + RNG.standard_normal(N) > 0).astype(int)
K = np.digitize(X[:, 0], [-0.5, 0.5])
SOLVERS = ("adam", "adamw", "sgd", "lbfgs", "gradient-descent")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def network(solver="adam", activation="tanh", **options):
    options = {"max_iter": 4, "batch_size": 10, "shuffle": False} | options
    return MLPClassifier((4,), activation, solver=solver, **options)


def is_sound(model):
    assert np.isfinite(model.loss_)
    assert np.isfinite(model.loss_curve_).all()
    assert all(np.isfinite(W).all() for W in model.coefs_ + model.intercepts_)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("solver", "impl"), [*((solver, "auto") for solver in SOLVERS), *((solver, "cpu") for solver in ("adam", "sgd"))]
)
@pytest.mark.parametrize("tiny", [1e-50, 5e-324])
def test_rows_that_weigh_next_to_nothing_are_as_good_as_removed(solver, impl, dtype, tiny):
    s = np.where(np.arange(N) < 40, tiny, 1.0)
    rows = X.astype(dtype)
    model = network(solver, impl=impl).fit(rows, Y, s)
    is_sound(model)
    wanted = network(solver, impl=impl).fit(rows[40:], Y[40:], s[40:])
    for W, other in zip(model.coefs_, wanted.coefs_, strict=True):
        np.testing.assert_array_equal(W, other)


@pytest.mark.parametrize("y", [Y, K, np.column_stack([Y, K > 0])], ids=["two", "three", "labels"])
def test_so_are_they_whatever_a_row_is_to_learn(y):
    s = np.where(np.arange(N) < 40, 1e-50, 1.0)
    model = network(early_stopping=True).fit(X.astype(np.float32), y, s)
    is_sound(model)
    wanted = network(early_stopping=True).fit(X[40:].astype(np.float32), y[40:], s[40:])
    assert model.validation_scores_ == wanted.validation_scores_
    parts = network()
    for part in (slice(0, 50), slice(50, N)):
        parts.partial_fit(X[part].astype(np.float32), y[part], classes=np.unique(y), sample_weight=s[part])
        is_sound(parts)


def test_so_are_they_for_steps_of_a_linear_model():
    s = np.where(np.arange(N) < 40, 1e-50, 1.0)
    for solver in ("sgd", "adam"):
        rows = X.astype(np.float32)
        model = LogisticRegression(solver=solver, max_iter=5, impl="cpu").fit(rows, Y, s)
        wanted = LogisticRegression(solver=solver, max_iter=5, impl="cpu").fit(rows[40:], Y[40:], s[40:])
        np.testing.assert_array_equal(model.coef_, wanted.coef_)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("power", [-90, 90])
def test_a_power_of_two_on_weights_and_penalty_changes_no_bit(solver, dtype, power):
    s, rows = RNG.random(N) + 0.1, X.astype(dtype)
    wanted = network(solver, alpha=0.5).fit(rows, Y, s)
    alpha = 0.5 if solver == "adamw" else 0.5 * 2.0**power  # the decay of adamw is not divided by weights
    model = network(solver, alpha=alpha).fit(rows, Y, s * 2.0**power)
    for W, other in zip(model.coefs_, wanted.coefs_, strict=True):
        np.testing.assert_array_equal(W, other)
    assert model.loss_ == wanted.loss_


def test_weights_of_unit_size():
    weights, alpha = of_unit_size(np.array([3.0, 24.0], np.float32), 1.0)
    assert weights.dtype == np.float32
    assert weights.tolist() == [3 / 32, 24 / 32]
    assert alpha == 1 / 32
    assert of_unit_size(None, 0.25) == (None, 0.25)


def test_rows_with_weight():
    assert rows_with_weight(None, 4, np.float32).tolist() == [0, 1, 2, 3]
    s = np.array([1e-50, 1.0, 1e-9, 0.0, 2.0, 1e-6])
    assert rows_with_weight(s, 6, np.float64).tolist() == [1, 2, 4, 5]
    assert rows_with_weight(s, 6, np.float32).tolist() == [1, 4, 5]
    assert rows_with_weight(np.full(3, 1e-30), 3, np.float32).tolist() == [0, 1, 2]


def test_the_objective_looks_at_no_row_of_weight_zero():
    rows, s = X.copy(), np.ones(N)
    rows[:7], s[:7] = np.inf, 0.0
    shape = Network((3, 4, 1))
    params = RNG.standard_normal(shape.n_params)
    value, grad = NetworkObjective(shape, Rows(rows, Y, s), 0.1, np.float64)(params)
    wanted, wanted_grad = NetworkObjective(shape, Rows(X[7:], Y[7:], None), 0.1, np.float64)(params)
    assert value == pytest.approx(wanted, rel=1e-14)
    np.testing.assert_allclose(grad, wanted_grad, rtol=1e-12)


HUGE = [(np.float64, 1e308), (np.float64, -1e200), (np.float32, 3e38), (np.float32, -1e30)]
if np.finfo(np.longdouble).max > 1e308:
    HUGE.append((np.longdouble, np.longdouble("1e4000")))


@pytest.mark.parametrize(("dtype", "value"), HUGE, ids=lambda case: getattr(case, "__name__", str(case)))
@pytest.mark.parametrize("solver", SOLVERS)
def test_huge_values_are_named_in_a_fit(solver, dtype, value):
    rows = X.astype(dtype)
    rows[7, 1] = rows[9, 0] = value
    for call in (network(solver).fit, network("adam").partial_fit):
        with pytest.raises(
            DataError, match=r"^Input X holds .* at row 7, column 1, whose square float\d\d cannot hold"
        ):
            call(rows, Y, **({"classes": [0, 1]} if call.__name__ == "partial_fit" else {}))
    table = pd.DataFrame(rows, columns=["a", "b", "c"]) if dtype != np.longdouble else None
    if table is not None:
        with pytest.raises(DataError, match=r"at row 7, column 1 \('b'\), whose square"):
            network(solver).fit(table, Y)
        with pytest.raises(DataError, match="at row 7, column 1, whose square"):
            network(solver).fit(sparse.csr_array(rows), Y)
    is_sound(network(solver).fit(rows, Y, np.where(abs(rows).max(axis=1) > 10, 0.0, 1.0)))
    is_sound(network(solver).fit(X.astype(dtype) * dtype(1e6), Y))


def test_bad_values_are_named_before_huge_ones():
    rows = X.copy()
    rows[3, 0], rows[7, 1] = 1e308, np.nan
    with pytest.raises(DataError, match="NaN at row 7, column 1"):
        network().fit(rows, Y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_value_in_a_row_that_no_epoch_walks_over_is_named(solver):
    rows, s = X.copy(), np.ones(N)
    rows[7, 1], s[7] = np.nan, 0.0
    with pytest.raises(DataError, match="NaN at row 7, column 1"):
        network(solver).fit(rows, Y, s)
    for seed in range(4):  # of which some hold back row 7
        with pytest.raises(DataError, match="NaN at row 7, column 1"):
            network(early_stopping=True, validation_fraction=0.5, random_state=seed).fit(rows, Y)


@pytest.mark.parametrize("value", [np.nan, 1e200])
def test_what_is_refused_changes_nothing_of_what_partial_fit_goes_on_from(value):
    rows = X.copy()
    rows[N - 1, 1] = value  # in the last batch
    model, wanted = (network("adam").partial_fit(X, Y, classes=[0, 1]) for _ in range(2))
    with pytest.raises(DataError, match=f"at row {N - 1}, column 1"):
        model.partial_fit(rows, Y)
    for fitted in (model, wanted):
        fitted.partial_fit(X, Y)
    for W, other in zip(model.coefs_, wanted.coefs_, strict=True):
        np.testing.assert_array_equal(W, other)


@pytest.mark.parametrize("y", [Y, K, np.column_stack([Y, K > 0])], ids=["two", "three", "labels"])
@pytest.mark.parametrize("activation", ["relu", "identity", "tanh", "logistic"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_huge_values_at_prediction_are_named_or_answered(y, activation, dtype):
    model = network(activation=activation, max_iter=2).fit(X.astype(dtype), y)
    rows = X.copy()
    rows[8, 2] = 1e308
    said = []
    for name in ("decision_function", "predict", "predict_proba", "predict_log_proba"):
        try:
            finite = np.isfinite(getattr(model, name)(rows)).all()
        except DataError as error:
            said.append(str(error))
        else:
            assert finite
    start = "the logits of row 8 overflow: X holds 1e+308 in column 2; give values of"
    assert [message[: len(start)] for message in said] == [start] * len(said)
    assert said or dtype == np.float64 or activation in ("tanh", "logistic")


def test_logits_of_a_linear_model_that_tell_of_no_class_are_named():
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    rows = table.copy()
    rows.loc[8] = [1e308, 1e308, 0.0]
    two = LogisticRegression().fit(table, Y)
    two.coef_ = np.array([[5.0, 5.0, 1.0]])
    assert two.predict_proba(rows)[8].tolist() == [0.0, 1.0]  # an infinite logit tells the class
    three = LogisticRegression().fit(table, K)
    three.coef_ = np.array([[5.0, 5.0, 1.0], [0.0, 0.0, 0.0], [-5.0, -5.0, 1.0]])
    said = r"the logits of row 8 overflow: X holds 1e\+308 in column 0 \('a'\); give values of the size"
    for name in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(DataError, match=said):
            getattr(three, name)(rows)
    plain = LogisticRegression().fit(X, K)
    plain.coef_ = three.coef_
    with pytest.raises(DataError, match="the logits of row 8 overflow: X holds"):
        plain.predict_proba(sparse.csr_array(rows.to_numpy()))


def test_networks_of_the_command_line_name_such_columns_too():
    rows = X.copy()
    rows[:, 1] *= 1e200
    with pytest.raises(DataError, match=r"holds .* at row 0, column 1, whose square float64 cannot hold; scale"):
        fit_on_standardised(network(), rows, Y)
    rows = X * [1.0, 1e-170, 1.0]
    with pytest.raises(DataError, match=r"column 1 of X varies by .*e-170 only; give it in smaller units"):
        fit_on_standardised(network(), rows, Y)
    with pytest.raises(DataError, match=r"column 1 of X varies by .* only"):
        fit_on_standardised(network(), sparse.csr_array(rows), Y)


def test_a_constant_column_whose_mean_is_rounded_stays_constant():
    constant, zeros = np.column_stack([X, np.full(N, 0.1)]), np.column_stack([X, np.zeros(N)])
    model = fit_on_standardised(network("lbfgs", max_iter=20), constant, Y)
    wanted = fit_on_standardised(network("lbfgs", max_iter=20), zeros, Y)
    assert abs(model.coefs_[0]).max() < 100
    np.testing.assert_allclose(model.predict_proba(constant), wanted.predict_proba(zeros), atol=1e-3)


@pytest.mark.parametrize("setting", ["raise", "warn"])
@pytest.mark.parametrize("y", [Y, K], ids=["two", "three"])
@pytest.mark.parametrize(
    "make",
    [
        *(lambda solver=solver: LogisticRegression(solver=solver, max_iter=3) for solver in ("auto", "lbfgs", "sgd")),
        *(lambda solver=solver: network(solver, max_iter=2) for solver in ("adam", "sgd", "lbfgs")),
    ],
    ids=["auto", "lbfgs", "sgd", "network-adam", "network-sgd", "network-lbfgs"],
)
def test_reactions_that_the_caller_has_set_change_nothing(make, y, setting):
    rows = X * [1e4, 1.0, 1e-4]
    wanted = make().fit(rows, y)
    with np.errstate(all=setting):
        model = make().fit(rows, y)
        for name in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
            np.testing.assert_array_equal(getattr(model, name)(1e3 * rows), getattr(wanted, name)(1e3 * rows))
        assert model.score(rows, y) == wanted.score(rows, y)
        assert np.geterr() == dict.fromkeys(("divide", "over", "under", "invalid"), setting)

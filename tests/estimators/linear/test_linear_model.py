"""The estimator: fitted attributes, predictions, warm starts, repeatability, life inside scikit-learn."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, log_expit
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpu_logreg
from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.block_sizes import BlockSize

X, Y = make_classification(400, 8, n_informative=5, flip_y=0.1, random_state=0)
SOLVERS = ("auto", "lbfgs", "newton-cg", "gradient-descent")


def test_it_is_the_name_on_the_front_door():
    assert gpu_logreg.LogisticRegression is LogisticRegression
    assert "LogisticRegression" in dir(gpu_logreg)
    with pytest.raises(AttributeError, match="has no attribute 'Logistic'"):
        gpu_logreg.Logistic  # noqa: B018


@pytest.mark.parametrize("solver", SOLVERS)
def test_fitted_attributes(solver):
    model = LogisticRegression(solver=solver)
    assert model.fit(X, Y) is model
    assert model.coef_.shape == (1, 8)
    assert model.intercept_.shape == (1,)
    assert model.intercept_.dtype == np.float64
    assert type(model.coef_) is type(model.classes_) is np.ndarray
    np.testing.assert_array_equal(model.classes_, [0, 1])
    assert model.n_features_in_ == 8
    assert model.n_iter_.shape == (1,)
    assert model.n_iter_[0] >= 1
    assert model.n_reads_ > 0
    assert model.converged_ is True
    assert "tol" in model.stop_reason_ or "rounding" in model.stop_reason_
    assert model.solver_ == solver or (solver == "auto" and model.solver_ in ("subsampled-newton", "lbfgs"))
    assert (model.device_, model.impl_) == ("cpu", "reference")
    assert model.device_reason_.startswith("auto: ")
    assert model.impl_reason_.startswith("auto: ")


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_loss_curve_falls_to_the_objective(solver):
    model = LogisticRegression(solver=solver).fit(X, Y)
    curve = np.array(model.loss_curve_)
    assert len(curve) == model.n_iter_[0] + 1
    assert (np.diff(curve) <= 4e-15 * curve[:-1]).all()
    assert curve[-1] == model.objective_ == curve.min()
    assert model.objective_ < np.log(2.0)


def test_choices_are_logged(caplog):
    with caplog.at_level(logging.INFO, logger="gpu_logreg"):
        model = LogisticRegression().fit(X, Y)
    assert model.device_reason_ in caplog.text
    assert model.impl_reason_ in caplog.text


def test_choices_of_the_user_are_taken():
    model = LogisticRegression(device="cpu", impl="cpu").fit(X, Y)
    assert (model.device_, model.device_reason_) == ("cpu", "asked for")
    assert (model.impl_, model.impl_reason_) == ("cpu", "asked for")


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_second_fit_gives_the_same_bits(solver):
    models = [LogisticRegression(solver=solver).fit(X, Y) for _ in range(2)]
    models.append(models[0].fit(X, Y))
    for model in models[1:]:
        np.testing.assert_array_equal(model.coef_, models[0].coef_)
        np.testing.assert_array_equal(model.intercept_, models[0].intercept_)
        assert model.loss_curve_ == models[0].loss_curve_


def test_predictions_follow_from_the_coefficients():
    model = LogisticRegression().fit(X, Y)
    z = X @ model.coef_[0] + model.intercept_[0]
    np.testing.assert_allclose(model.decision_function(X), z, rtol=1e-13)
    np.testing.assert_allclose(model.predict_proba(X), np.stack([expit(-z), expit(z)], axis=1), rtol=1e-13)
    np.testing.assert_allclose(model.predict_log_proba(X), np.stack([log_expit(-z), log_expit(z)], axis=1), rtol=1e-13)
    np.testing.assert_array_equal(model.predict(X), (z > 0).astype(int))
    assert model.score(X, Y) == np.mean(model.predict(X) == Y)
    s = np.random.default_rng(0).random(len(Y))
    assert model.score(X, Y, s) == pytest.approx(s @ (model.predict(X) == Y) / s.sum())


def test_probabilities_stay_apart_and_their_logarithms_finite_far_away():
    model = LogisticRegression().fit(X, Y)
    direction = model.coef_[0] / (model.coef_[0] @ model.coef_[0])
    far = np.array([[800.0], [-800.0], [1e4], [-1e4], [40.0], [-40.0]]) * direction
    z = model.decision_function(far)
    assert np.abs(z[:2]).min() > 790
    log_p = model.predict_log_proba(far)
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(log_p[:4].min(axis=1), -np.abs(z[:4]), rtol=1e-12)
    p = model.predict_proba(far)
    assert 0 < p[4, 0] < 1e-15  # not 1 - p[4, 1], which is 0
    assert 0 < p[5, 1] < 1e-15


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("float32", "float32"),
        ("float16", "float32"),
        ("uint8", "float32"),
        ("float64", "float64"),
        ("int64", "float64"),
    ],
)
def test_predictions_come_in_the_dtype_the_rows_are_computed_in(storage, expected):
    rows = (X * 20 + 100).clip(0, 255).astype(storage)
    model = LogisticRegression(C=1e-4).fit(rows, Y)
    for result in (model.decision_function(rows), model.predict_proba(rows), model.predict_log_proba(rows)):
        assert result.dtype == expected
        assert np.isfinite(result).all()
    assert model.predict(rows).dtype == Y.dtype
    wide = model.decision_function(rows.astype(np.float64))
    np.testing.assert_allclose(model.decision_function(rows), wide, atol=1e-4)


def test_prediction_of_many_narrow_rows_goes_in_blocks_and_is_the_same(monkeypatch):
    model = LogisticRegression(C=1e-4).fit((X * 10 + 100).clip(0, 255), Y)
    rows = np.random.default_rng(0).integers(0, 256, (40_001, 8), dtype=np.uint8)
    wanted = model.decision_function(rows.astype(np.float64))
    monkeypatch.setattr("gpu_logreg.passes.reference.logits.GRADIENT", BlockSize(1000, 1000))
    np.testing.assert_allclose(model.decision_function(rows), wanted, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_warm_start_takes_fewer_iterations(solver):
    model = LogisticRegression(solver=solver, warm_start=True).fit(X, Y)
    cold, value = int(model.n_iter_[0]), model.objective_
    model.fit(X, Y)
    assert model.n_iter_[0] < cold
    assert model.objective_ == pytest.approx(value, rel=1e-7)
    again = LogisticRegression(solver=solver).fit(X, Y)
    again.fit(X, Y)
    assert again.n_iter_[0] == cold  # without warm_start the past is forgotten


def test_a_warm_start_with_other_columns_is_refused():
    model = LogisticRegression(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="warm_start: the last fit had 8 columns, and X has 7"):
        model.fit(X[:, :7], Y)


def test_a_warm_start_without_an_intercept_starts_from_the_weights():
    model = LogisticRegression(warm_start=True).fit(X, Y)
    model.set_params(fit_intercept=False).fit(X, Y)
    np.testing.assert_array_equal(model.intercept_, [0.0])
    assert model.objective_ == pytest.approx(LogisticRegression(fit_intercept=False).fit(X, Y).objective_, rel=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_iterations_at_all_give_a_usable_model_and_a_warning(solver):
    with pytest.warns(ConvergenceWarning, match="max_iter = 0 reached"):
        model = LogisticRegression(solver=solver, max_iter=0).fit(X, Y)
    assert model.n_iter_[0] == 0
    assert len(model.loss_curve_) == 1
    assert np.isfinite(model.predict_log_proba(X)).all()


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_no_iterations_leave_the_coefficients_at_zero(l1_ratio):
    with pytest.warns(ConvergenceWarning, match="max_iter = 0 reached"):
        model = LogisticRegression(l1_ratio=l1_ratio, max_iter=0).fit(X, Y)
    assert not model.coef_.any()
    assert not model.intercept_.any()
    np.testing.assert_array_equal(model.predict_proba(X), 0.5)


@pytest.mark.parametrize("solver", ["lbfgs", "gradient-descent"])
def test_the_warning_names_the_unmet_criterion_and_the_line_of_the_caller(solver):
    with pytest.warns(ConvergenceWarning) as caught:
        model = LogisticRegression(solver=solver, max_iter=2, tol=1e-9).fit(X, Y)
    (warning,) = caught
    failed = "failed to converge after 2 iteration(s)" if solver == "lbfgs" else "did not converge"
    assert f"{solver} {failed}: max_iter = 2 reached with max |grad| = " in str(warning.message)
    assert "tol = 1e-09" in str(warning.message)
    assert "\n" not in str(warning.message)
    assert model.converged_ is False
    assert model.stop_reason_ in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_a_step_too_long_is_said_in_the_warning():
    with pytest.warns(
        ConvergenceWarning, match=r"gradient-descent did not converge: (max_iter = 50 reached|the value)"
    ):
        LogisticRegression(solver="gradient-descent", step="fixed", learning_rate=1e6, max_iter=50).fit(X, Y)


@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_separable_classes_without_a_penalty_are_said_in_the_warning(solver):
    with pytest.warns(ConvergenceWarning, match="separable.*[Ll]ower C"):
        model = LogisticRegression(C=np.inf, solver=solver).fit(X, X[:, 0] > 0)
    assert model.converged_ is False
    assert model.score(X, X[:, 0] > 0) == 1.0
    assert np.isfinite(model.predict_log_proba(X)).all()


def test_random_state_moves_the_result_within_the_tolerance_only():
    values = [LogisticRegression(random_state=seed).fit(X, Y).objective_ for seed in (0, 1, np.random.RandomState(2))]
    np.testing.assert_allclose(values, values[0], rtol=1e-9)


def test_repr_clone_and_parameters():
    model = LogisticRegression(2.0, solver="lbfgs", tol=1e-5)
    assert repr(model) == "LogisticRegression(C=2.0, solver='lbfgs', tol=1e-05)"
    copy = clone(model.fit(X, Y))
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "coef_")
    with pytest.raises(NotFittedError):
        copy.predict(X)
    with pytest.raises(ValueError, match="Invalid parameter 'multi_class'"):
        model.set_params(multi_class="ovr")
    with pytest.raises(TypeError):
        LogisticRegression(1.0, 0.5)


def test_pickle_keeps_the_model():
    model = LogisticRegression().fit(X, Y)
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    assert vars(back).keys() == vars(model).keys()


def test_pipeline_grid_search_and_cross_validation():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [1e-4, 1.0]}, cv=3, scoring="neg_log_loss").fit(X, Y)
    assert search.best_params_ == {"logisticregression__C": 1.0}
    scores = cross_val_score(LogisticRegression(class_weight="balanced"), X, Y, cv=3, scoring="roc_auc")
    assert scores.min() > 0.8


@pytest.mark.slow
def test_grid_search_in_several_processes():
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2, n_jobs=2).fit(X, Y)
    assert search.best_score_ > 0.7


@pytest.mark.parametrize(
    ("dtype", "solver", "wanted"),
    [
        ("float32", "auto", np.float32),
        ("float32", "lbfgs", np.float32),
        ("float32", "liblinear", np.float64),  # as in scikit-learn
        ("float64", "auto", np.float64),
        ("float16", "auto", np.float64),
        ("int64", "auto", np.float64),
        ("bool", "auto", np.float64),
    ],
)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_coefficients_are_as_wide_as_the_rows(dtype, solver, wanted, kind):
    rows = (10.0 * X).astype(dtype)
    if kind == "sparse":
        if dtype == "float16":
            pytest.skip("SciPy has no sparse float16")
        rows = sparse.csr_matrix(rows)
    model = LogisticRegression(solver=solver).fit(rows, Y)
    assert model.coef_.dtype == wanted
    assert model.intercept_.dtype == np.float64


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("far", [0.0, 1e2, 1e4])
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_the_intercept_makes_up_for_the_rounding_of_narrow_coefficients(n_classes, far, solver):
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((3000, 6)) + far).astype(np.float32)
    labels = ((rows - far) @ rng.standard_normal((6, n_classes)) + rng.gumbel(size=(3000, n_classes))).argmax(axis=1)

    def value(model):
        wide = rows.astype(np.float64)
        coef = model.coef_.astype(np.float64)
        z = wide @ coef.T + model.intercept_
        z = np.hstack([np.zeros_like(z), z]) if n_classes == 2 else z
        largest = z.max(axis=1)
        loss = largest + np.log(np.exp(z - largest[:, None]).sum(axis=1)) - z[np.arange(3000), labels]
        return loss.sum() + 0.5 * (coef**2).sum()

    narrow = LogisticRegression(solver=solver, tol=1e-8, max_iter=5000).fit(rows, labels)
    wide = LogisticRegression(tol=1e-10).fit(rows.astype(np.float64), labels)
    assert narrow.coef_.dtype == np.float32
    assert value(narrow) <= value(wide) * (1.0 + 1e-10)

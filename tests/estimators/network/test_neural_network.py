"""`MLPClassifier`: what it learns, its attributes, weights, seeds, and going on from an earlier fit."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as ScikitLearn
from sklearn.preprocessing import StandardScaler

import gpu_logreg
from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.mathematics.network import ACTIVATIONS

X, Y = make_moons(300, noise=0.15, random_state=0)
CANCER, IS_BENIGN = load_breast_cancer(return_X_y=True)
CANCER = StandardScaler().fit_transform(CANCER)
SOLVERS = ("adam", "adamw", "sgd", "lbfgs", "gradient-descent")

no_convergence_warning = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_both_estimators_come_from_the_package():
    assert gpu_logreg.MLPClassifier is MLPClassifier
    assert {"LogisticRegression", "MLPClassifier"} <= set(gpu_logreg.__all__)


def test_scikit_learns_parameters_and_defaults():
    ours, theirs = MLPClassifier().get_params(), ScikitLearn().get_params()
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours) - set(theirs) == {"device", "impl", "init", "max_time", "storage"}


@no_convergence_warning
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scikit_learns_attributes(solver, K, early_stopping):
    rows, labels = load_digits(n_class=K, return_X_y=True)
    options = {"hidden_layer_sizes": (6, 4), "solver": solver, "max_iter": 5, "random_state": 0}
    options["early_stopping"] = early_stopping and solver == "adam"
    ours, theirs = MLPClassifier(**options).fit(rows, labels), ScikitLearn(**options).fit(rows, labels)
    for name, value in vars(theirs).items():
        if name.endswith("_") and not name.startswith("_"):
            assert hasattr(ours, name), name
            assert type(getattr(ours, name)) is type(value) or name in ("loss_", "best_loss_", "best_validation_score_")
    assert [W.shape for W in ours.coefs_] == [W.shape for W in theirs.coefs_]
    assert [b.shape for b in ours.intercepts_] == [b.shape for b in theirs.intercepts_]
    assert (ours.n_layers_, ours.n_outputs_, ours.out_activation_) == (
        *(theirs.n_layers_, theirs.n_outputs_, theirs.out_activation_),
    )
    assert ours.predict_proba(rows).shape == (len(rows), K)
    if solver == "adam":
        assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
        assert (ours.best_loss_ is None) == (theirs.best_loss_ is None)
        assert len(ours.loss_curve_) == 5


@no_convergence_warning
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_loss_curve_is_scikit_learns_from_the_same_weights(activation):
    # One batch of all rows, so that their order does not matter; epsilon enters the two Adams differently.
    options = {"hidden_layer_sizes": (7, 5), "activation": activation, "batch_size": 300, "alpha": 0.1}
    options |= {"n_iter_no_change": 100, "epsilon": 1e-16, "learning_rate_init": 0.01, "warm_start": True}
    s = np.random.default_rng(0).integers(1, 4, 300).astype(float)
    ours = MLPClassifier(max_iter=1, **options).fit(X, Y, s)
    theirs = ScikitLearn(max_iter=1, **options).fit(X, Y, s)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        other[...] = mine
    ours.set_params(max_iter=20).fit(X, Y, s)
    theirs.set_params(max_iter=20).fit(X, Y, s)
    np.testing.assert_allclose(ours.loss_curve_[1:], theirs.loss_curve_[1:], rtol=1e-8)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


@no_convergence_warning
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_separates_two_moons(solver):
    model = MLPClassifier((16,), "tanh", solver=solver, learning_rate_init=0.05, max_iter=1000, random_state=3).fit(
        X, Y
    )
    assert model.score(X, Y) > 0.98
    assert model.loss_curve_[0] > 2 * model.loss_curve_[-1]
    assert model.solver_ == solver


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_ten_classes(solver):
    rows, labels = load_digits(return_X_y=True)
    model = MLPClassifier((32,), solver=solver, max_iter=300, learning_rate_init=0.005).fit(rows / 16, labels)
    assert model.score(rows / 16, labels) > 0.99
    p = model.predict_proba(rows / 16)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(rows / 16)), p, rtol=1e-10, atol=1e-300)
    assert model.decision_function(rows / 16).shape == (len(rows), 10)
    np.testing.assert_array_equal(model.predict(rows / 16), p.argmax(axis=1))


def test_no_hidden_layer_is_logistic_regression():
    network = MLPClassifier((), solver="lbfgs", alpha=2.0, tol=1e-9, max_iter=1000).fit(CANCER, IS_BENIGN)
    linear = LogisticRegression(C=0.5, tol=1e-10).fit(CANCER, IS_BENIGN)
    assert network.loss_ == pytest.approx(linear.objective_, rel=1e-10)
    np.testing.assert_allclose(network.coefs_[0].T, linear.coef_, rtol=1e-5, atol=1e-6)
    z = network.coefs_[0].T, network.intercepts_[0]
    network.coefs_, network.intercepts_ = [linear.coef_.T.copy()], [linear.intercept_.copy()]
    np.testing.assert_allclose(network.predict_proba(CANCER), linear.predict_proba(CANCER), rtol=1e-10)
    assert np.abs(z[0] - linear.coef_).max() < 1e-5


@no_convergence_warning
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(solver):
    def fit(seed):
        return MLPClassifier((5,), solver=solver, random_state=seed, max_iter=5, early_stopping=True).fit(X, Y)

    first, again, other = fit(1), fit(1), fit(2)
    for mine, same in zip(first.coefs_, again.coefs_, strict=True):
        assert mine.tobytes() == same.tobytes()
    assert first.loss_curve_ == again.loss_curve_
    assert first.loss_curve_ != other.loss_curve_


@no_convergence_warning
@pytest.mark.filterwarnings("ignore:batch_size=1000 is larger")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_are_repetitions(solver):
    # One batch of all rows: a smaller one has room for so many rows, whether they are repeated or not.
    s = np.random.default_rng(0).integers(0, 4, 300)
    options = {"solver": solver, "batch_size": 1000, "max_iter": 30, "activation": "tanh", "alpha": 1.0, "tol": 1e-12}
    weighted = MLPClassifier((6,), **options).fit(X, Y, s)
    repeated = MLPClassifier((6,), **options).fit(X.repeat(s, axis=0), Y.repeat(s))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)


@no_convergence_warning
def test_rows_of_weight_zero_are_as_good_as_removed():
    s = np.random.default_rng(0).integers(0, 2, 300)
    noise = X + 100 * (s == 0)[:, None]
    with_them = MLPClassifier((6,), batch_size=32, max_iter=5).fit(noise, Y, s)
    without = MLPClassifier((6,), batch_size=32, max_iter=5).fit(X[s > 0], Y[s > 0])
    np.testing.assert_allclose(with_them.loss_curve_, without.loss_curve_, rtol=1e-12)


@no_convergence_warning
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "float64", "int64"])
def test_dtypes_of_rows(dtype):
    rows, labels = load_digits(n_class=2, return_X_y=True)
    model = MLPClassifier((6,), max_iter=20).fit(rows.astype(dtype), labels)
    wanted = np.float64 if dtype in ("float64", "int64") else np.float32
    assert {W.dtype for W in model.coefs_ + model.intercepts_} == {np.dtype(wanted)}
    assert model.predict_proba(rows.astype(dtype)).dtype == wanted
    exact = MLPClassifier((6,), max_iter=20).fit(rows, labels)
    np.testing.assert_allclose(model.loss_curve_, exact.loss_curve_, rtol=1e-3)


@no_convergence_warning
def test_neither_order_nor_strides_of_rows_matter():
    wanted = MLPClassifier((6,), max_iter=5).fit(X, Y).loss_curve_
    for rows in (np.asfortranarray(X), np.hstack([X, X])[:, :2], X.repeat(2, axis=0)[::2]):
        np.testing.assert_allclose(MLPClassifier((6,), max_iter=5).fit(rows, Y).loss_curve_, wanted, rtol=1e-12)


@no_convergence_warning
def test_early_stopping_ends_with_the_best_of_the_scores():
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(300) < 0.2, 1 - Y, Y)
    model = MLPClassifier(
        (30,), early_stopping=True, max_iter=60, learning_rate_init=0.1, n_iter_no_change=40, validation_fraction=0.3
    ).fit(X, noisy)
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_) > model.validation_scores_[-1]
    best = 1 + int(np.argmax(model.validation_scores_))
    shorter = clone(model).set_params(max_iter=best).fit(X, noisy)
    for mine, other in zip(model.coefs_, shorter.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)


@no_convergence_warning
def test_warm_start_goes_on():
    model = MLPClassifier((6,), warm_start=True, max_iter=3).fit(X, Y)
    first = model.coefs_[0].copy()
    loss = model.loss_curve_[-1]
    model.fit(X, Y)
    assert len(model.loss_curve_) == 6
    assert model.n_iter_ == 3
    assert model.t_ == 6 * len(X)
    assert model.loss_curve_[3] < loss
    cold = clone(model).set_params(warm_start=False).fit(X, Y).fit(X, Y)
    np.testing.assert_array_equal(cold.coefs_[0], first)
    assert len(cold.loss_curve_) == 3


def test_partial_fit_is_an_epoch_at_a_time():
    parts = MLPClassifier((6,), random_state=1)
    for _ in range(4):
        assert parts.partial_fit(X, Y, classes=[0, 1]) is parts
    with pytest.warns(ConvergenceWarning, match="max_iter = 4 reached"):
        whole = MLPClassifier((6,), random_state=1, max_iter=4).fit(X, Y)
    np.testing.assert_array_equal(parts.coefs_[0], whole.coefs_[0])
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.t_, parts.n_iter_) == (whole.t_, 1)


def test_partial_fit_of_parts_that_lack_a_class():
    labels = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [0.0, 1.0])]
    model = MLPClassifier((6,), learning_rate_init=0.02)
    order = np.argsort(labels, kind="stable")
    for _ in range(60):
        for part in np.array_split(order, 3):
            model.partial_fit(X[part], labels[part], classes=["c", "a", "b"])
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert set(model.predict(X)) <= {"a", "b", "c"}
    assert model.n_outputs_ == 3


def test_partial_fit_goes_on_after_a_pickle():
    one = MLPClassifier((6,)).partial_fit(X, Y, classes=[0, 1])
    other = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(one.partial_fit(X, Y).coefs_[0], other.partial_fit(X, Y).coefs_[0])


def test_partial_fit_takes_up_a_solver_set_in_between():
    one = MLPClassifier((6,)).partial_fit(X, Y, classes=[0, 1])
    other = pickle.loads(pickle.dumps(one))
    changed = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.5, "shuffle": False, "batch_size": len(X)}
    before = [W.copy() for W in one.coefs_]
    one.set_params(**changed).partial_fit(X, Y)
    other.set_params(**changed | {"learning_rate_init": 1.0}).partial_fit(X, Y)
    for start, half, whole in zip(before, one.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(2 * (half - start), whole - start, rtol=1e-9, atol=1e-12)  # plain steps


def test_partial_fit_is_there_for_stochastic_solvers_only():
    assert hasattr(MLPClassifier(solver="sgd"), "partial_fit")
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")


@no_convergence_warning
@pytest.mark.parametrize("schedule", ["invscaling", "adaptive", "cosine"])
def test_schedules_change_the_rate(schedule):
    rates = []
    MLPClassifier(
        (6,), solver="sgd", learning_rate=schedule, learning_rate_init=0.01, max_iter=12,
        tol=10.0 if schedule == "adaptive" else 0.0, n_iter_no_change=2,
        verbose=lambda iteration: rates.append(iteration.step),
    ).fit(X, Y)  # fmt: skip
    assert rates[0] == 0.01
    assert rates[-1] < 0.005


@no_convergence_warning
def test_schedules_of_scikit_learn_leave_adam_alone():
    rates = []
    MLPClassifier((6,), learning_rate="invscaling", max_iter=3, verbose=lambda i: rates.append(i.step)).fit(X, Y)
    assert rates == [1e-3] * 3


@no_convergence_warning
def test_max_fun_limits_the_evaluations():
    model = MLPClassifier((16,), solver="lbfgs", max_fun=7).fit(X, Y)
    assert 7 <= model.n_reads_ <= 9
    assert model.stop_reason_ == "max_fun = 7 reached"


def test_progress_is_printed(capsys):
    with pytest.warns(ConvergenceWarning):
        MLPClassifier((6,), max_iter=3, verbose=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines] == [["adam", "Iteration", str(k), "loss"] for k in (1, 2, 3)]


def test_a_callback_stops_the_fit():
    model = MLPClassifier((6,), verbose=lambda iteration: iteration.n_iter == 2).fit(X, Y)
    assert model.n_iter_ == 2
    assert model.stop_reason_ == "stopped by a callback"


@no_convergence_warning
def test_labels_and_tables():
    names = np.array(["no", "yes"])[Y]
    table = pd.DataFrame(X, columns=["a", "b"])
    model = MLPClassifier((6,), max_iter=40, learning_rate_init=0.05).fit(table, names)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert set(model.predict(table)) == {"no", "yes"}
    assert model.score(table, names) > 0.8


@no_convergence_warning
def test_torch_tensors_in_torch_tensors_out():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rows = torch.tensor(X, dtype=torch.float32)
    model = MLPClassifier((6,), max_iter=5).fit(rows, torch.tensor(Y))
    p = model.predict_proba(rows)
    assert isinstance(p, torch.Tensor)
    assert p.dtype == torch.float32
    np.testing.assert_array_equal(p.numpy(), model.predict_proba(X.astype(np.float32)))


@no_convergence_warning
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("K", "sizes"), [(2, (6, 4)), (10, (5,)), (2, ())])
def test_a_model_file_gives_the_model_back(tmp_path, K, sizes, solver):
    rows, labels = load_digits(n_class=K, return_X_y=True)
    names = np.array([f"digit {k}" for k in range(K)])[labels]
    model = MLPClassifier(sizes, solver=solver, max_iter=4).fit(rows.astype(np.float32), names)
    gpu_logreg.save_model(model, tmp_path / "a.model")
    back = gpu_logreg.load_model(tmp_path / "a.model")
    np.testing.assert_array_equal(back.predict_proba(rows), model.predict_proba(rows))
    np.testing.assert_array_equal(back.predict(rows), model.predict(rows))
    fitted = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert fitted == {name for name in vars(back) if name.endswith("_") and not name.startswith("_")}
    assert [W.dtype for W in back.coefs_] == [W.dtype for W in model.coefs_]
    assert back.loss_curve_ == model.loss_curve_
    gpu_logreg.save_model(back, tmp_path / "b.model")
    assert (tmp_path / "b.model").read_bytes() == (tmp_path / "a.model").read_bytes()
    if solver == "adam":
        back.partial_fit(rows.astype(np.float32), names)
        assert back.t_ == model.t_ + len(rows)


def test_a_network_of_eleven_layers_keeps_their_order(tmp_path):
    model = MLPClassifier((3,) * 11, solver="lbfgs", max_fun=1)
    with pytest.warns(ConvergenceWarning, match="max_fun = 1 reached"):
        model.fit(X, Y)
    gpu_logreg.save_model(model, tmp_path / "a.model")
    back = gpu_logreg.load_model(tmp_path / "a.model")
    for mine, other in zip(back.coefs_, model.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)

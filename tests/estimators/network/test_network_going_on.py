"""Fits that go on from each other in any order, early stopping among them: always a usable network, the best known."""

from __future__ import annotations

import itertools
import pickle
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as Theirs

from gpu_logreg import MLPClassifier, load_model, save_model
from gpu_logreg.errors import DataError

N = 120
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
Y = (X[:, 0] + 0.5 * RNG.standard_normal(N) > 0).astype(int)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def weights_of(model):
    return np.concatenate([W.ravel() for W in model.coefs_ + model.intercepts_])


@pytest.mark.parametrize("max_iter", [1, 3, 30])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_warm_start_with_early_stopping_keeps_the_best_weights_known(max_iter, solver):
    model = MLPClassifier((4,), solver=solver, max_iter=max_iter, warm_start=True, early_stopping=True)
    best = -np.inf
    for _ in range(5):
        kept = weights_of(model) if hasattr(model, "coefs_") else None
        n_scores = len(getattr(model, "validation_scores_", ()))
        model.fit(X, Y)
        reached = max(model.validation_scores_[n_scores:])
        assert model.best_validation_score_ == max(best, reached)
        if kept is not None:
            assert np.array_equal(weights_of(model), kept) == (reached <= best)
        best = model.best_validation_score_


def test_the_best_is_remembered_through_other_fits_as_in_scikit_learn():
    """Also where the weights that a fit begins at are not the best: after a fit, or a part, without early stopping."""
    ours = MLPClassifier((4,), max_iter=30, learning_rate_init=0.1, warm_start=True, early_stopping=True).fit(X, Y)
    ours.best_validation_score_ = ours._progress.best_validation_score = 2.0  # not to be beaten
    best = weights_of(ours)
    ours.set_params(early_stopping=False, max_iter=2).fit(X, Y).partial_fit(X, Y)
    assert not np.array_equal(weights_of(ours), best)
    assert ours.best_validation_score_ is None
    again = pickle.loads(pickle.dumps(ours))
    for model in (ours, again):
        model.set_params(early_stopping=True).fit(X, Y)
        np.testing.assert_array_equal(weights_of(model), best)
        assert model.best_validation_score_ == 2.0


CALLS = {
    "fit": lambda model: model.set_params(early_stopping=False, solver="adam").fit(X, Y),
    "stop early": lambda model: model.set_params(early_stopping=True, solver="adam").fit(X, Y),
    "sgd": lambda model: model.set_params(early_stopping=True, solver="sgd").fit(X, Y),
    "lbfgs": lambda model: model.set_params(early_stopping=True, solver="lbfgs").fit(X, Y),
    "part": lambda model: model.set_params(early_stopping=False, solver="adam").partial_fit(X, Y, classes=[0, 1]),
    "float32": lambda model: model.set_params(early_stopping=True, solver="adam").fit(X.astype(np.float32), Y),
}


@pytest.mark.parametrize("seed", range(3))
def test_any_sequence_of_fits_leaves_a_usable_network(seed):
    pairs = list(itertools.product(CALLS, repeat=2))
    np.random.default_rng(seed).shuffle(pairs)
    model = MLPClassifier((3,), max_iter=2, warm_start=True, batch_size=60)
    for call in itertools.chain(*pairs):
        CALLS[call](model)
        assert np.isfinite(weights_of(model)).all()
        assert np.isfinite(model.loss_)
        assert model.score(X, Y) >= 0.0
        assert (model.best_validation_score_ is None) == (call in ("fit", "part", "lbfgs"))


def test_a_network_from_a_file_or_from_scikit_learn_goes_on(tmp_path):
    options = {"max_iter": 3, "warm_start": True, "early_stopping": True, "random_state": 0}
    model = MLPClassifier((4,), **options).fit(X, Y)
    save_model(model, tmp_path / "model.safetensors")
    theirs = Theirs((4,), **options).fit(X, Y)
    for other in (load_model(tmp_path / "model.safetensors"), MLPClassifier.from_sklearn(theirs), model.to_sklearn()):
        other.learning_rate_init = 1e-9  # no epoch can be better
        before = np.concatenate([W.ravel() for W in other.coefs_])
        for _ in range(3):
            other.fit(X, Y)
        np.testing.assert_allclose(np.concatenate([W.ravel() for W in other.coefs_]), before, atol=1e-6)


@pytest.mark.parametrize("n_classes", [3, 30])
def test_early_stopping_with_a_class_of_one_row(n_classes):
    """Or with more classes than rows held back: scikit-learn's draws them whatever their class, and so does ours."""
    y = np.arange(N) % n_classes
    y[y == 1] = 2
    y[5] = 1
    given = np.array([f"class {k}" for k in range(n_classes)])[y]
    model = MLPClassifier((4,), early_stopping=True, max_iter=3).fit(X, given)
    theirs = Theirs((4,), early_stopping=True, max_iter=3).fit(X, given)
    assert len(model.validation_scores_) == len(theirs.validation_scores_) == 3
    assert set(model.classes_) == set(given)


def test_the_only_row_of_a_class_is_trained_on():
    from gpu_logreg.estimators.network.fit import _split
    from gpu_logreg.estimators.target import Target

    classes = np.arange(4)
    codes = np.array([0, 1, *[2, 3] * 20])
    at = np.arange(100, 142)
    by_row = np.zeros(142, int)
    by_row[at] = codes
    for seed in range(5):
        kept, held_back = _split(at, by_row, Target(classes), 0.25, np.random.default_rng(seed))
        assert {100, 101} <= set(kept)
        assert len(held_back) == 11
        np.testing.assert_array_equal(np.sort(np.concatenate([kept, held_back])), at)
    kept, held_back = _split(at[2:], by_row, Target(classes), 0.25, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(by_row[held_back]), [0, 0, 5, 5])  # else in the same share


def test_early_stopping_with_one_row_of_two_classes_is_refused_by_name():
    y = np.where(np.arange(N) == 3, "rare", "usual")
    with pytest.raises(
        DataError, match=r"cannot hold back validation_fraction=0.1: the class 'rare' has one row, and "
    ):
        MLPClassifier((4,), early_stopping=True).fit(X, y)
    with pytest.raises(ValueError, match="least populated class"):
        Theirs((4,), early_stopping=True).fit(X, y)


@pytest.mark.parametrize("y", [Y, np.array(["a", "b", "c"])[np.arange(N) % 3]], ids=["two", "three"])
def test_a_first_part_needs_the_classes_as_in_scikit_learn(y):
    for model in (MLPClassifier((4,)), Theirs((4,))):
        with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
            model.partial_fit(X, y)
        assert not [name for name in vars(model) if name.endswith("_")]
        model.partial_fit(X, y, classes=np.unique(y)).partial_fit(X[:1], y[:1])
        assert model.classes_.tolist() == np.unique(y).tolist()
    with pytest.raises(DataError, match=r"partial_fit\(X, y, classes=\.\.\.\)$") as raised:
        MLPClassifier((4,)).partial_fit(X, y)
    assert "\n" not in str(raised.value)


def test_a_part_after_a_fit_or_of_several_labels_needs_no_classes():
    MLPClassifier((4,), max_iter=1).fit(X, Y).partial_fit(X[:1], Y[:1])
    assert MLPClassifier((4,)).partial_fit(X, np.column_stack([Y, 1 - Y])).classes_.tolist() == [0, 1]


def test_a_part_that_is_refused_spoils_nothing():
    model = MLPClassifier((4,)).partial_fit(X, Y, classes=[0, 1])
    before = weights_of(model)
    for rows, y, weights in ((X, Y + 1, None), (X, Y[:-1], None), (X * np.nan, Y, None), (X, Y, -np.ones(N))):
        with pytest.raises(ValueError):
            model.partial_fit(rows, y, sample_weight=weights)
        np.testing.assert_array_equal(weights_of(model), before)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model.partial_fit(X, Y)


def test_a_given_validation_set_stops_a_training_as_rows_held_back_do() -> None:
    """The rows that a training holds back, given to another: same epochs, same scores, same weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    X_val, y_val = X[300:], y[300:]
    model = MLPClassifier((8,), early_stopping=True, max_iter=60, n_iter_no_change=5)
    model.fit(X[:300], y[:300], X_val=X_val, y_val=y_val)
    assert model.best_validation_score_ == pytest.approx(model.score(X_val, y_val))
    assert len(model.validation_scores_) == model.n_iter_ < 60
    other = MLPClassifier((8,), early_stopping=True, max_iter=60, n_iter_no_change=5)
    other.fit(X[:300], y[:300], X_val=-X_val, y_val=1 - y_val)
    assert other.validation_scores_ != model.validation_scores_

"""Scripts of scikit-learn's that run on our fits: what they get, what stays with scikit-learn, and the summary."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn
import sklearn.linear_model
import sklearn.neural_network
from fresh_process import run_fresh
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._logistic import LogisticRegression as ScikitLearn
from sklearn.linear_model._logistic import LogisticRegressionCV as ScikitLearnCV
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.neural_network._multilayer_perceptron import MLPClassifier as ScikitLearnMLP
from sklearn.preprocessing import StandardScaler

import gpu_logreg
from gpu_logreg import accelerate
from gpu_logreg.estimators.accelerate import places, tally

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
CV = {"l1_ratios": (0.0,), "scoring": "neg_log_loss", "use_legacy_attributes": False}

SCRIPT = """
import sys, warnings
warnings.simplefilter("error")
import numpy as np
import sklearn.linear_model as lm
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

class Mine(LogisticRegression):
    pass

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
for model in (
    LogisticRegression(),
    lm.LogisticRegression(solver="liblinear"),
    Mine(C=0.1),
    LogisticRegressionCV(l1_ratios=(0,), scoring="accuracy", use_legacy_attributes=True),
    MLPClassifier((4,), solver="lbfgs", max_iter=1000, alpha=1.0),
):
    print(type(model).__name__, model.fit(X, y).score(X, y) > 0.95, isinstance(model, LogisticRegression))
print(sys.argv, __name__, __file__)
"""


@pytest.fixture
def installed():
    accelerate.install()
    yield
    accelerate.uninstall()


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, timeout=300, check=False
    )


def fits() -> list[str]:
    return [line for line in tally.summary() if "imported it before" not in line]


# ------------------------------------------------------------------------------------------------ whole scripts


def test_an_unchanged_script_runs_and_the_summary_says_who_fitted(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    ours = python("-m", "gpu_logreg.accelerate", "script.py", "a", "-b", cwd=tmp_path)
    assert ours.returncode == 0, ours.stderr
    assert ours.stdout.splitlines() == [
        "LogisticRegression True True",
        "LogisticRegression True True",
        "Mine True True",
        "LogisticRegressionCV True True",
        "MLPClassifier True False",
        f"['script.py', 'a', '-b'] __main__ {tmp_path / 'script.py'}",
    ]
    assert ours.stderr.splitlines() == [
        "gpu_logreg.accelerate: LogisticRegression: 2 fits by gpu-logreg",
        "gpu_logreg.accelerate: LogisticRegression: 1 fit by scikit-learn: solver='liblinear' penalises the intercept",
        "gpu_logreg.accelerate: LogisticRegressionCV: 1 fit by gpu-logreg",
        "gpu_logreg.accelerate: MLPClassifier: 1 fit by gpu-logreg",
    ]


@pytest.mark.slow
def test_a_script_prints_what_it_prints_with_scikit_learn_and_ends_as_it_does(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT + "\nsys.exit(3)\n")
    (tmp_path / "no_fit.py").write_text("assert __name__ == '__main__'\nraise KeyError('mine')\n")
    plain = python("script.py", cwd=tmp_path)
    ours = python("-m", "gpu_logreg.accelerate", "script.py", cwd=tmp_path)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout) == (3, plain.stdout)
    for call in (["no_fit.py"], ["-m", "no_fit"]):
        done = python("-m", "gpu_logreg.accelerate", *call, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-2:] == [
            "KeyError: 'mine'",
            "gpu_logreg.accelerate: no fit of LogisticRegression, LogisticRegressionCV or MLPClassifier",
        ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.py"], "error: cannot read none.py: No such file or directory"),
        ([], "usage: python -m gpu_logreg.accelerate script.py [arguments], or -m module [arguments]"),
    ],
)
def test_what_is_no_script_is_refused_in_a_line(arguments, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["accelerate"])
    with pytest.raises(SystemExit, match=re.escape(message)):
        places.run(arguments)
    accelerate.uninstall()


@pytest.mark.slow
def test_fits_of_worker_processes_are_ours_and_counted(tmp_path):
    (tmp_path / "script.py").write_text(
        "from sklearn.datasets import load_iris\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.model_selection import GridSearchCV\n"
        "X, y = load_iris(return_X_y=True)\n"
        "search = GridSearchCV(LogisticRegression(), {'C': [0.1, 1.0]}, cv=3, n_jobs=2, error_score='raise')\n"
        "print(search.fit(X, y).best_params_['C'])\n"
    )
    done = python("-m", "gpu_logreg.accelerate", "script.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1.0\n")
    assert done.stderr == "gpu_logreg.accelerate: LogisticRegression: 7 fits by gpu-logreg\n"


def test_modules_that_imported_before_are_named(installed, monkeypatch):
    held = [line for line in tally.summary() if "imported it before" in line]
    assert f"LogisticRegression: scikit-learn's own in {__name__}, which imported it before install()" in held
    assert sklearn.linear_model.LogisticRegression is accelerate.LogisticRegression
    assert sklearn.neural_network.MLPClassifier is accelerate.MLPClassifier
    accelerate.install()  # a second call changes nothing
    assert [line for line in tally.summary() if "imported it before" in line] == held
    accelerate.uninstall()
    assert sklearn.linear_model.LogisticRegression is ScikitLearn
    assert tally.PATH_VARIABLE not in os.environ


# ------------------------------------------------------------------------------------------------ what a script gets


def test_results_are_those_of_scikit_learn(installed):
    ours, theirs = accelerate.LogisticRegression().fit(X, Y), ScikitLearn(tol=1e-12, max_iter=10_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    fitted = {name for name in vars(theirs) if name.endswith("_")}
    assert {name for name in vars(ours) if name.endswith("_")} == fitted
    assert fits() == ["LogisticRegression: 1 fit by gpu-logreg"]


def test_cross_validation_is_that_of_scikit_learn(installed):
    kwargs = {**CV, "Cs": [0.01, 1.0], "cv": LeaveOneGroupOut()}
    with sklearn.config_context(enable_metadata_routing=True):
        groups = np.arange(len(Y)) % 3
        ours = accelerate.LogisticRegressionCV(**kwargs).fit(X, Y, groups=groups)
        theirs = ScikitLearnCV(**kwargs, solver="newton-cholesky", tol=1e-10).fit(X, Y, groups=groups)
    np.testing.assert_allclose(ours.scores_, theirs.scores_, rtol=1e-5)
    assert (ours.C_, ours.scores_.shape) == (theirs.C_, (3, 1, 2))
    assert {name for name in vars(ours) if name.endswith("_")} == {name for name in vars(theirs) if name.endswith("_")}
    assert fits() == ["LogisticRegressionCV: 1 fit by gpu-logreg"]


def test_a_network_trains_here_and_goes_on_with_scikit_learn(installed):
    model = accelerate.MLPClassifier((6,), max_iter=40, random_state=0, learning_rate_init=0.01)
    with pytest.warns(ConvergenceWarning):
        assert model.fit(X, Y).score(X, Y) > 0.95
    assert [W.shape for W in model.coefs_] == [(30, 6), (6, 1)]
    before = model.coefs_[0].copy()
    assert model.partial_fit(X, Y) is model
    assert 0.0 < np.abs(model.coefs_[0] - before).max() < 0.1
    assert not hasattr(accelerate.MLPClassifier(solver="lbfgs"), "partial_fit")
    assert fits() == ["MLPClassifier: 1 fit by gpu-logreg", "MLPClassifier: 1 fit by scikit-learn: partial_fit"]


def test_networks_without_a_seed_differ_and_follow_the_global_one(installed):
    def first_weights() -> np.ndarray:
        with pytest.warns(ConvergenceWarning):
            return accelerate.MLPClassifier((3,), max_iter=1).fit(X, Y).coefs_[0]

    np.random.seed(3)
    one, two = first_weights(), first_weights()
    np.random.seed(3)
    assert (first_weights() == one).all()
    assert not (two == one).all()


def test_a_warm_start_begins_at_the_last_weights(installed):
    model = accelerate.LogisticRegression(warm_start=True).fit(X, Y)
    assert model.n_iter_[0] > 0
    coef = model.coef_.copy()
    assert model.fit(X, Y).n_iter_[0] <= 1
    np.testing.assert_allclose(model.coef_, coef, atol=1e-3)


def test_names_of_columns_of_an_earlier_fit_are_gone(installed):
    pandas = pytest.importorskip("pandas")
    model = accelerate.LogisticRegression().fit(pandas.DataFrame(X, columns=[f"c{i}" for i in range(30)]), Y)
    assert model.feature_names_in_[1] == "c1"
    assert not hasattr(model.fit(X, Y), "feature_names_in_")


@pytest.mark.parametrize("name", ["LogisticRegression", "LogisticRegressionCV", "MLPClassifier"])
def test_classes_and_instances_are_those_of_scikit_learn_too(name):
    cls = getattr(accelerate, name)
    original = vars(cls)["_original"]
    model = cls(max_iter=7)
    assert isinstance(model, original)
    assert isinstance(original(), cls)
    assert issubclass(original, cls)
    assert not isinstance(sklearn.linear_model.LinearRegression(), cls)
    assert is_classifier(model)
    assert model.get_params() == original(max_iter=7).get_params()
    for other in (clone(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other) is cls
        assert other.max_iter == 7
    derived = type("Derived", (cls,), {})
    assert isinstance(derived(), cls)
    assert not isinstance(model, derived)
    assert getattr(gpu_logreg, name).from_sklearn(model).max_iter == 7


def test_a_pickle_opens_in_a_process_where_nothing_is_installed(tmp_path):
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(accelerate.LogisticRegression().fit(X, Y)))
    code = f"""
        import pickle, sklearn.linear_model
        model = pickle.load(open({str(path)!r}, "rb"))
        print(model.n_features_in_, sklearn.linear_model.LogisticRegression.__module__)
    """
    assert run_fresh(code) == "30 sklearn.linear_model._logistic"


def test_a_search_over_parameters(installed):
    search = GridSearchCV(accelerate.LogisticRegression(), {"C": [0.01, 1.0]}, cv=3, error_score="raise").fit(X, Y)
    theirs = GridSearchCV(ScikitLearn(), {"C": [0.01, 1.0]}, cv=3).fit(X, Y)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=0.01)
    assert fits() == ["LogisticRegression: 7 fits by gpu-logreg"]


# ------------------------------------------------------------------------------------------------ what stays


class Weighted(accelerate.LogisticRegression):
    def _check_solver(self) -> None: ...

    def predict_proba(self, X):
        return super().predict_proba(X)


class WithInternals(accelerate.MLPClassifier):
    def _compute_loss_grad(self, *args):
        return super()._compute_loss_grad(*args)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (accelerate.LogisticRegression(solver="liblinear"), "solver='liblinear' penalises the intercept"),
        (accelerate.LogisticRegression(solver="liblinear", fit_intercept=False), None),
        (accelerate.LogisticRegression(l1_ratio=0.5, solver="saga", C=0.01), None),
        (
            accelerate.LogisticRegressionCV(**CV, solver="liblinear", Cs=2, cv=2),
            "solver='liblinear' penalises the inter",
        ),
        (Weighted(), None),
        (WithInternals((2,), solver="lbfgs"), "WithInternals has a method _compute_loss_grad of its own"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_who_fits(installed, model, reason):
    assert model.fit(X, Y).score(X, Y) > (-1.0 if isinstance(model, accelerate.LogisticRegressionCV) else 0.9)
    (line,) = fits()
    assert line.partition(": 1 fit by ")[2].startswith("gpu-logreg" if reason is None else f"scikit-learn: {reason}")


def test_what_ours_refuses_scikit_learn_may_take(installed):
    one_class = accelerate.MLPClassifier((2,), solver="lbfgs").fit(X[:9], np.ones(9, int))
    assert (one_class.predict(X[:3]) == 1).all()
    assert fits() == [
        "MLPClassifier: 1 fit by scikit-learn: DataError: y holds only one class: 1; at least 2 classes are needed"
    ]


def test_reasons_that_are_all_different_do_not_fill_the_screen(installed):
    tally.note("LogisticRegression", tally.BY_OURS)
    for at in range(30):
        tally.note("LogisticRegression", f"row {at}\nand more")
    assert fits()[:2] == [
        "LogisticRegression: 1 fit by gpu-logreg",
        "LogisticRegression: 1 fit by scikit-learn: row 0 and more",
    ]
    assert fits()[20:] == ["11 more fits by scikit-learn for 11 more reasons"]


def test_callbacks_stay(installed):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from version 1.9 on")
    model = accelerate.LogisticRegression().set_callbacks(callback.ScoringMonitor(scoring="accuracy"))
    model.fit(X, Y)
    assert fits() == ["LogisticRegression: 1 fit by scikit-learn: callbacks are set"]


def test_array_dispatch_stays(installed, monkeypatch):
    monkeypatch.setattr("gpu_logreg.estimators.accelerate.refusals.get_config", lambda: {"array_api_dispatch": True})
    accelerate.LogisticRegression().fit(X, Y)
    assert fits() == ["LogisticRegression: 1 fit by scikit-learn: array_api_dispatch is on"]


@pytest.mark.parametrize(
    ("params", "y", "message"),
    [
        ({"C": -1.0}, Y, "The 'C' parameter of LogisticRegression must be a float in the range"),
        ({"solver": "lbfgs", "l1_ratio": 1.0}, Y, "Solver lbfgs supports only 'l2' or None penalties"),
        ({}, np.zeros(len(Y)), "This solver needs samples of at least 2 classes in the data"),
        ({}, Y[:-1], "Found input variables with inconsistent numbers of samples"),
    ],
)
def test_errors_are_those_of_scikit_learn_and_are_not_counted(installed, params, y, message):
    with pytest.raises(ValueError, match=message):
        accelerate.LogisticRegression(**params).fit(X, y)
    assert fits() == ["no fit of LogisticRegression, LogisticRegressionCV or MLPClassifier"]


@pytest.mark.skipif(ScikitLearn().penalty != "deprecated", reason="scikit-learn warns of penalty from version 1.8 on")
@pytest.mark.parametrize(("params", "name"), [({"penalty": "l2"}, "penalty"), ({"l1_ratio": None}, "l1_ratio=None")])
def test_warnings_of_old_parameters_are_those_of_scikit_learn(installed, params, name):
    for cls in (accelerate.LogisticRegression, ScikitLearn):
        with pytest.warns(FutureWarning, match=f"'{name}' was deprecated in version 1.8"):
            cls(**params).fit(X, Y)
    assert fits() == ["LogisticRegression: 1 fit by gpu-logreg"]


def test_a_warning_that_a_script_makes_an_error_is_raised(installed):
    with pytest.raises(ConvergenceWarning):  # warnings are errors in these tests
        accelerate.LogisticRegression(max_iter=1, l1_ratio=1.0, solver="saga").fit(*load_iris(return_X_y=True))
    assert fits() == ["no fit of LogisticRegression, LogisticRegressionCV or MLPClassifier"]


def test_a_conversion_gives_scikit_learn_its_own_class(installed):
    assert type(gpu_logreg.LogisticRegression().fit(X, Y).to_sklearn()) is ScikitLearn
    assert type(gpu_logreg.MLPClassifier().to_sklearn()) is ScikitLearnMLP
    assert type(gpu_logreg.LogisticRegressionCV().to_sklearn()) is ScikitLearnCV

"""The report of a model: its figures are those of scikit-learn's metrics on the model's own predictions."""

from __future__ import annotations

import numpy as np
import pytest
from page_reader import Reader, faults, undrawn
from sklearn import metrics
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from gpu_logreg import LogisticRegression, LogisticRegressionCV, MLPClassifier, Stream
from gpu_logreg.errors import DataError, MissingDependencyError
from gpu_logreg.reports import page

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'gpu-logreg[report]'")
pytest.importorskip("jinja2", reason="Jinja2 is not installed: pip install 'gpu-logreg[report]'")

RNG = np.random.default_rng(5)
X = RNG.standard_normal((500, 4))
Y = np.where(X[:, 0] - X[:, 1] + RNG.logistic(size=500) > 0, "yes", "no")
CLASSES = np.digitize(X[:, 0] + RNG.logistic(size=500), [-1.0, 1.0])
S = RNG.exponential(size=500)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(page, "svg_of", undrawn)


def read(report) -> Reader:
    assert faults(report.html) == []
    return Reader(report.html)


def scores(reader: Reader) -> dict[str, str]:
    return {row[0]: row[1] for row in reader.tables()["How good the model is"][1:]}


@pytest.mark.parametrize("weights", [None, S])
def test_two_classes(weights):
    model = LogisticRegression().fit(X[:300], Y[:300])
    s = None if weights is None else weights[300:]
    reader = read(model.report(X[300:], Y[300:], s))
    p, is_yes = model.predict_proba(X[300:])[:, 1], Y[300:] == "yes"
    said = scores(reader)
    assert said["rows"] == "200"
    assert said["accuracy"] == f"{model.score(X[300:], Y[300:], s):.4f}"
    assert said["ROC AUC"] == f"{metrics.roc_auc_score(is_yes, p, sample_weight=s):.4f}"
    assert said["average precision"] == f"{metrics.average_precision_score(is_yes, p, sample_weight=s):.4f}"
    assert said["log loss"] == f"{metrics.log_loss(is_yes, p, sample_weight=s):.5f}"
    assert said["Brier score"] == f"{metrics.brier_score_loss(is_yes, p, sample_weight=s):.5f}"
    confusion = metrics.confusion_matrix(Y[300:], model.predict(X[300:]), sample_weight=s)
    table = reader.tables()["Rows of a class (down) that are taken for a class (across)"]
    assert table == [["class", "no", "yes"]] + [
        [name, *(f"{count:,.10g}" for count in row)] for name, row in zip(("no", "yes"), confusion, strict=True)
    ]
    coefficients = {row[0]: row[1] for row in reader.tables()["The largest coefficients"][1:]}
    assert coefficients == {f"x{j}": f"{model.coef_[0, j]:+.5g}" for j in range(4)}
    assert "No intervals: C=1 draws the coefficients towards zero" in " ".join(text for *_, text in reader.all("p"))
    assert reader.facts()["reads of the data"] == f"{model.n_reads_:.1f}"


def test_intervals_are_those_of_the_summary():
    model = LogisticRegression(C=np.inf).fit(X, Y)
    summary = model.summary(X, Y)
    wanted = {f"x{j}": [f"{end:+.5g}" for end in summary.intervals[j]] for j in range(4)}
    for report in (model.report(X, Y), model.report(X[:99], Y[:99], summary=summary)):
        rows = read(report).tables()["The largest coefficients"]
        assert rows[0] == ["column", "coefficient", "odds ratio", "lower", "upper"]
        assert {row[0]: row[3:] for row in rows[1:]} == wanted
    others = read(model.report(X[:99], Y[:99]))
    assert others.tables()["The largest coefficients"][0] == ["column", "coefficient", "odds ratio"]
    assert "No intervals: " in " ".join(text for *_, text in others.all("p"))


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        MLPClassifier((5,), max_iter=5, solver="lbfgs"),
        LogisticRegressionCV(Cs=3, cv=3, l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_many_classes(model):
    model.fit(X, CLASSES)
    reader, p = read(model.report(X, CLASSES)), model.predict_proba(X)
    said = scores(reader)
    assert said["log loss"] == f"{metrics.log_loss(CLASSES, p):.5f}"
    assert said["accuracy"] == f"{np.mean(model.predict(X) == CLASSES):.4f}"
    areas = [metrics.roc_auc_score(np.equal(CLASSES, k), p[:, k]) for k in range(3)]
    table = reader.tables()[f"Each class against all others; the mean area is {np.mean(areas):.4f}"]
    assert [row[2] for row in table[1:]] == [f"{area:.4f}" for area in areas]
    if hasattr(model, "coef_"):
        largest = reader.tables()["The three largest coefficients of a class"][1]
        j = int(np.abs(model.coef_[0]).argmax())
        assert largest == ["0", f"x{j}", f"{model.coef_[0, j]:+.5g}"]


def test_a_model_from_elsewhere():
    theirs = SklearnLogisticRegression().fit(X, Y)
    model = LogisticRegression.from_sklearn(theirs)
    reader = read(model.report(X, Y))
    assert scores(reader)["accuracy"] == f"{theirs.score(X, Y):.4f}"


def test_a_stream_brings_its_labels():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c", "<d>"])
    model = LogisticRegression().fit(frame, Y)
    whole = read(model.report(frame, Y, S))
    in_blocks = read(
        model.report(Stream(lambda: iter([(frame[:200], Y[:200], S[:200]), (frame[200:], Y[200:], S[200:])])))
    )
    assert scores(whole) == scores(in_blocks)
    assert {row[0] for row in whole.tables()["The largest coefficients"][1:]} == {"a", "b", "c", "<d>"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_refusals():
    model = LogisticRegression().fit(X, Y)
    with pytest.raises(DataError, match="report requires y, but it is None"):
        model.report(X)
    with pytest.raises(DataError, match="X has 500 rows, and y has shape"):
        model.report(X, Y[:3])
    with pytest.raises(DataError, match="maybe"):
        model.report(X[:2], np.array(["yes", "maybe"]))
    several = MLPClassifier((3,), max_iter=1, solver="lbfgs")
    several.fit(X, np.stack([CLASSES > 0, CLASSES > 1], axis=1).astype(int))
    with pytest.raises(DataError, match="a report is on classes, and the network has several labels"):
        several.report(X, Y)


def test_packages_are_asked_for_before_any_work(monkeypatch):
    def missing(what):
        raise MissingDependencyError(what)

    monkeypatch.setattr(page, "check_packages", missing)
    with pytest.raises(MissingDependencyError, match="a report"):
        LogisticRegression().report(X, Y)

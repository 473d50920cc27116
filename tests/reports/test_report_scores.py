"""Scores of a report are scikit-learn's; those that it does not have are worked out here once more."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from gpu_logreg.reports.scores import THRESHOLDS, Labelled, binary_curves, calibration, thinned, thresholds
from gpu_logreg.reports.sections import score_facts


def labelled(n: int = 400, classes: int = 2, weighted: bool = False, seed: int = 0) -> Labelled:
    """Rows whose probabilities know something of their classes; some are equal."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, classes, n)
    z = random.standard_normal((n, classes)) + 1.5 * np.eye(classes)[codes]
    p = np.round(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), 2)
    p = np.clip(p, 0.01, 1.0)
    p /= p.sum(axis=1, keepdims=True)
    s = random.exponential(size=n) * (random.random(n) < 0.9) if weighted else None
    return Labelled(codes, p, s, tuple(f"class {k}" for k in range(classes)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_scores_are_those_of_scikit_learn(classes, weighted):
    rows = labelled(classes=classes, weighted=weighted)
    s = {"sample_weight": rows.weights}
    assert rows.accuracy == pytest.approx(metrics.accuracy_score(rows.codes, rows.predicted, **s))
    assert rows.log_loss == pytest.approx(metrics.log_loss(rows.codes, rows.probabilities, **s))
    np.testing.assert_allclose(rows.confusion, metrics.confusion_matrix(rows.codes, rows.predicted, **s))
    for k in range(classes):
        found = binary_curves(rows, k)
        is_k, p = rows.codes == k, rows.probabilities[:, k]
        assert found.auc == pytest.approx(metrics.roc_auc_score(is_k, p, **s))
        assert found.average_precision == pytest.approx(metrics.average_precision_score(is_k, p, **s))
        assert metrics.auc(found.false_positive, found.true_positive) == pytest.approx(found.auc, abs=1e-3)
        binned = calibration(is_k, p, rows.weights)
        assert binned.brier == pytest.approx(metrics.brier_score_loss(is_k, p, **s))


def test_two_classes_are_decided_as_predict_does():
    rows = Labelled(np.array([0, 1]), np.array([[0.5, 0.5], [0.4, 0.6]]), None, ("a", "b"))
    assert rows.predicted.tolist() == [0, 1]


def test_bins_are_those_of_scikit_learn():
    rows = labelled(1000)
    is_second, p = rows.codes == 1, rows.probabilities[:, 1]
    observed, predicted = calibration_curve(is_second, p, n_bins=10, strategy="quantile")
    found = calibration(is_second, p, None)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.predicted, predicted)
    assert found.weight.sum() == 1000
    assert found.expected_error == pytest.approx(np.average(abs(observed - predicted), weights=found.weight))


def test_a_weight_of_two_is_a_row_written_twice():
    rows = labelled(60)
    s = np.random.default_rng(1).integers(0, 3, 60).astype(np.float64)
    at = np.repeat(np.arange(60), s.astype(int))
    weighted = Labelled(rows.codes, rows.probabilities, s, rows.classes)
    written = Labelled(rows.codes[at], rows.probabilities[at], None, rows.classes)
    assert {**score_facts(weighted), "rows": ""} == {**score_facts(written), "rows": ""}
    for one, other in zip(thresholds(weighted), thresholds(written), strict=True):
        np.testing.assert_allclose(list(vars(one).values()), list(vars(other).values()), rtol=1e-12, equal_nan=True)


def test_thresholds_are_decisions():
    rows = labelled()
    p = rows.probabilities[:, 1]
    for threshold, row in zip(THRESHOLDS, thresholds(rows), strict=True):
        taken = (p >= threshold).astype(int)
        assert row.threshold == threshold
        assert row.taken == pytest.approx(taken.mean())
        assert row.recall == pytest.approx(metrics.recall_score(rows.codes, taken))
        assert row.specificity == pytest.approx(metrics.recall_score(rows.codes, taken, pos_label=0))
        assert row.f1 == pytest.approx(metrics.f1_score(rows.codes, taken))
        if taken.any():
            assert row.precision == pytest.approx(metrics.precision_score(rows.codes, taken))
        else:
            assert np.isnan(row.precision)


def test_rows_of_one_class_have_no_curve():
    rows = labelled()
    alone = Labelled(np.zeros_like(rows.codes), rows.probabilities, None, rows.classes)
    assert binary_curves(alone, 0) is None
    assert binary_curves(alone, 1) is None
    without = Labelled(rows.codes, rows.probabilities, (rows.codes == 1).astype(float), rows.classes)
    assert binary_curves(without, 1) is None


def test_a_thin_curve_keeps_its_ends_and_its_area():
    x = np.sort(np.random.default_rng(0).random(5000)).round(3)
    y = x**3
    few_x, few_y = thinned(x, y, 100)
    assert len(few_x) <= 102
    assert (few_x[0], few_y[0], few_x[-1], few_y[-1]) == (x[0], y[0], x[-1], y[-1])
    assert np.trapezoid(few_y, few_x) == pytest.approx(np.trapezoid(y, x), abs=1e-3)
    steep = thinned(np.r_[np.zeros(3000), 1.0], np.r_[np.linspace(0, 1, 3000), 1.0], 50)
    assert np.diff(steep[1]).max() < 0.05

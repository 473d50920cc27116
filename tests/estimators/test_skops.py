"""Models in a file of skops, which pickles nothing: all that has to be trusted is the estimator's own class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

from gpu_logreg import LogisticRegression, LogisticRegressionCV, MLPClassifier

CV = {"Cs": [0.1, 1.0], "cv": 2, "l1_ratios": (0.0,), "scoring": "accuracy", "use_legacy_attributes": True}


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        LogisticRegression(l1_ratio=1.0, C=0.1),
        LogisticRegressionCV(**CV),
        MLPClassifier((3,), max_iter=3),
        MLPClassifier((3,), solver="lbfgs", max_iter=1000, alpha=1.0),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_there_and_back(model):
    skops = pytest.importorskip("skops.io", reason="skops is not installed: pip install skops")
    X, y = load_iris(return_X_y=True)
    text = skops.dumps(model.fit(X, y))
    name = f"gpu_logreg.{type(model).__name__}"
    assert skops.get_untrusted_types(data=text) == [name]
    loaded = skops.loads(text, trusted=[name])
    assert loaded.get_params().keys() == model.get_params().keys()
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))

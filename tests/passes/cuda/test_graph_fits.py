"""Whole fits whose batches are a CUDA graph, and what they say where there is none."""

from __future__ import annotations

import fake_graphs
import numpy as np
import pytest
import test_cuda_steps
import test_steps_graph
from test_steps import make_rows

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.errors import DeviceError

fake, strict, anywhere = test_cuda_steps.fake, test_steps_graph.strict, test_steps_graph.anywhere
IN_A_GRAPH = test_steps_graph.IN_A_GRAPH


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", ["plain", "early stopping", "warm start", "partial_fit", "labels"])
def test_networks_fit_on_a_graph_as_on_the_cpu(anywhere, case):
    rows = make_rows(120, 6, 3, weighted=True)
    X, y, s = rows
    options = {"activation": "tanh", "batch_size": 32, "max_iter": 3, "learning_rate_init": 0.01}
    if case == "early stopping":
        options |= {"early_stopping": True, "solver": "sgd", "learning_rate": "invscaling"}
    if case == "labels":
        y = np.random.default_rng(0).integers(0, 2, (120, 4))
    ours = MLPClassifier((7,), device="cuda", warm_start=case == "warm start", **options)
    theirs = MLPClassifier((7,), device="cpu", impl="reference", warm_start=case == "warm start", **options)
    for model in (ours, theirs):
        for part in range(2 if case in ("warm start", "partial_fit") else 1):
            if case == "partial_fit":
                model.partial_fit(X[part::2], y[part::2], classes=[0, 1, 2], sample_weight=s[part::2])
            else:
                model.fit(X, y, s)
    assert (ours.impl_, ours.impl_reason_) == ("cuda", f"auto: fused steps; {IN_A_GRAPH}")
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    for here, there in zip(theirs.coefs_, ours.coefs_, strict=True):
        np.testing.assert_allclose(there, here, atol=1e-8)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_linear_models_fit_on_a_graph_as_on_the_cpu(anywhere, solver, K):
    X, y, s = make_rows(120, 6, K, weighted=True)
    options = {"solver": solver, "max_iter": 3, "tol": 0.0}
    ours = LogisticRegression(device="cuda", **options).fit(X, y, s)
    theirs = LogisticRegression(device="cpu", impl="reference", **options).fit(X, y, s)
    assert ours.impl_reason_.endswith(IN_A_GRAPH)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_says_why_there_is_no_graph(strict, monkeypatch):
    fake_graphs.refuse_captures(monkeypatch)
    X, y, _ = make_rows(60, 6)
    model = MLPClassifier((7,), device="cuda", max_iter=2).fit(X, y)
    assert "batches launched from Python, since a CUDA graph was refused (CUDARuntimeError" in model.impl_reason_
    linear = LogisticRegression(device="cuda", solver="adam", max_iter=2, tol=0.0).fit(X, y)
    assert "since a CUDA graph was refused (CUDARuntimeError" in linear.impl_reason_


def test_an_error_of_the_device_is_one_line(strict, monkeypatch):
    def lost(self, stream=None):
        raise strict.cuda.runtime.CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access")

    monkeypatch.setattr(strict.cuda.Graph, "launch", lost)
    X, y, _ = make_rows(60, 6)
    model = MLPClassifier((7,), device="cuda")
    with pytest.raises(DeviceError, match=r"^cuda:0 failed \(CUDARuntimeError: cudaErrorIllegalAddress"):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")

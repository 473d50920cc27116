"""The solver for benchopt's public benchmarks: on a stand-in for its base class, and in benchopt where it is there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

SOLVER = Path(__file__).resolve().parents[2] / "bench" / "benchopt" / "gpu_logreg_solver.py"


def drawn(n=200, d=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.where(rng.logistic(size=n) < X @ rng.standard_normal(d), 1, -1)


def solver(monkeypatch, objective_name):
    """The class of the file, set up as benchopt would."""

    class BaseSolver:
        def run_once(self, stop_val):
            self.run(stop_val)

    monkeypatch.setitem(sys.modules, "benchopt", types.SimpleNamespace(BaseSolver=BaseSolver))
    spec = importlib.util.spec_from_file_location("gpu_logreg_solver", SOLVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.Solver()
    made._objective = types.SimpleNamespace(name=objective_name)
    for name, values in module.Solver.parameters.items():
        setattr(made, name, values[0])
    return made


@pytest.mark.parametrize(
    ("objective", "fit_intercept", "l1_ratio"),
    [("L2 Logistic Regression", True, 0.0), ("L2 Logistic Regression", False, 0.0),
     ("Sparse Logistic Regression", False, 1.0)],
)  # fmt: skip
def test_the_solution_is_that_of_scikit_learn(monkeypatch, objective, fit_intercept, l1_ratio):
    X, y = drawn()
    lmbd = 3.0
    made = solver(monkeypatch, objective)
    made.set_objective(X=X, y=y, lmbd=lmbd, **({"fit_intercept": fit_intercept} if l1_ratio == 0 else {}))
    made.warm_up()
    made.run(1e-10)
    theirs = LogisticRegression(
        C=1 / lmbd, l1_ratio=l1_ratio, solver="saga" if l1_ratio else "newton-cholesky",
        fit_intercept=fit_intercept, tol=1e-12, max_iter=100_000,
    ).fit(X, y)  # fmt: skip
    beta = np.append(theirs.coef_, theirs.intercept_) if fit_intercept else theirs.coef_[0]
    np.testing.assert_allclose(made.get_result()["beta"], beta, atol=1e-5)
    assert len(made.get_result()["beta"]) == 5 + fit_intercept


BENCHMARK = {
    "objective.py": """
        import numpy as np
        from benchopt import BaseObjective

        class Objective(BaseObjective):
            name = "L2 Logistic Regression"
            parameters = {"lmbd": [1.0], "fit_intercept": [True]}

            def set_data(self, X, y):
                self.X, self.y = X, y

            def get_one_result(self):
                return {"beta": np.zeros(self.X.shape[1] + 1)}

            def evaluate_result(self, beta):
                z = self.X @ beta[:-1] + beta[-1]
                return {"value": np.logaddexp(0, -self.y * z).sum() + 0.5 * self.lmbd * beta[:-1] @ beta[:-1]}

            def get_objective(self):
                return {"X": self.X, "y": self.y, "lmbd": self.lmbd, "fit_intercept": self.fit_intercept}
    """,
    "datasets/simulated.py": """
        import numpy as np
        from benchopt import BaseDataset

        class Dataset(BaseDataset):
            name = "simulated"

            def get_data(self):
                rng = np.random.default_rng(0)
                X = rng.standard_normal((200, 5))
                return {"X": X, "y": np.where(rng.logistic(size=200) < X @ rng.standard_normal(5), 1, -1)}
    """,
}
"""A benchmark in the form of the public ones, which have to be fetched."""


@pytest.mark.slow
def test_benchopt_runs_it(tmp_path):
    found = importlib.util.find_spec("benchopt")
    if found is None or found.origin is None:  # the folder bench/benchopt is on the path of the tests
        pytest.skip("benchopt is not installed")
    for name, text in BENCHMARK.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers" / "gpu_logreg.py").write_text(SOLVER.read_text())
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchopt",
            "run",
            str(tmp_path),
            "-n",
            "8",
            "-r",
            "1",
            "--no-plot",
            "--output",
            "found",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOLVER.parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    import pandas as pd

    (kept,) = tmp_path.glob("outputs/found*.parquet")
    values = pd.read_parquet(kept)["objective_value"]
    X, y = drawn()
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X, y)
    z = theirs.decision_function(X)
    least = np.logaddexp(0, -y * z).sum() + 0.5 * (theirs.coef_**2).sum()
    assert values.min() == pytest.approx(least, rel=1e-9)

"""scikit-learn's solvers, and those of its extension by Intel."""

from __future__ import annotations

from typing import Any

from harness.peers.peer import Peer, Shape, Solution, solution_of, tolerances


class Sklearn(Peer):
    """`sklearn.linear_model.LogisticRegression` with one of its solvers."""

    module, package = "sklearn", "scikit-learn"
    levels = tolerances(1e-2, 1e-4, 1e-6, 1e-8, 1e-10)

    def __init__(self, solver: str) -> None:
        self.solver, self.name = solver, f"scikit-learn {solver}"
        self.penalties = {"liblinear": ("ridge", "L1"), "saga": ("ridge", "L1", "none")}.get(solver, ("ridge", "none"))
        if solver == "liblinear":
            self.many_classes, self.intercept = False, (False,)
        if solver == "newton-cholesky":
            self.most_weights = 4_000

    def prepare(self, training: Any) -> Any:
        import sklearn.linear_model  # noqa: F401

        return training

    def fit(self, prepared: Any, **level: Any) -> Solution:
        return solution_of(self._estimator(prepared, **level).fit(prepared.X, prepared.y))

    def _estimator(self, training: Any, **level: Any) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(
            solver=self.solver,
            C=training.C,
            l1_ratio=training.l1_ratio,
            fit_intercept=training.fit_intercept,
            max_iter=100_000,
            random_state=0,
            **level,
        )


class Intelex(Sklearn):
    """`sklearnex.linear_model.LogisticRegression`; what it does not do itself it gives to scikit-learn."""

    module, package = "sklearnex", "scikit-learn-intelex"

    def __init__(self) -> None:
        super().__init__("lbfgs")
        self.name = "scikit-learn-intelex lbfgs"

    def refusal(self, shape: Shape) -> str | None:
        return super().refusal(shape) or ("gives sparse rows to scikit-learn" if shape.is_sparse else None)

    def _estimator(self, training: Any, **level: Any) -> Any:
        from sklearnex.linear_model import LogisticRegression

        return LogisticRegression(
            solver="lbfgs", C=training.C, fit_intercept=training.fit_intercept, max_iter=100_000, **level
        )

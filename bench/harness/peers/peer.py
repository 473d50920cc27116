"""What an adapter of a peer is; it imports its library where it is used, so that this package imports none."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

Solution = tuple[np.ndarray, np.ndarray]
"""Weights (1 or K, d) and intercepts (1 or K,)."""


class Shape(NamedTuple):
    """What a peer is asked by before it gets rows."""

    n: int
    d: int
    n_classes: int
    is_sparse: bool
    C: float
    l1_ratio: float
    fit_intercept: bool


class Peer:
    """One way to minimise the objective of `harness.training`.

    Attributes
    ----------
    name
        As it stands in the tables.
    module, package
        What must be importable, and the distribution that is asked for its version.
    levels
        Settings from loose to tight: keywords of `fit`. Each is tried until the minimum is reached.
    compiles
        Whether the first fit of a process compiles code, which is waited for longer.
    variables
        Of the environment, that are set where its process starts.
    """

    name = ""
    module: str | None = None
    package: str | None = None
    levels: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    compiles = False
    variables: ClassVar[tuple[tuple[str, str], ...]] = ()

    penalties: ClassVar[tuple[str, ...]] = ("ridge", "L1", "none")
    many_classes = True
    sparse_rows = True
    intercept: ClassVar[tuple[bool, ...]] = (True, False)
    most_weights = math.inf
    """Columns times classes from which a matrix of all pairs of them has no room or takes minutes."""

    def missing(self) -> str | None:
        """Why this environment cannot run it, or None."""
        if self.module is not None and importlib.util.find_spec(self.module.split(".")[0]) is None:
            return "not installed"
        return None

    def refusal(self, shape: Shape) -> str | None:
        """Why it cannot minimise this objective, or None."""
        penalty = "none" if math.isinf(shape.C) else "ridge" if shape.l1_ratio == 0 else "L1"
        n_weights = shape.d * (1 if shape.n_classes == 2 else shape.n_classes)
        if penalty not in self.penalties:
            return f"has no fit with penalty: {penalty}"
        if shape.n_classes > 2 and not self.many_classes:
            return "knows two classes only"
        if shape.is_sparse and not self.sparse_rows:
            return "takes no sparse rows"
        if shape.fit_intercept not in self.intercept:
            return "penalises the intercept" if shape.fit_intercept else "always has an intercept"
        if n_weights > self.most_weights:
            return f"would need a matrix of {n_weights:,} x {n_weights:,}"
        return None

    def version(self) -> str:
        try:
            return importlib.metadata.version(self.package or self.module or "")
        except (importlib.metadata.PackageNotFoundError, ValueError):
            return ""

    def prepare(self, training: Any) -> Any:
        """The rows as the peer likes them; not timed."""
        return training

    def fit(self, prepared: Any, **level: Any) -> Solution:
        """Minimise; timed."""
        raise NotImplementedError


def solution_of(model: Any) -> Solution:
    """Weights and intercepts of an estimator with the attributes of scikit-learn."""
    W = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    b = np.broadcast_to(np.asarray(getattr(model, "intercept_", 0.0), dtype=np.float64).ravel(), (len(W),))
    return W, b


def tolerances(*values: float) -> tuple[dict[str, Any], ...]:
    """Levels that differ by ``tol``."""
    return tuple({"tol": value} for value in values)

"""Rows of some classes, of which a few lie far away, and their objective."""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset

N, D, K = 2000, 5, 4


def rows_of_classes(outliers: int = 5):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    y = (X @ rng.standard_normal((D, K)) + rng.gumbel(size=(N, K))).argmax(axis=1).astype(np.int32)
    X[rng.choice(N, outliers, replace=False)] *= 1e4
    return X, y


def objective_of(X: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Objective:
    loss, device = Classes(K), Device("cpu")
    data = ResidentDataset.from_arrays(X, y, weights, device, encoded=True)
    return Objective(data, choose("reference", data.rows, device, loss), 0.1 / len(X), True)

"""Draw the loss of a network after every epoch, and its decision boundary, into ``docs/``.

    python bench/draw_network.py

Needs matplotlib: ``pip install 'gpu-logreg[bench]'``.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, MLPClassifier

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
ACROSS = np.linspace(-1.9, 2.9, 400)
UP = np.linspace(-1.4, 1.9, 300)
SOLVERS = {"sgd": 0.1, "adam": 0.02, "gradient-descent": None, "lbfgs": None}
BLUE, ORANGE, DARK = "#3b6ea8", "#d9822b", "#222222"


def train(solver: str, rate: float | None, X: np.ndarray, y: np.ndarray) -> MLPClassifier:
    model = MLPClassifier((16,), "tanh", solver=solver, max_iter=300, tol=0.0, n_iter_no_change=300, random_state=0)
    if rate is not None:
        model.set_params(learning_rate_init=rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def draw_loss(models: dict[str, MLPClassifier]) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for name, model in models.items():
        unit = "epoch" if name in ("sgd", "adam") else "iteration"
        axes.plot(range(1, len(model.loss_curve_) + 1), model.loss_curve_, label=f"{name}, per {unit}", linewidth=1.8)
    axes.set(xscale="log", yscale="log", xlabel="epoch or iteration", ylabel="mean loss with penalty, nats")
    axes.set_title("Two moons, 400 rows, 16 tanh units", fontsize=11)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(DOCS / "network_loss.png", dpi=110)


def draw_boundary(model: MLPClassifier, X: np.ndarray, y: np.ndarray) -> None:
    grid = np.stack(np.meshgrid(ACROSS, UP), axis=-1).reshape(-1, 2)
    shape = (len(UP), len(ACROSS))
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    p = model.predict_proba(grid)[:, 1].reshape(shape)
    shades = axes.contourf(ACROSS, UP, p, levels=np.linspace(0, 1, 11), cmap="RdYlBu", alpha=0.55)
    axes.contour(ACROSS, UP, p, levels=[0.5], colors=DARK, linewidths=2)
    linear = LogisticRegression().fit(X, y).decision_function(grid).reshape(shape)
    axes.contour(ACROSS, UP, linear, levels=[0.0], colors=DARK, linewidths=1.2, linestyles="dashed")
    for label, colour in ((0, ORANGE), (1, BLUE)):
        axes.scatter(*X[y == label].T, s=14, color=colour, edgecolor="white", linewidth=0.4, label=f"class {label}")
    figure.colorbar(shades, label="probability of class 1")
    axes.set(xlabel="first column", ylabel="second column")
    axes.set_title("Undecided: 16 tanh units (solid), logistic regression (dashed)", fontsize=11)
    axes.legend(loc="upper right", framealpha=0.9)
    figure.savefig(DOCS / "network_boundary.png", dpi=110)


def main() -> None:
    X, y = make_moons(400, noise=0.2, random_state=0)
    models = {name: train(name, rate, X, y) for name, rate in SOLVERS.items()}
    draw_loss(models)
    draw_boundary(models["adam"], X, y)
    print("drawn:", *(str(DOCS / name) for name in ("network_loss.png", "network_boundary.png")))


if __name__ == "__main__":
    main()

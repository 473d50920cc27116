"""A network on MNIST, digits 5 to 9 against 0 to 4, against scikit-learn and PyTorch eager: ratios of one run.

    python bench/bench_network.py [--batch 128] [--epochs 4] [--seeds 3] [--dense] [--record]

784-128-1, tanh, Adam at 0.001, float32, the threads of this process (two were used for what is recorded). Rows: the
file that GPU_LOGREG_MNIST names, else ``mnist.npz`` in ``shared/data`` beside the checkout (arrays ``X_train``,
``y_train``, ``X_test``, ``y_test``), divided by 255. All three shuffle the rows before every epoch.

Time of an epoch: from the end of one to the end of the next, the best of several, taken in turns, ours, theirs, ours,
... so that whatever else the machine does falls on all. The loop of PyTorch is the fair one: tensors in memory,
``index_select`` of a batch, and of its two fast Adams (fused, foreach) the faster. Accuracy on the test rows after the
epochs of training, mean over the seeds.

``--dense``: the same rows without zeros, of which MNIST's are four in five. To every element something between 0.1 and
0.3 is added, the same for all three. They are recorded in a file of their own, ``network_dense.csv``.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import append
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as ScikitLearn

from gpu_logreg import MLPClassifier
from gpu_logreg.arrays.blocks import n_threads

UNITS = 128
TURNS = 10
ENDS: list[float] = []
"""When the epochs of the training under way ended."""


def mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist.npz"
    with np.load(os.environ.get("GPU_LOGREG_MNIST", beside)) as file:
        parts = [file[name] for name in ("X_train", "y_train", "X_test", "y_test")]
    X, y, X_test, y_test = parts
    scaled = [(rows.reshape(len(rows), -1) / np.float32(255)).astype(np.float32) for rows in (X, X_test)]
    return scaled[0], (y >= 5).astype(np.int64), scaled[1], (y_test >= 5).astype(np.int64)


def without_zeros(*parts: np.ndarray) -> list[np.ndarray]:
    """The rows with something between 0.1 and 0.3 added to every element."""
    rng = np.random.default_rng(0)
    return [rows + rng.uniform(0.1, 0.3, rows.shape).astype(rows.dtype) for rows in parts]


def options(batch: int, epochs: int, seed: int) -> dict[str, Any]:
    return {
        "hidden_layer_sizes": (UNITS,),
        "activation": "tanh",
        "solver": "adam",
        "batch_size": batch,
        "max_iter": epochs,
        "random_state": seed,
        "tol": 0.0,
        "n_iter_no_change": 1000,
    }


class Timed(ScikitLearn):
    """scikit-learn's estimator, which notes when an epoch ends: it asks itself then whether the loss still falls."""

    def _update_no_improvement_count(self, *arguments: Any) -> None:
        ENDS.append(time.perf_counter())
        super()._update_no_improvement_count(*arguments)


def train_ours(X: Any, y: Any, batch: int, epochs: int, seed: int) -> MLPClassifier:
    model = MLPClassifier(**options(batch, epochs, seed), verbose=lambda _: ENDS.append(time.perf_counter()))
    return model.fit(X, y)


def train_sklearn(X: Any, y: Any, batch: int, epochs: int, seed: int) -> ScikitLearn:
    return Timed(**options(batch, epochs, seed)).fit(X, y)


class Eager:
    """The loop that a user of PyTorch writes."""

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net

    def score(self, X: Any, y: Any) -> float:
        """Share of the rows that are predicted rightly."""
        with torch.no_grad():
            z = self.net(torch.from_numpy(X))[:, 0]
        return float(((z > 0).numpy() == (y > 0)).mean())


def eager(kind: str) -> Callable[[Any, Any, int, int, int], Eager]:
    """The loop with one of PyTorch's fast Adams."""

    def train(X: Any, y: Any, batch: int, epochs: int, seed: int) -> Eager:
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(X.shape[1], UNITS), torch.nn.Tanh(), torch.nn.Linear(UNITS, 1))
        stepper = torch.optim.Adam(net.parameters(), lr=1e-3, **{kind: True})
        loss_of = torch.nn.BCEWithLogitsLoss()
        rows, labels = torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))
        for _ in range(epochs):
            order = torch.randperm(len(rows))
            for first in range(0, len(rows), batch):
                at = order[first : first + batch]
                z = net(rows.index_select(0, at))[:, 0]
                stepper.zero_grad(set_to_none=True)
                loss_of(z, labels.index_select(0, at)).backward()
                stepper.step()
            ENDS.append(time.perf_counter())
        return Eager(net)

    return train


TRAINERS: dict[str, Callable[[Any, Any, int, int, int], Any]] = {
    "gpu-logreg": train_ours,
    "sklearn": train_sklearn,
    "torch eager, fused Adam": eager("fused"),
    "torch eager, foreach Adam": eager("foreach"),
}


def epoch_times(X: Any, y: Any, batch: int) -> dict[str, float]:
    """Best time of an epoch of each, taken in turns."""
    best = dict.fromkeys(TRAINERS, np.inf)
    for train in TRAINERS.values():
        train(X[:4096], y[:4096], batch, 1, 0)  # compiled and warm
    for _ in range(TURNS):
        for name, train in TRAINERS.items():
            ENDS.clear()
            train(X, y, batch, 4, 0)
            best[name] = min(best[name], float(np.diff(ENDS).min()))
    return best


def measure(batch: int, epochs: int, seeds: int, dense: bool) -> list[dict[str, Any]]:
    X, y, X_test, y_test = mnist()
    if dense:
        X, X_test = without_zeros(X, X_test)
    seconds = epoch_times(X, y, batch)
    scores = {
        name: [train(X, y, batch, epochs, seed).score(X_test, y_test) for seed in range(seeds)]
        for name, train in TRAINERS.items()
    }
    ours = seconds["gpu-logreg"]
    problem = "mnist without zeros" if dense else "mnist"
    print(f"\n{problem}, batch {batch}, {n_threads()} threads, {epochs} epochs, {seeds} seeds")
    print(f"{'':28}{'epoch s':>9}{'epoch / ours':>14}{'test accuracy':>15}{'lowest':>9}{'highest':>9}")
    rows = []
    for name, of_epoch in seconds.items():
        mean = float(np.mean(scores[name])) if seeds else float("nan")
        low, high = (min(scores[name]), max(scores[name])) if seeds else (np.nan, np.nan)
        print(f"{name:28}{of_epoch:9.4f}{of_epoch / ours:14.2f}{mean:15.4f}{low:9.4f}{high:9.4f}", flush=True)
        rows.append(
            {
                "torch": torch.__version__,
                "batch": batch,
                "threads": n_threads(),
                "trainer": name,
                "epoch_s": round(of_epoch, 4),
                "per_ours": round(of_epoch / ours, 3),
                "epochs": epochs,
                "seeds": seeds,
                "test_accuracy": round(mean, 5),
                "zeros_of_X": round(float((X == 0).mean()), 4),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(n_threads())
    warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs are not meant to converge
    for batch in given.batch or (128, 1024):
        rows = measure(batch, given.epochs, given.seeds, given.dense)
        if given.record:
            print("kept in", append("network_dense" if given.dense else "network", rows))


if __name__ == "__main__":
    main()

"""A network on MNIST, digits 5 to 9 against 0 to 4, against scikit-learn and PyTorch eager: ratios of one run.

    python bench/bench_network.py [--batch 128] [--epochs 4] [--seeds 3] [--record]

784-128-1, tanh, Adam at 0.001, float32, the threads of this process (two were used for what is recorded). Rows: the
file that GPU_LOGREG_MNIST names, else ``mnist.npz`` in ``shared/data`` beside the checkout (arrays ``X_train``,
``y_train``, ``X_test``, ``y_test``), divided by 255. All three shuffle the rows before every epoch.

Time of an epoch: the best of several, taken in turns, ours, theirs, ours, ... so that whatever else the machine does
falls on all. Of an estimator it is what one epoch more adds to a fit: (fit of E + 1 epochs - fit of 1) / E. The loop of
PyTorch is the fair one: tensors in memory, ``index_select`` of a batch, and of its two fast Adams (fused, foreach) the
faster. Accuracy on the test rows after the epochs of training, mean over the seeds.
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
from gpu_logreg.passes.threads import n_threads

UNITS = 128
TURNS = 5


def mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist.npz"
    with np.load(os.environ.get("GPU_LOGREG_MNIST", beside)) as file:
        parts = [file[name] for name in ("X_train", "y_train", "X_test", "y_test")]
    X, y, X_test, y_test = parts
    scaled = [(rows.reshape(len(rows), -1) / np.float32(255)).astype(np.float32) for rows in (X, X_test)]
    return scaled[0], (y >= 5).astype(np.int64), scaled[1], (y_test >= 5).astype(np.int64)


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


def estimator(make: Callable[..., Any], batch: int) -> Callable[[Any, Any, int, int], Any]:
    """Train ``make``'s estimator for some epochs."""

    def train(X: Any, y: Any, epochs: int, seed: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return make(**options(batch, epochs, seed)).fit(X, y)

    return train


class Eager:
    """The loop that a user of PyTorch writes."""

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net

    def score(self, X: Any, y: Any) -> float:
        """Share of the rows that are predicted rightly."""
        with torch.no_grad():
            z = self.net(torch.from_numpy(X))[:, 0]
        return float(((z > 0).numpy() == (y > 0)).mean())


def eager(kind: str, batch: int) -> Callable[[Any, Any, int, int], Eager]:
    def train(X: Any, y: Any, epochs: int, seed: int) -> Eager:
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(X.shape[1], UNITS), torch.nn.Tanh(), torch.nn.Linear(UNITS, 1))
        stepper = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=0.0, **{kind: True})
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
        return Eager(net)

    return train


def epoch_times(trains: dict[str, Any], X: Any, y: Any, epochs: int) -> dict[str, float]:
    """Best time of an epoch of each, taken in turns."""
    best = dict.fromkeys(trains, np.inf)
    for train in trains.values():
        train(X[:4096], y[:4096], 1, 0)  # compiled and warm
    for _ in range(TURNS):
        for name, train in trains.items():
            begin = time.perf_counter()
            train(X, y, 1, 0)
            one = time.perf_counter() - begin
            begin = time.perf_counter()
            train(X, y, epochs + 1, 0)
            best[name] = min(best[name], (time.perf_counter() - begin - one) / epochs)
    return best


def measure(batch: int, epochs: int, seeds: int) -> list[dict[str, Any]]:
    X, y, X_test, y_test = mnist()
    trains = {
        "gpu-logreg": estimator(MLPClassifier, batch),
        "sklearn": estimator(ScikitLearn, batch),
        "torch eager, fused Adam": eager("fused", batch),
        "torch eager, foreach Adam": eager("foreach", batch),
    }
    seconds = epoch_times(trains, X, y, 2)
    scores = {
        name: [train(X, y, epochs, seed).score(X_test, y_test) for seed in range(seeds)]
        for name, train in trains.items()
    }
    ours = seconds["gpu-logreg"]
    print(f"\nbatch {batch}, {n_threads()} threads, {epochs} epochs, {seeds} seeds")
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
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(n_threads())
    for batch in given.batch or (128, 1024):
        rows = measure(batch, given.epochs, given.seeds)
        if given.record:
            print("kept in", append("network", rows))


if __name__ == "__main__":
    main()

"""Peers for the tests of the benchmark: one that is right, and those that a benchmark has to survive."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from harness.peers.peer import Peer


def newton(training, steps):
    """Newton's method from zero for two classes, a ridge penalty and an intercept."""
    X = np.column_stack([training.X, np.ones(len(training.X))])
    ridge = np.append(np.full(X.shape[1] - 1, 1.0 / training.C), 0.0)
    params = np.zeros(X.shape[1])
    for _ in range(steps):
        p = 1.0 / (1.0 + np.exp(-(X @ params)))
        grad = X.T @ (p - training.y) + ridge * params
        params = params - np.linalg.solve((X.T * (p * (1.0 - p))) @ X + np.diag(ridge), grad)
    return params[None, :-1], params[-1:]


class Right(Peer):
    name = "right"
    levels = ({"steps": 0}, {"steps": 2}, {"steps": 20})

    def fit(self, prepared, steps):
        print("what libraries print is no answer")
        return newton(prepared, steps)


class Elsewhere(Right):
    name = "elsewhere"

    def fit(self, prepared, steps):
        w, b = newton(prepared, steps)
        return w + 0.1, b


class Raises(Right):
    name = "raises"

    def fit(self, prepared, steps):
        raise ValueError("no such option")


class Crashes(Right):
    name = "crashes"

    def fit(self, prepared, steps):
        if steps == 20:
            os.abort()
        return newton(prepared, steps)


class Hangs(Right):
    name = "hangs"

    def fit(self, prepared, steps):
        if steps == 2:
            time.sleep(600)
        return newton(prepared, steps)


class CannotStart(Right):
    name = "cannot start"

    def prepare(self, training):
        os._exit(3)


class TwoClassesOnly(Right):
    name = "knows L1 only"
    penalties = ("L1",)


class Interrupts(Right):
    """Sends the benchmark what Ctrl-C sends it."""

    name = "interrupts"

    def fit(self, prepared, steps):
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(600)


KINDS = (Right, Elsewhere, Raises, Crashes, Hangs, CannotStart, TwoClassesOnly, Interrupts)
PEERS = {kind.name: kind() for kind in KINDS}

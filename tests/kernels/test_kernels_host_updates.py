"""The text of the kernels of losses and updates, executed on the CPU, against NumPy and the references."""

from __future__ import annotations

import itertools

import kernel_host
import numpy as np
import pytest
from sweeps import every_other, thinned
from test_kernels_host_steps import BATCH, N, batch, kernel, rows_of

from gpu_logreg.mathematics.network import loss_and_dz
from gpu_logreg.mathematics.optimizers import Adam, Sgd
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda.steps_graph import LOSS_HEADERS, loss_options
from gpu_logreg.passes.cuda.steps_kernels import NULL, rates_of, rule_of, update_options

pytestmark = pytest.mark.skipif(kernel_host.missing() is not None, reason=str(kernel_host.missing()))


LABELS = {
    "one logit": (1, "uint8", False),
    "one logit, soft labels": (1, "real", False),
    "three classes": (3, "int32", False),
    "forty classes": (40, "int64", False),
    "five labels": (5, "uint8", True),
    "fifty labels": (50, "int32", True),
}


def losses(K: int, label: str, several: bool, weight: str | None, real: str, number: int, blocks: int, seed: int = 0):
    rng = np.random.default_rng([K, number])
    shape = (200, K) if several else (200,)
    y = rng.random(shape) if label == "real" else rng.integers(0, 2 if K == 1 or several else K, shape)
    y = y.astype(real if label == "real" else label)
    s = None if weight is None else rng.exponential(size=200).astype(weight)
    z = (6 * rng.standard_normal((BATCH, K))).astype(real)
    order = rng.permutation(200)[:N]
    run = kernel("row_losses", LOSS_HEADERS, loss_options(real, y.dtype.name, weight, K, several or K == 1))
    sums, dz = np.full(blocks, 0.25), z.copy()
    turn, *sizes = batch(number)
    given = (dz, y, NULL if s is None else s, order, turn, *sizes, sums, np.int32(K))
    run((blocks,), (cublas.BLOCK,), given, seed=seed)
    assert turn.tolist() == [number, number]
    at = rows_of(number, order)
    wanted = loss_and_dz(z[: len(at)], y[at], None if s is None else s[at])
    return sums, dz, wanted, z


WEIGHTED = ("one logit", "forty classes", "five labels")
"""Those that ``make test`` gives weights; the others have none there."""


@pytest.mark.parametrize(
    ("labels", "weight"),
    thinned(
        itertools.product(LABELS, (None, "float32", "float64")),
        lambda case: case[1] == ("float32" if case[0] in WEIGHTED else None),
    ),
)
@pytest.mark.parametrize("real", every_other(["float64", "float32"]))
def test_losses_and_derivatives_of_the_rows_of_a_batch(labels, real, weight):
    for number, blocks in ((0, 1), (1, 3), (2, 2), (3, 2)):
        sums, dz, (loss, wanted), z = losses(*LABELS[labels], weight, real, number, blocks)
        eps = float(np.finfo(real).eps)
        assert sums.sum() == pytest.approx(float(loss) + 0.25 * blocks, rel=50 * eps)
        np.testing.assert_allclose(dz[: len(wanted)], wanted, rtol=200 * eps, atol=4 * eps)
        np.testing.assert_array_equal(dz[len(wanted) :], z[len(wanted) :])


def test_the_schedule_changes_no_bit_of_the_losses():
    for labels in ("one logit", "forty classes"):
        runs = {losses(*LABELS[labels], "float32", "float32", 1, 3, seed)[0].tobytes() for seed in range(6)}
        assert len(runs) == 1


RULES = {
    "sgd": lambda: Sgd(),
    "momentum": lambda: Sgd(0.8),
    "nesterov": lambda: Sgd(0.8, True),
    "adam": lambda: Adam(0.8, 0.95, 1e-6),
    "adamw": lambda: Adam(0.8, 0.95, 1e-6, decay=0.3),
}
ALPHA, FIXED_L2, RATE = 0.7, 0.01, 0.02


def run_update(real: str, name: str, sizes: tuple[int, int, int], blocks: int, parts: int = 1, *, seed=0, turns=True):
    """Three updates, of batches of different weights; what came out, and what the references say."""
    n_weights, n_trained, n = sizes
    rng = np.random.default_rng(n)
    params, weights = rng.standard_normal(n).astype(real), np.array([37.5, 30.0, 2.5])
    grads = (100 * rng.standard_normal((3, parts, n))).astype(real)
    rule, theirs = RULES[name](), params.astype(np.float64)
    ours, m, v = params.copy(), np.zeros(n_trained, real), np.zeros(n_trained, real)
    turn, penalties = np.zeros(2, np.int64), np.zeros(blocks)
    run = kernel("update", cublas.HEADERS, update_options(rule_of(rule), real))
    numbers = (rule.beta_1, rule.beta_2, rule.epsilon) if isinstance(rule, Adam) else (rule.momentum, 0.0, 0.0)
    numbers, rates, value = (ALPHA, FIXED_L2, *numbers), rates_of(rule, 3, RATE), 0.0
    for k in range(4):
        turn[1] = turn[0]
        grad = grads[min(k, 2)]
        which = turn if turns else NULL, np.int64(0 if turns else k), np.int64(3)
        given = (ours, grad, np.int32(parts), m, v, weights, rates, *which, *map(np.float64, numbers))
        given += (penalties, np.int64(n), np.int64(n_weights))
        run((blocks,), (cublas.BLOCK,), (*given, np.int64(n_trained)), seed=seed)
        if k == 3:
            break  # beyond the last batch: nothing has changed
        l2 = FIXED_L2 + ALPHA / weights[k]
        value += 0.5 * l2 * weights[k] * np.sum(theirs[:n_weights] ** 2)
        g = grad.sum(axis=0, dtype=np.float64) / weights[k]
        g[:n_weights] += l2 * theirs[:n_weights]
        rule.update(theirs[:n_trained], g[:n_trained], RATE, n_weights)
    return (ours, m, v, turn, penalties), (theirs, rule, value), params


@pytest.mark.parametrize(
    "sizes",
    [(0, 0, 0), (1, 1, 1), pytest.param((256, 256, 256), marks=pytest.mark.slow), (300, 310, 310), (600, 600, 603)],
)
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("real", every_other(["float64", "float32"]))
def test_update_is_the_reference_update(real, name, sizes):
    n_trained = sizes[1]
    eps = float(np.finfo(real).eps)
    for blocks, parts, turns in ((1, 1, True), (3, 4, True), (2, 1, False)):
        found, (theirs, rule, value), params = run_update(real, name, sizes, blocks, parts, turns=turns)
        ours, m, v, turn, penalties = found
        np.testing.assert_allclose(ours, theirs, rtol=200 * eps, atol=200 * eps)
        np.testing.assert_array_equal(ours[n_trained:], params[n_trained:])
        if isinstance(rule, Adam):
            np.testing.assert_allclose(m, rule.m, rtol=2000 * eps, atol=200 * eps)
            np.testing.assert_allclose(v, rule.v, rtol=2000 * eps)
        elif rule.momentum:
            np.testing.assert_allclose(m, rule.velocity, rtol=2000 * eps, atol=200 * eps)
        assert penalties.sum() == pytest.approx(value, rel=1e-12 if real == "float64" else 1e-5)
        assert turn.tolist() == ([3, 3] if turns else [0, 0])


def test_the_schedule_changes_no_bit_of_an_update():
    runs = {
        tuple(array.tobytes() for array in run_update("float32", "adam", (900, 1000, 1000), 3, 2, seed=seed)[0])
        for seed in range(6)
    }
    assert len(runs) == 1

"""A network in training on resident rows, ours and PyTorch's, in rows per second.

784-128-1, tanh, Adam at 0.001, float32, no penalty. All start from the same weights, and nothing is timed before its
loss curve over a few epochs of the same batches is that of the reference steps on the CPU. Then every trainer shuffles
for itself, as its user does: ours on the host, as `MLPClassifier` does, PyTorch's on the device.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from gpu.data import labelled
from gpu.goals import GOAL_COMPILE, GOAL_EAGER
from gpu.mnist import mnist_file
from gpu.peers import LARGEST_ERROR
from gpu.timing import Budget, one_line, say
from gpu.torch_loop import Trainer, forget_compiled, full_float32, torch_trainer

from gpu_logreg.arrays.device import Device, array_namespace
from gpu_logreg.mathematics.initialisation import initialise
from gpu_logreg.mathematics.network import Network
from gpu_logreg.mathematics.optimizers import Adam
from gpu_logreg.objectives.batches import NetworkBatches
from gpu_logreg.passes.steps_choice import choose_steps
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows

UNITS, RATE = 128, 1e-3
BATCHES = (1024, 8192)
N, D = 60_000, 784
EPOCHS = 3
TOLERANCE = 1e-4
"""Relative error of the loss of an epoch from which our steps are wrong."""

OURS, PLAIN, EAGER = "gpu-logreg", "gpu-logreg, reference on CuPy", "torch eager"
COMPILED = {"torch.compile": "default"}
"""What is compiled, and in which mode; ``reduce-overhead`` would be another."""

GOALS = {EAGER: GOAL_EAGER, **dict.fromkeys(COMPILED, GOAL_COMPILE)}
"""Our rows per second over theirs, as the project wants them."""

COMPILE_S = 10.0
"""Seconds that must be left before something is compiled."""


def resident_rows(cupy: Any, n: int, d: int) -> tuple[Rows, str]:
    """MNIST, digits 5 to 9 against 0 to 4, where its file is found and n and d are its sizes; else random rows."""
    found = mnist_file()
    if found is None or (n, d) != (N, D):
        return Rows(*labelled(cupy, n, d), None), "random rows"
    with np.load(found) as file:
        X, y = file["X_train"].reshape(N, D), file["y_train"]
    X = (X / np.float32(255)).astype(np.float32)
    return Rows(cupy.asarray(X), cupy.asarray((y >= 5).astype(np.uint8)), None), "MNIST"


def orders(n: int) -> list[Any]:
    """The orders of the rows in the epochs that are compared."""
    rng = np.random.default_rng(5)
    return [rng.permutation(n) for _ in range(EPOCHS)]


def first_params(network: Network) -> Any:
    """The weights that all start from, on the host."""
    return initialise(network, np.random.default_rng(3), "glorot").astype(np.float32)


def batches_of(rows: Rows, network: Network, impl: str) -> NetworkBatches:
    """Our training from its beginning, where the rows live."""
    xp = array_namespace(rows.X)
    training = Training(network, xp.asarray(first_params(network)), Adam())
    device = Device("cpu" if xp is np else "cuda")
    return NetworkBatches(training, rows, choose_steps(impl, rows, device, training))


def ours(rows: Rows, network: Network, impl: str, batch: int) -> Trainer:
    """Steps of ours; an epoch ends with the one wait for its loss."""
    batches, rng = batches_of(rows, network, impl), np.random.default_rng(9)
    at = np.arange(len(rows.y))

    def epoch() -> float:
        return batches.epoch(rng.permutation(at), batch, RATE)

    return Trainer(lambda order: batches.epoch(order, batch, RATE), epoch, f"impl={impl!r}, shuffled on the host")


def error_of(losses: Sequence[float], true: Sequence[float]) -> float:
    """Largest relative error of an epoch's loss."""
    return float(np.max(np.abs(np.asarray(losses) / np.asarray(true) - 1.0)))


def networks(
    cupy: Any,
    budget: Budget,
    n: int = N,
    d: int = D,
    batches: Sequence[int] = BATCHES,
    rounds: int = 10,
    impl: str = "cuda",
) -> Iterator[dict[str, Any]]:
    """A row for every batch size, once without and once with what PyTorch compiles; the second takes the first's place.

    A row whose steps are wrong has a ``problem`` and no time.
    """
    full_float32()
    rows, source = resident_rows(cupy, n, d)
    cupy.cuda.Device().synchronize()
    say(f"network: {source}, {n:,} x {d}-{UNITS}-1")
    known = {"n": n, "d": d, "units": UNITS, "source": source}
    found: dict[int, dict[str, Any]] = {}
    for names in ((OURS, PLAIN, EAGER), (OURS, *COMPILED)):
        for batch in batches:
            if names == (OURS,) or "problem" in found.get(batch, {}):
                continue
            if batch in found and budget.left() < COMPILE_S:
                say(f"  batch {batch}: nothing is compiled, {budget.left():.0f} s left")
                continue
            try:
                row = _measured(cupy, rows, batch, names, rounds, impl)
            except Exception as error:
                row = {"problem": one_line(error)}
            found[batch] = known | {"batch": batch} | _joined(found.get(batch, {}), row)
            say(f"  batch {batch}, {', '.join(names)}: {row.get('problem', 'measured')}")
            yield found[batch]


def _joined(before: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """The row with the trainers of the one before; ours keeps the time that it had beside PyTorch eager."""
    return before | row | {"trainers": row.get("trainers", {}) | before.get("trainers", {})}


def _measured(cupy: Any, rows: Rows, batch: int, names: Sequence[str], rounds: int, impl: str) -> dict[str, Any]:
    """Trainers of one batch size: checked against the reference on the CPU, then timed in turns."""
    forget_compiled()
    n, d = rows.X.shape
    layers = Network((d, UNITS, 1), "tanh")
    host = Rows(rows.X.get(), rows.y.get(), None)
    reference = batches_of(host, layers, "reference")
    true = [reference.epoch(order, batch, RATE) for order in orders(n)]
    row: dict[str, Any] = {"losses": true, "trainers": {}}
    trainers: dict[str, Trainer] = {}
    for name in names:
        of_it: dict[str, Any] = {}
        row["trainers"][name] = of_it
        try:
            trainer = _trainer(name, rows, layers, batch, impl)
            of_it["note"] = trainer.note
            of_it["error"] = error_of([trainer.losses(order) for order in orders(n)], true)
            if not of_it["error"] <= (TOLERANCE if name in (OURS, PLAIN) else LARGEST_ERROR):
                raise ValueError(f"wrong: relative error of the loss {of_it['error']:.1e}")
            for _ in range(2):
                trainer.epoch()  # warm
            trainers[name] = trainer
        except Exception as error:
            of_it["problem"] = one_line(error)
            say(f"  batch {batch}, {name}: {of_it['problem']}")
    missing = [name for name in (OURS, PLAIN) if name in names and name not in trainers]
    wrong = [f"{name}: {row['trainers'][name]['problem']}" for name in missing]
    if wrong:
        return row | {"problem": "; ".join(wrong)}
    _time(cupy, row["trainers"], trainers, n, rounds)
    if OURS not in trainers:
        return row | {"problem": row["trainers"][OURS]["problem"]}
    _compare(row)
    return row if set(names) & set(COMPILED) else row | _parts(cupy, rows, layers, impl, batch, rounds)


def _trainer(name: str, rows: Rows, layers: Network, batch: int, impl: str) -> Trainer:
    if name in (OURS, PLAIN):
        return ours(rows, layers, impl if name == OURS else "reference", batch)
    return torch_trainer(rows, layers, first_params(layers), batch, RATE, COMPILED.get(name))


def _time(cupy: Any, found: dict[str, Any], trainers: dict[str, Trainer], n: int, rounds: int) -> None:
    """Median time of an epoch of each, taken in turns, by the clock of the host from idle device to idle device."""
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(rounds):
        for name, trainer in list(trainers.items()):
            try:
                times[name].append(_seconds(cupy, trainer.epoch))
            except Exception as error:
                del trainers[name]
                found[name]["problem"] = one_line(error)
    for name in trainers:
        seconds = statistics.median(times[name])
        found[name] |= {"epoch_ms": 1e3 * seconds, "rows_per_s": n / seconds, "fastest_ms": 1e3 * min(times[name])}


def _seconds(cupy: Any, work: Callable[[], Any]) -> float:
    _synchronize(cupy)
    begin = time.perf_counter()
    work()
    _synchronize(cupy)
    return time.perf_counter() - begin


def _synchronize(cupy: Any) -> None:
    """Wait for the device, whatever stream the work is on."""
    cupy.cuda.Device().synchronize()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def _compare(row: dict[str, Any]) -> None:
    """Our rows per second over each of the others', and over PyTorch eager and the faster compiled loop in ``row``."""
    found = row["trainers"]
    best = found[OURS].get("epoch_ms")
    for name, of_it in found.items():
        if name != OURS and best and "epoch_ms" in of_it:
            of_it["ratio"] = of_it["epoch_ms"] / best
            if name in GOALS:
                of_it |= {"goal": GOALS[name], "met": of_it["ratio"] >= GOALS[name]}
    compiled = [found[name]["ratio"] for name in COMPILED if "ratio" in found.get(name, {})]
    eager = found.get(EAGER, {}).get("ratio")
    row |= {} if eager is None else {"ratio_eager": eager}
    row |= {"ratio_compile": min(compiled)} if compiled else {}


def _parts(cupy: Any, rows: Rows, layers: Network, impl: str, batch: int, rounds: int) -> dict[str, float]:
    """Where an epoch of ours spends its time, in milliseconds, each a median.

    ``shuffle_ms``: the shuffle on the host. ``queue_ms``: until the host has queued all work of an epoch whose order it
    was given. ``steps_ms``: until the device is done with it; near ``queue_ms`` where the device waits for the host.
    """
    batches = batches_of(rows, layers, impl)
    order, rng = np.arange(len(rows.y)), np.random.default_rng(1)
    shuffle, queue, steps = [], [], []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        shuffled = rng.permutation(order)
        shuffle.append(time.perf_counter() - begin)
        _synchronize(cupy)
        begin = time.perf_counter()
        batches.steps.epoch(batches.training, rows, shuffled, batch, RATE)
        queue.append(time.perf_counter() - begin)
        _synchronize(cupy)
        steps.append(time.perf_counter() - begin)
    parts = {"shuffle_ms": shuffle, "queue_ms": queue, "steps_ms": steps}
    return {name: 1e3 * statistics.median(seconds[1:]) for name, seconds in parts.items()}

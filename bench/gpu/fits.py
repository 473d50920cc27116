"""Whole fits on resident rows, ours and others', each timed until the same value of the objective."""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from gpu.data import labelled, minimum, value
from gpu.peers import TORCH_DEVICE
from gpu.timing import Budget, one_line, say

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.device import Device, free_bytes

GOAL = 1e-8
"""Relative distance from the best value found."""

GOAL_N, GOAL_D = 50_000_000, 100
OURS = "gpu-logreg"
PEERS = ("torch L-BFGS", "scikit-learn, CuPy arrays", "scikit-learn, torch arrays")
LEAST_S = 5.0
"""Seconds that must be left before a solver begins."""

TOLERANCES = (1e-4, 1e-6, 1e-8)


def rows_that_fit(n: int, d: int) -> int:
    """``n``, or as many float32 rows as take a third of the free memory."""
    return min(n, free_bytes(Device("cuda")) // 3 // (4 * d))


def fits(
    cupy: Any,
    read_gb_per_s: float | None,
    budget: Budget,
    n: int = GOAL_N,
    d: int = GOAL_D,
    rounds: int = 3,
    solvers: Sequence[str] = (OURS, *PEERS),
) -> Iterator[dict[str, Any]]:
    """Rows about fits of n x d float32 rows, scaled down to what memory allows; a row says how many it was.

    A solver has a row when it has ended, and a later one once its values are compared with the least value found.
    """
    wanted, n = n, rows_that_fit(n, d)
    X, y = labelled(cupy, n, d)
    cupy.cuda.Device().synchronize()
    say(f"fits: {n:,} x {d} float32" + ("" if n == wanted else f", because {wanted:,} do not fit"))
    read_s = None if not read_gb_per_s else X.nbytes / read_gb_per_s / 1e9
    found: dict[str, Any] = {"n": n, "d": d, "wanted_n": wanted, "nbytes": int(X.nbytes), "read_s": read_s}
    found |= {"goal_reads": True} if (n, d) == (GOAL_N, GOAL_D) else {}
    run: dict[str, Callable[[], list[dict[str, Any]]]] = {
        OURS: lambda: _ours(cupy, X, y, rounds),
        "torch L-BFGS": lambda: _torch_lbfgs(X, y),
        "scikit-learn, CuPy arrays": lambda: _sklearn(X, y, budget),
        "scikit-learn, torch arrays": lambda: _sklearn(*_as_torch(X, y), budget),
    }
    rows: list[dict[str, Any]] = []
    least = np.inf
    for name in solvers:
        row: dict[str, Any] = {"solver": name, **found}
        try:
            if budget.left() < LEAST_S:
                raise TimeoutError(f"not measured: {budget.left():.0f} s left")
            trials = run[name]()
            yield _reads(row | {"seconds": min(trial["seconds"] for trial in trials)})
            for trial in trials:
                trial["value"] = value(X, y, trial.pop("w"), trial.pop("b"))
                least = min(least, trial["value"])
            row["trials"] = trials
        except TimeoutError as error:
            row["problem"] = str(error)
        except Exception as error:
            row["problem"] = one_line(error)
        say(f"  {name}: {row.get('problem', 'measured')}")
        rows.append(row)
        yield from [_judged(row, least)] if "problem" in row else []
    try:
        least = min(least, _newton_minimum(cupy, X, y))
    except Exception as error:
        say(f"no minimum by Newton's method: {one_line(error)}")
        rows = [row | {"least_problem": one_line(error)} for row in rows]
    yield from (_judged(row, least) for row in rows)


def _newton_minimum(cupy: Any, X: Any, y: Any) -> float:
    """The least value by Newton's method in float64 from a fit of ours."""
    model = LogisticRegression().fit(X, y)
    return minimum(cupy, X, y, model.coef_[0].astype(np.float64), float(model.intercept_[0]))


def _judged(row: dict[str, Any], least: float) -> dict[str, Any]:
    """The first trial of a solver that is near enough to the best value, or its last one, which then is not."""
    row = dict(row)
    trials = [dict(trial) for trial in row.pop("trials", [])]
    for trial in trials:
        trial["suboptimality"] = trial["value"] / least - 1.0
    if trials:
        reached = [trial for trial in trials if trial["suboptimality"] <= GOAL]
        best = reached[0] if reached else min(trials, key=lambda trial: trial["suboptimality"])
        row |= best | {"best_value": least, "reached": bool(reached), "n_trials": len(trials)}
        row = _reads(row)
        if row["solver"] == OURS and not reached:
            row["problem"] = f"wrong: {best['suboptimality']:.1e} above the least value"
    return row


def _reads(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its seconds in reads at the ceiling."""
    return row | ({"reads_wall": row["seconds"] / row["read_s"]} if row["read_s"] else {})


def _ours(cupy: Any, X: Any, y: Any, rounds: int) -> list[dict[str, Any]]:
    """Default settings; the median of a few fits after one that compiles."""
    LogisticRegression().fit(X, y)
    times = []
    for _ in range(rounds):
        cupy.cuda.Device().synchronize()
        begin = time.perf_counter()
        model = LogisticRegression().fit(X, y)
        times.append(time.perf_counter() - begin)
    w, b = model.coef_[0].astype(np.float64), float(model.intercept_[0])
    known = {"n_reads": float(model.n_reads_), "solver_": model.solver_, "impl": model.impl_, "device": model.device_}
    known["n_iter"] = int(model.n_iter_[0])
    return [{"seconds": statistics.median(times), "w": w, "b": b, "seconds_all": times} | known]


def _as_torch(X: Any, y: Any) -> tuple[Any, Any]:
    import torch

    return torch.from_dlpack(X), torch.from_dlpack(y)


def _torch_lbfgs(X: Any, y: Any) -> list[dict[str, Any]]:
    """Full batch, strong Wolfe, float32: a trial for every evaluation, with the time at which it was made.

    The first trial that is near enough counts, as if the solver had known when to stop.
    """
    import torch

    X, labels = _as_torch(X, y)
    labels = labels.to(X.dtype)
    n, d = X.shape
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits

    def run(steps: int) -> list[tuple[float, Any]]:
        params = torch.zeros(d + 1, device=TORCH_DEVICE, dtype=X.dtype, requires_grad=True)
        options = {"lr": 1.0, "max_iter": steps, "max_eval": 2 * steps, "history_size": 10}
        options |= {"tolerance_grad": 1e-9, "tolerance_change": 0.0, "line_search_fn": "strong_wolfe"}
        optimizer = torch.optim.LBFGS([params], **options)
        seen: list[tuple[float, Any]] = []
        begin = time.perf_counter()

        def closure() -> Any:
            optimizer.zero_grad()
            w = params[:d]
            value = loss_of(torch.mv(X, w) + params[d], labels) + 0.5 / n * (w @ w)
            value.backward()
            float(value.detach())  # as the line search does anyway: the time is that of finished work
            seen.append((time.perf_counter() - begin, params.detach().clone()))
            return value

        optimizer.step(closure)
        return seen

    run(2)
    found = []
    for evaluations, (seconds, params) in enumerate(run(60), 1):
        host = params.cpu().numpy().astype(np.float64)
        found.append({"seconds": seconds, "w": host[:d], "b": float(host[d]), "n_reads": 2.0 * evaluations})
    return found


def _sklearn(X: Any, y: Any, budget: Budget) -> list[dict[str, Any]]:
    """scikit-learn's ``lbfgs`` under array-API dispatch, from loose to tight tolerances; a trial for each."""
    import sklearn
    from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

    if os.environ.get("SCIPY_ARRAY_API") != "1":
        raise RuntimeError("array-API dispatch needs SCIPY_ARRAY_API=1 before SciPy is imported")
    found: list[dict[str, Any]] = []

    def fit(rows: Any, labels: Any, tol: float) -> Any:
        with sklearn.config_context(array_api_dispatch=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what does not converge shows in the value
            return SklearnLogisticRegression(tol=tol, max_iter=300).fit(rows, labels)

    fit(X[:10_000], y[:10_000], 1e-2)
    for tol in TOLERANCES:
        if found and budget.left() < 5 + 2 * found[-1]["seconds"]:
            break
        begin = time.perf_counter()
        model = fit(X, y, tol)
        w = _host(model.coef_).reshape(-1).astype(np.float64)  # waits for the device
        seconds = time.perf_counter() - begin
        b = float(_host(model.intercept_).reshape(-1)[0])
        found.append({"seconds": seconds, "w": w, "b": b, "tol": tol, "n_iter": int(_host(model.n_iter_).max())})
    return found


def _host(array: Any) -> Any:
    for name in ("get", "cpu"):
        move: Callable[[], Any] | None = getattr(array, name, None)
        array = array if move is None else move()
    return np.asarray(array, dtype=np.float64)

"""The ``cuda`` pass over widths and storage types: share of the pure-read ceiling, and ratios to the peers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from gpu_data import Data, columns_of, cut, filled, true_sums
from gpu_launch import checked, chosen
from gpu_peers import Peer, cublas_call_ms, peer_ms
from gpu_timing import Budget, call_ms, device_ms, one_line, say

from gpu_logreg.passes import Rows
from gpu_logreg.passes import cuda as cuda_module
from gpu_logreg.passes.family import Family

WIDTHS = (28, 64, 100, 128, 256, 512, 1000, 1024, 2000)
CACHES = 4
"""Rows take at least so many times the second-level cache together, in several sets where one is smaller."""

GOAL_RATIO = 1.8


def goal(d: int, storage: str) -> float | None:
    """The share of the ceiling that the project wants of a pass; None where it states none."""
    if storage == "float32":
        return 0.85 if 64 <= d <= 2048 else 0.60 if d == 28 else None
    return {"float16": 0.80, "bfloat16": 0.80, "uint8": 0.60}.get(storage)


def passes(
    cupy: Any,
    storage: str,
    widths: Sequence[int],
    nbytes: int,
    read_gb_per_s: float | None,
    peers: Sequence[Peer] = (),
    budget: Budget | None = None,
    rounds: int = 30,
) -> list[dict[str, Any]]:
    """A row for every width; rows that could not be measured say why.

    Parameters
    ----------
    nbytes : int
        Size of ``X``.
    read_gb_per_s : float or None
        The ceiling.
    peers : sequence of Peer
        Timed on the same rows in the same turn.
    """
    # A set of rows that fits the cache several times over would be found there again: then take several sets in turn.
    cache = int(cupy.cuda.Device().attributes.get("L2CacheSize", 0))
    sets = max(1, -(-CACHES * cache // max(1, nbytes)))
    flats = [filled(cupy, storage, columns_of(storage, nbytes), seed) for seed in range(sets)]
    rows = []
    for d in widths:
        if budget is not None and budget.left() < 5:
            rows.append({"d": d, "storage": storage, "problem": "not measured: no time left"})
            continue
        try:
            row = _measure(cupy, [cut(cupy, flat, storage, d) for flat in flats], read_gb_per_s, peers, rounds)
        except Exception as error:
            row = {"problem": one_line(error)}
        rows.append({"d": d, "storage": storage} | row)
        say(f"  {storage} d = {d}: {_shown(rows[-1])}")
    return rows


def _measure(
    cupy: Any, sets: list[Data], read_gb_per_s: float | None, peers: Sequence[Peer], rounds: int
) -> dict[str, Any]:
    data = sets[0]
    row: dict[str, Any] = {"n": int(data.X.shape[0]), "sets": len(sets), "nbytes": data.nbytes}
    family = chosen(data)
    if not isinstance(family, Family):
        return row | {"problem": family}
    row["family"] = family._asdict()
    launches = []
    for one in sets:
        made, error, problem = checked(cupy, one, family)
        row["error"] = max(error, row.get("error", 0.0)) if error == error else error
        if made is None:
            return row | {"problem": problem}
        launches.append(made)
    row["ms"] = device_ms(cupy, launches, rounds)
    row["spread"] = abs(device_ms(cupy, launches, rounds) / row["ms"] - 1.0)  # the same once more: the noise
    row["gb_per_s"] = data.nbytes / row["ms"] / 1e6
    row |= launches[0].resources()
    if read_gb_per_s:
        wanted = goal(data.X.shape[1], data.storage)
        row["share"] = row["gb_per_s"] / read_gb_per_s
        row |= {} if wanted is None else {"goal": wanted, "met": row["share"] >= wanted}
    row |= _whole_call(data, rounds)
    return row | (_against(cupy, data, row, peers, rounds) if peers else {})


def _whole_call(data: Data, rounds: int) -> dict[str, Any]:
    """Milliseconds of the pass as a fit calls it: checks, copies and the wait included."""
    rows = Rows(data.X, data.y, None)
    problem = cuda_module.supports(rows)
    if problem is not None:
        return {"call_problem": problem}
    return {"call_ms": call_ms(functools.partial(cuda_module.cuda_pass, rows, data.w, data.b), rounds)}


def _against(cupy: Any, data: Data, row: dict[str, Any], peers: Sequence[Peer], rounds: int) -> dict[str, Any]:
    """Times of the peers on the same rows; the ratio of the fastest to ours."""
    true = true_sums(data)
    times = {peer.name: peer_ms(cupy, peer, data, true, min(rounds, 15)) for peer in peers}
    found: dict[str, Any] = {"peers": times}
    measured = {name: time["ms"] for name, time in times.items() if "ms" in time}
    if measured:
        fastest = min(measured, key=lambda name: measured[name])
        found["fastest_peer"], found["ratio"] = fastest, measured[fastest] / row["ms"]
    cublas = cublas_call_ms(data, true, min(rounds, 15))
    found["cublas_call"] = cublas
    if "ms" in cublas and "call_ms" in row:
        found["cublas_ratio"] = cublas["ms"] / row["call_ms"]
    return found


def _shown(row: dict[str, Any]) -> str:
    if "problem" in row:
        return str(row["problem"])
    share = f", {row['share']:.0%} of the ceiling" if "share" in row else ""
    ratio = f", {row['ratio']:.2f} times faster than {row['fastest_peer']}" if "ratio" in row else ""
    return f"{row['ms']:.3f} ms, {row['gb_per_s']:.0f} GB/s{share}{ratio}"

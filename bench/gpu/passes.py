"""The ``cuda`` pass over widths and storage types: its share of the pure-read ceiling, and ratios to the peers."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from gpu.data import Data, columns_of, cut, filled, true_sums
from gpu.goals import goal
from gpu.launch import checked, chosen
from gpu.peers import LOADERS, Peer, cublas_call_ms, peer_ms
from gpu.timing import Budget, call_ms, device_ms, one_line, say

from gpu_logreg.passes.cuda import dense as cuda_module
from gpu_logreg.passes.cuda.tuning.family import Family
from gpu_logreg.rows.block import Rows

CACHES = 4
"""Rows take at least so many times the second-level cache together, in several sets where one is smaller."""

PEER_S = 8.0
"""Seconds that must be left before another library is loaded."""


def passes(
    cupy: Any,
    storage: str,
    widths: Sequence[int],
    nbytes: int,
    read_gb_per_s: float | None,
    budget: Budget | None = None,
    rounds: int = 30,
) -> Iterator[dict[str, Any]]:
    """A row for every width, as soon as it is known; rows that could not be measured say why.

    Parameters
    ----------
    nbytes : int
        Size of ``X``.
    read_gb_per_s : float or None
        The ceiling.
    """
    # A set of rows that fits the cache several times over would be found there again: then take several sets in turn.
    cache = int(cupy.cuda.Device().attributes.get("L2CacheSize", 0))
    sets = max(1, -(-CACHES * cache // max(1, nbytes)))
    flats = [filled(cupy, storage, columns_of(storage, nbytes), seed) for seed in range(sets)]
    for d in widths:
        if budget is not None and budget.left() < 5:
            yield {"d": d, "storage": storage, "problem": "not measured: no time left"}
            continue
        try:
            row = _measure(cupy, [cut(cupy, flat, storage, d) for flat in flats], read_gb_per_s, rounds)
        except Exception as error:
            row = {"problem": one_line(error)}
        say(f"  {storage} d = {d}: {_shown(row)}")
        yield {"d": d, "storage": storage} | row


def _measure(cupy: Any, sets: list[Data], read_gb_per_s: float | None, rounds: int) -> dict[str, Any]:
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
    return row | _whole_call(data, rounds)


def _whole_call(data: Data, rounds: int) -> dict[str, Any]:
    """Milliseconds of the pass as a fit calls it: checks, copies and the wait included."""
    rows = Rows(data.X, data.y, None)
    problem = cuda_module.supports(rows)
    if problem is not None:
        return {"call_problem": problem}
    return {"call_ms": call_ms(functools.partial(cuda_module.cuda_pass, rows, data.w, data.b), rounds)}


def against(
    cupy: Any,
    widths: Sequence[int],
    nbytes: int,
    budget: Budget,
    names: Sequence[str] = tuple(LOADERS),
    rounds: int = 15,
) -> Iterator[dict[str, Any]]:
    """Our pass over float32 rows and others' two products, every width after every library that could be loaded.

    A row of a width takes the place of the one before; ``ratio`` is the time of the fastest of the others over ours.
    """
    flat = filled(cupy, "float32", columns_of("float32", nbytes), 0)
    found: dict[int, dict[str, Any]] = {}
    for d in widths:
        row: dict[str, Any] = {"d": d, "peers": {}}
        found[d] = row
        try:
            data = cut(cupy, flat, "float32", d)
            row |= _measure(cupy, [data], None, rounds)
            row["cublas_call"] = cublas_call_ms(data, true_sums(data), rounds)
        except Exception as error:
            row["problem"] = one_line(error)
        yield row | {"peers": {}}
    for name in names:
        peer: Peer | None = None
        try:
            if budget.left() < PEER_S:
                raise TimeoutError(f"not measured: {budget.left():.0f} s left")
            peer = LOADERS[name](cupy)
            of_it: dict[str, Any] = {"note": peer.note}
        except Exception as error:
            of_it = {"problem": one_line(error)}
            say(f"{name} is absent: {of_it['problem']}")
        for d, row in found.items():
            if peer is not None and "ms" in row:
                data = cut(cupy, flat, "float32", d)
                row["peers"][name] = of_it | peer_ms(cupy, peer, data, true_sums(data), rounds)
            else:
                row["peers"][name] = of_it
            yield row | {"peers": dict(row["peers"])} | _ratio(row)


def _ratio(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: peer["ms"] for name, peer in row["peers"].items() if "ms" in peer}
    if not times or "ms" not in row:
        return {}
    fastest = min(times, key=lambda name: times[name])
    return {"fastest_peer": fastest, "ratio": times[fastest] / row["ms"]}


def _shown(row: dict[str, Any]) -> str:
    if "problem" in row:
        return str(row["problem"])
    share = f", {row['share']:.0%} of the ceiling" if "share" in row else ""
    return f"{row['ms']:.3f} ms, {row['gb_per_s']:.0f} GB/s{share}"

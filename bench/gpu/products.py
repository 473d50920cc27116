"""Products with the Hessian by the ``cuda`` engine: right, the same bits twice, against the ``reference`` engine."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gpu.launch import LARGEST_ERROR
from gpu.multinomial import class_rows
from gpu.timing import Budget, call_ms, one_line, say

from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cuda.tuning.family import STORAGES
from gpu_logreg.rows.resident import ResidentDataset


def products(
    cupy: Any, elements: int, budget: Budget, shapes: Sequence[tuple[int, int, str]], rounds: int = 30
) -> Iterator[dict[str, Any]]:
    """A row for every shape, of so many elements of ``X``, as soon as it is known; those not measured say why."""
    for d, K, storage in shapes:
        row: dict[str, Any] = {"d": d, "classes": K, "storage": storage}
        if budget.left() < 5:
            yield row | {"problem": "not measured: no time left"}
            continue
        try:
            row |= _measure(cupy, d, K, storage, elements * STORAGES[storage], min(rounds, 15))
        except Exception as error:
            row |= {"problem": one_line(error)}
        shown = row.get("problem") or f"{row['call_ms']:.3f} ms, gradient {row['gradient_ms']:.3f} ms"
        say(f"  {storage} d = {d}, {K} classes, product: {shown}")
        yield row


def _measure(cupy: Any, d: int, K: int, storage: str, nbytes: int, rounds: int) -> dict[str, Any]:
    rows, W, b = class_rows(cupy, d, K, storage, nbytes)
    V, c = np.random.default_rng(d).standard_normal(W.shape) / d**0.5, np.zeros(K)
    point, direction = (W, b), (V, c)
    if K == 2:
        rows, point, direction = rows._replace(y=rows.y.astype(np.uint8)), (W[0], float(b[0])), (V[0], 0.0)
    data, device, loss = ResidentDataset(rows, float(len(rows.y))), Device("cuda", rows.X.device.id), loss_of_classes(K)
    engine, reference = (choose(name, rows, device, loss) for name in ("cuda", "reference"))
    at = engine.row_curvature(data, *point)
    found, again = (engine.product(data, at, *direction) for _ in range(2))
    wide = data.in_float64()
    true = reference.product(wide, reference.row_curvature(wide, *point), *direction)
    row: dict[str, Any] = {"n": len(rows.y)}
    row["error"] = float(np.linalg.norm(found.dw_sum - true.dw_sum) / np.linalg.norm(true.dw_sum))
    if not row["error"] <= LARGEST_ERROR[data.compute_dtype.name]:
        return row | {"problem": f"wrong: relative error {row['error']:.1e}"}
    if found.dw_sum.tobytes() != again.dw_sum.tobytes():
        return row | {"problem": "wrong: a second run gave other bits"}
    row["call_ms"] = call_ms(functools.partial(engine.product, data, at, *direction), rounds)
    row["gradient_ms"] = call_ms(functools.partial(engine.gradient, data, *point), rounds)
    row["reference_ms"] = call_ms(functools.partial(reference.product, data, at, *direction), rounds)
    return row | {"ratio": row["reference_ms"] / row["call_ms"]}

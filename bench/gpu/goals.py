"""The figures that the project wants of a GPU, and how those of a run compare with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

GOAL_RATIO = 1.8
"""Time of the faster peer over ours, d = 64 to 2,048."""

GOAL_READS = 20
"""Reads that a fit of 50,000,000 x 100 rows may take, by the clock."""

GOAL_STREAM = 0.85
"""Rate of rows that are streamed to a device over that of copies from page-locked memory."""

GOAL_EAGER, GOAL_COMPILE = 2.0, 1.0
"""Rows per second of our network over PyTorch's."""


def goal(d: int, storage: str) -> float | None:
    """The share of the ceiling that the project wants of a pass; None where it states none."""
    if storage == "float32":
        return 0.85 if 64 <= d <= 2048 else 0.60 if d == 28 else None
    return {"float16": 0.80, "bfloat16": 0.80, "uint8": 0.60}.get(storage)


def judged(rows_of: Callable[[str], Sequence[dict[str, Any]]]) -> list[tuple[str, str, str]]:
    """For every limit that a figure is there for: what, the figure beside the limit, and ``met`` or ``NOT MET``."""
    found: list[tuple[str, str, str]] = []

    def judge(what: str, figure: float, limit: float, form: str, *, most: bool = False) -> None:
        met = figure <= limit if most else figure >= limit
        sign = "at most" if most else "at least"
        found.append((what, f"{figure:{form}}, {sign} {limit:{form}}", "met" if met else "NOT MET"))

    for storage in ("float32", "float16", "bfloat16", "uint8"):
        for row in rows_of(storage):
            if row.get("goal") is not None and row.get("share") is not None:
                judge(f"{storage}, d = {row['d']}: share of the pure read", row["share"], row["goal"], ".1%")
    for row in rows_of("peers"):
        if row.get("ratio") is not None and 64 <= row["d"] <= 2048:
            judge(f"d = {row['d']}: time of {row['fastest_peer']} over ours", row["ratio"], GOAL_RATIO, ".2f")
    for row in rows_of("fits"):
        if row.get("goal_reads") and row.get("reads_wall") is not None:
            what = f"a fit of {row['n']:,} x {row['d']}: reads by the clock"
            judge(what, row["reads_wall"], GOAL_READS, ".1f", most=True)
    for row in rows_of("streams"):
        if row.get("share") is not None:
            judge(f"rows streamed to the device, d = {row['d']}: share of the copies", row["share"], GOAL_STREAM, ".1%")
    for row in rows_of("network"):
        for key, limit, what in (
            ("ratio_eager", GOAL_EAGER, "torch eager"),
            ("ratio_compile", GOAL_COMPILE, "torch.compile"),
        ):
            if row.get(key) is not None:
                judge(f"a network, batch {row['batch']}: rows a second over {what}", row[key], limit, ".2f")
    return found

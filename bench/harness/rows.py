"""What a measurement becomes in ``bench/results``: a row for each peer, and one for each of its settings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from harness.process import Contender
from harness.runner import GOALS, Course, Measurement, Step


def outcome(measurement: Measurement, course: Course) -> str:
    """Either that 1e-8 was reached, or how it ended elsewhere, crashed, did not answer, or was left out."""
    best = min((measurement.gap(step) for step in course.steps), default=math.inf)
    if best <= GOALS[-1]:
        return "reached 1e-8" + (f", then {course.note}" if course.note else "")
    if course.steps and not course.note:
        return f"ends {best:.1e} above" if math.isfinite(best) else "ends where the value is not finite"
    return course.note if not course.steps else f"{best:.1e} above: {course.note}"


def peer_rows(name: str, measurement: Measurement) -> list[dict[str, Any]]:
    """Of each contender: seconds to every goal with quartiles, the first fit and a warm one, memory, how it ended."""
    return [_peer_row(name, measurement, course) for course in measurement.courses]


def missing_rows(name: str, measurement: Measurement, missing: dict[str, str]) -> list[dict[str, Any]]:
    """Of peers that are not installed, with the reason."""
    return [
        _peer_row(name, measurement, Course(Contender(peer), None, note=reason))  # type: ignore[arg-type]
        for peer, reason in missing.items()
    ]


def level_rows(name: str, measurement: Measurement) -> list[dict[str, Any]]:
    """Of each setting of each contender: seconds and the distance from the minimum, for a curve."""
    return [
        _about(name, measurement)
        | {
            "peer": course.contender.name,
            "version": course.contender.version,
            "setting": ", ".join(f"{key}={value:g}" for key, value in step.level.items()) or "as it is",
            **_spread("seconds", step),
            "repeats": len(step.seconds),
            "suboptimality": f"{measurement.gap(step):.1e}",
        }
        for course in measurement.courses
        for step in course.steps
    ]


def _about(name: str, measurement: Measurement) -> dict[str, Any]:
    training, shape = measurement.training, measurement.shape
    return {
        "problem": name,
        "n": shape.n,
        "d": shape.d,
        "stored": training.X.nnz if shape.is_sparse else shape.n * shape.d,
        "classes": shape.n_classes,
        "dtype": str(training.X.dtype),
        "rows_mb": round(training.rows_bytes / 1e6, 1),
        "C": shape.C,
        "l1_ratio": shape.l1_ratio,
        "fit_intercept": shape.fit_intercept,
        "threads": measurement.threads,
    }


def _peer_row(name: str, measurement: Measurement, course: Course) -> dict[str, Any]:
    row = _about(name, measurement) | {"peer": course.contender.name, "version": course.contender.version}
    for goal in GOALS:
        row |= _spread(f"s_to_{goal:.0e}".replace("-0", "-"), measurement.step_to(course, goal))
    reached = measurement.step_to(course, GOALS[-1])
    warm = next((step for step in course.steps if course.cold is not None and step.first is not course.cold), None)
    best = min((measurement.gap(step) for step in course.steps), default=math.nan)
    row |= {
        "repeats": len(reached.seconds) if reached else 0,
        "interleaved": course.interleaved,
        "cpu_per_wall": _rounded(_cpu_per_wall(reached)),
        "start_s": _rounded(course.start_s),
        "first_fit_s": _rounded(course.cold["seconds"] if course.cold else math.nan),
        "same_fit_warm_s": _rounded(warm.first["seconds"] if warm else math.nan),
        "peak_mb": _rounded(max((step.first["peak_mb"] for step in course.steps), default=math.nan)),
        "suboptimality": f"{best:.1e}",
        "least_by": measurement.least_by,
        "outcome": outcome(measurement, course),
    }
    return row


def _spread(name: str, step: Step | None) -> dict[str, Any]:
    """Median, and the first and third quartile."""
    low, median, high = np.percentile(step.seconds, [25, 50, 75]) if step else (math.nan,) * 3
    return {name: _rounded(median), f"{name}_low": _rounded(low), f"{name}_high": _rounded(high)}


def _cpu_per_wall(step: Step | None) -> float:
    if step is None:
        return math.nan
    wall, cpu = sum(step.times), sum(step.cpu)
    return cpu / wall if wall else step.first["cpu_s"] / max(step.first["seconds"], 1e-9)


def _rounded(figure: float) -> Any:
    return "" if math.isnan(figure) else float(f"{figure:.4g}")

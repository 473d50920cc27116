"""Constants of the model of the kernel family that agree best with what a device has measured.

Run with ``PYTHONPATH=. python3 bench/gpu/tune.py results.jsonl [--write]`` on the results of ``check.py``. The
rate of memory is the pure read's. The others are searched, one after another, for the least *regret*: the time of the
member that the model picks over that of the fastest one measured, of every width and storage; of equal ones, those that
predict times best. Prints the constants, and with ``--write`` changes them where they stand.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu.journal import rows_of

from gpu_logreg.passes.cuda.tuning import family

MODEL = sys.modules[family._clocks.__module__]
"""The module whose constants they are."""

RATE, PER_CLOCK = "READ_BYTES_PER_SECOND", "BYTES_PER_CLOCK"
"""The pure read, of the whole device in a second, and what follows from it, of a multiprocessor in a clock."""

SEARCHED = ("SLOTS_PER_CLOCK", "LATENCY", "STALL")
"""Names of constants; those that the model does not have are left out."""

FACTORS = tuple(1.1**k for k in range(-8, 9))
ROUNDS = 4


class Timed(NamedTuple):
    """What was measured of one member."""

    d: int
    storage: str
    member: Any
    ms: float


def timed(lines: Sequence[dict[str, Any]]) -> dict[tuple[int, str], list[Timed]]:
    """Members with a time, by width and storage; where there is one alone, nothing can be chosen."""
    found: dict[tuple[int, str], list[Timed]] = {}
    for row in rows_of(list(lines), "ladder"):
        if "ms" in row:
            one = Timed(row["d"], row["storage"], family.Family(**row["family"]), row["ms"])
            found.setdefault((one.d, one.storage), []).append(one)
    return {key: members for key, members in found.items() if len(members) > 1}


def measured_rate(lines: Sequence[dict[str, Any]]) -> float | None:
    """Bytes a second of the pure read; None where it has not been measured."""
    ceilings = rows_of(list(lines), "ceiling")
    return 1e9 * ceilings[-1]["read_gb_per_s"] if ceilings else None


def regret(groups: Iterable[list[Timed]]) -> tuple[float, float]:
    """Sum of what the model's choices lose, relative to the fastest; and the spread of time over predicted clocks."""
    lost, ratios = 0.0, []
    for members in groups:
        clocks = [family._clocks(one.member, one.d, one.storage, "float32") for one in members]
        picked = members[min(range(len(members)), key=lambda k: clocks[k])]
        lost += picked.ms / min(one.ms for one in members) - 1.0
        logs = [math.log(one.ms / clock[0]) for one, clock in zip(members, clocks, strict=True)]
        mean = sum(logs) / len(logs)
        ratios += [(log - mean) ** 2 for log in logs]
    return round(lost, 6), math.sqrt(sum(ratios) / max(1, len(ratios)))


def put(model: ModuleType, values: dict[str, float]) -> None:
    """Give the model's constants other values, and what follows from them."""
    for name, value in values.items():
        setattr(model, name, value)
    if RATE in values:
        setattr(model, PER_CLOCK, values[RATE] / (model.MULTIPROCESSORS * model.CLOCK_HZ))


def tuned(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """New values of the model's constants; they are left as they were."""
    groups = list(timed(lines).values())
    names = [name for name in SEARCHED if isinstance(getattr(MODEL, name, None), float)]
    before = {name: getattr(MODEL, name) for name in (RATE, *names) if hasattr(MODEL, name)}
    values, rate = dict(before), measured_rate(lines)
    if rate is not None and RATE in values:
        values[RATE] = rate
    try:
        put(MODEL, values)
        for _ in range(ROUNDS if groups else 0):
            for name in names:
                scores = {}
                for factor in FACTORS:
                    put(MODEL, {name: values[name] * factor})
                    scores[factor] = (*regret(groups), abs(math.log(factor)))
                values[name] *= min(scores, key=lambda factor: scores[factor])
                put(MODEL, {name: values[name]})
        return {name: float(f"{value:.4g}") for name, value in values.items()}
    finally:
        put(MODEL, before)


def rewritten(text: str, values: dict[str, float]) -> str:
    """The text of a module with other values of some constants; what stands behind them stays."""
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^({name}\s*(?::\s*float\s*)?=\s*)[0-9.e+]+", rf"\g<1>{value!r}", text)
        if count != 1:
            raise SystemExit(f"the constant {name} is not set once, but {count} times")
    return text


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Lines of results as they came back, or of those that are committed."""
    text = path.read_text(encoding="utf-8")
    if text.startswith("["):
        return list(json.loads(text))
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def main() -> int:
    parser = argparse.ArgumentParser(description="Tune the model of the kernel family by measured times.")
    parser.add_argument("results", type=Path, help="results.jsonl, or a file of bench/results")
    parser.add_argument("--write", action="store_true", help="change the model")
    options = parser.parse_args()
    lines = lines_of(options.results)
    groups = list(timed(lines).values())
    if not groups:
        print(f"{options.results} has no times of members; run the step ladder")
        return 1
    before, values = regret(groups), tuned(lines)
    old = {name: getattr(MODEL, name) for name in values}
    put(MODEL, values)
    after = regret(groups)
    put(MODEL, old)
    print(f"{sum(map(len, groups))} members of {len(groups)} widths and storages")
    print(f"regret {before[0]:.4f}, spread {before[1]:.3f} as it is; {after[0]:.4f}, {after[1]:.3f} with")
    for name, value in values.items():
        print(f"{name} = {value!r}  # {old[name]!r}")
    if options.write:
        path = Path(str(MODEL.__file__))
        path.write_text(rewritten(path.read_text(encoding="utf-8"), values), encoding="utf-8")
        print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

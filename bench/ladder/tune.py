"""Constants of ``gpu_logreg/passes/family.py`` that agree best with what a device has measured.

Run with ``PYTHONPATH=. python3 bench/ladder/tune.py results.jsonl [--write]`` on the results of ``gpu_check.py``. The
bytes of a clock come from the pure read. The others are searched, one after another, for the least *regret*: the time
of the member that the model picks over that of the fastest one measured, of every width and storage; of equal ones,
those that predict times best. Prints the constants, and writes them with ``--write``.
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

from gpu_journal import rows_of

from gpu_logreg.passes import family

BYTES_PER_CLOCK = "BYTES_PER_CLOCK"
SEARCHED = ("SLOTS_PER_CLOCK", "LATENCY")
"""Names of constants; those that the module does not have are left out."""

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


def bytes_per_clock(lines: Sequence[dict[str, Any]]) -> float | None:
    """Bytes that a multiprocessor reads in a clock, by the pure read; None where something for it is missing."""
    ceilings, facts = rows_of(list(lines), "ceiling"), rows_of(list(lines), "facts")
    if not ceilings or not facts or "multiprocessors" not in facts[-1]:
        return None
    words = str(facts[-1].get("clocks_max_sm", "")).split()
    hertz = 1e6 * float(words[0]) if words and words[0].isdigit() else 1e3 * facts[-1].get("clock_khz", 0)
    return ceilings[-1]["read_gb_per_s"] * 1e9 / facts[-1]["multiprocessors"] / hertz if hertz else None


def regret(module: ModuleType, groups: Iterable[list[Timed]]) -> tuple[float, float]:
    """Sum of what the model's choices lose, relative to the fastest; and the spread of time over predicted clocks."""
    lost, ratios = 0.0, []
    for members in groups:
        clocks = [module._clocks(one.member, one.d, one.storage, "float32") for one in members]
        picked = members[min(range(len(members)), key=lambda k: clocks[k])]
        lost += picked.ms / min(one.ms for one in members) - 1.0
        logs = [math.log(one.ms / clock[0]) for one, clock in zip(members, clocks, strict=True)]
        mean = sum(logs) / len(logs)
        ratios += [(log - mean) ** 2 for log in logs]
    return round(lost, 6), math.sqrt(sum(ratios) / max(1, len(ratios)))


def tuned(module: ModuleType, lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """New values of the constants that the module has; it is left as it was."""
    groups = list(timed(lines).values())
    names = [name for name in SEARCHED if isinstance(getattr(module, name, None), float)]
    before = {name: getattr(module, name) for name in (BYTES_PER_CLOCK, *names) if hasattr(module, name)}
    measured = bytes_per_clock(lines)
    try:
        if measured is not None and BYTES_PER_CLOCK in before:
            setattr(module, BYTES_PER_CLOCK, measured)
        for _ in range(ROUNDS if groups else 0):
            for name in names:
                now = getattr(module, name)
                scores = {}
                for factor in FACTORS:
                    setattr(module, name, now * factor)
                    scores[factor] = (*regret(module, groups), abs(math.log(factor)))
                setattr(module, name, now * min(scores, key=lambda factor: scores[factor]))
        return {name: float(f"{getattr(module, name):.4g}") for name in before}
    finally:
        for name, value in before.items():
            setattr(module, name, value)


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
    parser.add_argument("--write", action="store_true", help="change gpu_logreg/passes/family.py")
    options = parser.parse_args()
    lines = lines_of(options.results)
    groups = list(timed(lines).values())
    if not groups:
        print(f"{options.results} has no times of members; run the step ladder")
        return 1
    values = tuned(family, lines)
    print(f"{sum(map(len, groups))} members, {len(groups)} widths and storages")
    print(f"regret, spread: {regret(family, groups)[0]:.4f}, {regret(family, groups)[1]:.3f} as it is")
    before = {name: getattr(family, name) for name in values}
    for name, value in values.items():
        setattr(family, name, value)
    print(f"regret, spread: {regret(family, groups)[0]:.4f}, {regret(family, groups)[1]:.3f} with")
    for name, value in values.items():
        print(f"{name} = {value!r}  # {before[name]!r}")
    if options.write:
        path = Path(str(family.__file__))
        path.write_text(rewritten(path.read_text(encoding="utf-8"), values), encoding="utf-8")
        print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

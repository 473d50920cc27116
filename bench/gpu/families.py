"""Times every admissible member of the kernel family for rows of one width, and marks the one `choose_family` picks.

Run with ``PYTHONPATH=. python3 bench/gpu/families.py --d 100 --storage float32 [--gib 2] [--seconds 300]``. Members
are right on the first rows before they are timed. The table is sorted by bandwidth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu.data import columns_of, cut, filled
from gpu.launch import checked
from gpu.tables import shown, table
from gpu.timing import Budget, device_ms, one_line, say

import gpu_logreg.passes.cuda.tuning.family as family_module
from gpu_logreg.arrays.device import cuda_problem, import_cupy
from gpu_logreg.passes.cuda.tuning.family import STATIC_BYTES, STORAGES, WARP, Family, admissible, choose_family
from gpu_logreg.passes.cuda.tuning.family_model import static_shared_bytes

BLOCKS = (128, 256, 512)
MOST_THREADS = 2048
"""Of a multiprocessor, on every device the project compiles for but sm_86, 89 and 120, which hold 1,536."""


def members(d: int, storage: str, real: str = "float32") -> Iterator[Family]:
    """Every admissible member for contiguous rows of ``d`` columns, in other blocks and numbers of them as well.

    `gpu_logreg.passes.cuda.tuning.family.admissible` gives what its estimate of the registers allows on a
    multiprocessor. Around
    that, half as many threads, half as many again and twice as many are tried, in blocks of 128 to 512 where a row
    takes at most a warp: the estimate may be wrong, and the compiler then says what it spilled.
    """
    seen: set[Family] = set()
    for family in admissible(d, storage, real):
        threads = family.block * family.resident
        for block in BLOCKS if family.lanes <= WARP else (family.block,):
            for halves in (2, 1, 3, 4):
                resident = threads * halves // (2 * block)
                member = family._replace(block=block, resident=resident)
                fits = static_shared_bytes(member, storage, real) <= STATIC_BYTES
                if fits and resident >= 1 and block * resident <= MOST_THREADS and member not in seen:
                    seen.add(member)
                    yield member


def few_members(d: int, storage: str, real: str, count: int) -> list[Family]:
    """The chosen member, and others that tell most about the model.

    Half of those are what the model finds next best, each with another load, lanes or rows; the rest are spread over
    what it finds worse, and two are the chosen one in other blocks or with half as many threads.
    """
    chosen = choose_family(d, storage, real)
    if not isinstance(chosen, Family):
        return []
    ranked = sorted(admissible(d, storage, real), key=lambda member: family_module._clocks(member, d, storage, real))
    ranked = [member for member in ranked if member != chosen]
    variants = [member for member in members(d, storage, real) if member[:4] == chosen[:4] and member != chosen]
    variants.sort(key=lambda member: abs(2 * member.block * member.resident - chosen.block * chosen.resident))
    found = [chosen, *variants[: max(0, count // 4)]]
    shapes: dict[tuple[int, ...], Family] = {}
    for member in ranked:
        if member[:4] != chosen[:4]:
            shapes.setdefault(member[:4], member)
    nearest = list(shapes.values())[: max(0, (count - len(found) + 1) // 2)]
    rest = [member for member in ranked if member not in nearest]
    wanted = count - len(found) - len(nearest)
    spread = [rest[len(rest) * k // wanted] for k in range(wanted)] if rest and wanted > 0 else []
    return list(dict.fromkeys([*found, *nearest, *spread]))[:count]


def measure(
    cupy: Any,
    d: int,
    storage: str,
    nbytes: int,
    budget: Budget,
    rounds: int = 15,
    turns: Sequence[Family] | None = None,
) -> Iterator[dict[str, Any]]:
    """A row for every member as soon as it is timed: the chosen one first, then those with most rows under way."""
    data = cut(cupy, filled(cupy, storage, columns_of(storage, nbytes)), storage, d)
    chosen = choose_family(d, storage, data.real)
    if turns is None:
        turns = sorted(set(members(d, storage, data.real)) - {chosen}, key=_promise, reverse=True)
        turns = [chosen, *turns] if isinstance(chosen, Family) else turns
    for number, family in enumerate(turns):
        if budget.left() < 2:
            say(f"no time left: {len(turns) - number} of {len(turns)} members are not measured")
            break
        row: dict[str, Any] = {"d": d, "storage": storage, "family": family._asdict(), "chosen": family == chosen}
        try:
            launches, _, problem = checked(cupy, data, family, whole=family == chosen)
            row |= {"problem": problem} if launches is None else launches.resources()
            if launches is not None:
                row["ms"] = device_ms(cupy, [launches], rounds)
                row["gb_per_s"] = data.nbytes / row["ms"] / 1e6
        except Exception as error:
            row["problem"] = one_line(error)
        say(f"{number + 1}/{len(turns)} {family}: {shown(row.get('gb_per_s', row.get('problem')), ',.0f')}")
        yield row


def _promise(family: Family) -> tuple[int, int, int, int]:
    """Wide loads first, then many bytes under way on a multiprocessor, then few lanes."""
    in_flight = family.rows * family.chunks * family.vec * family.block * family.resident
    return family.vec, min(in_flight, 65_536), -family.lanes, -family.resident


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the members of the kernel family on a GPU.")
    parser.add_argument("--d", type=int, required=True, help="columns")
    parser.add_argument("--storage", choices=sorted(STORAGES), default="float32")
    parser.add_argument("--gib", type=float, default=2.0, help="size of X")
    parser.add_argument("--seconds", type=float, default=300.0, help="time after which no member is begun")
    options = parser.parse_args()
    problem = cuda_problem()
    if problem is not None:
        print(f"not measured: {problem}")
        return 1
    nbytes = int(options.gib * 2**30)
    rows = list(measure(import_cupy(), options.d, options.storage, nbytes, Budget(options.seconds)))
    rows.sort(key=lambda row: row.get("gb_per_s", 0.0), reverse=True)
    heads = [*Family._fields, "registers", "local B", "ms", "GB/s", ""]
    lines = [
        [
            *(str(number) for number in row["family"].values()),
            *(shown(row.get("registers"), "d"), shown(row.get("local_bytes"), "d"), shown(row.get("ms"))),
            *(shown(row.get("gb_per_s"), ",.0f"), "chosen" if row["chosen"] else row.get("problem", "")),
        ]
        for row in rows
    ]
    print(f"{options.d} columns of {options.storage}, {nbytes / 2**30:g} GiB\n\n{table(heads, lines)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Everything that wants a GPU, in one command of at most 570 seconds, in the order of its worth.

Run with ``make gpu-check``, or from a plain checkout with ``PYTHONPATH=. python3 bench/gpu/check.py``. Every step is a
process of its own with a limit of time, and writes what it finds when it finds it into the folder that ``OUT`` names:
``results.jsonl``, ``table.md``, ``log.txt``, ``kernels.zip``. Whatever ends a run, what was finished is there;
``--only a,b`` runs steps again and adds to the same folder. docs/gpu.md says how to prepare and carry it. Where the
checkout has no history, ``COMMIT`` names the commit. The exit code is 1 if anything was wrong, or without a device.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu.children import Child, wait
from gpu.journal import FILE, Journal, next_run, read, rows_of, wrong_of
from gpu.prepared import PACKED, PREPARED, new_kernels, pack, use_prepared
from gpu.tables import readable

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
TOTAL_S = 560.0
LAST_S = 5.0
"""Seconds kept for ending a step and writing the table."""

FACTS, FACTS_S = "facts", 30.0
TABLE, LOG = "table.md", "log.txt"
PROGRAM = Path(__file__).with_name("steps.py")


class Step(NamedTuple):
    """A step of `steps.py`.

    Attributes
    ----------
    name : str
    seconds : float
        Limit.
    least : float
        Seconds with which it is not worth beginning.
    what : str
    """

    name: str
    seconds: float
    least: float
    what: str


STEPS = (
    Step("smoke", 30, 8, "six tiny fits against the CPU"),  # CuPy compiles its own kernels here, for all steps
    Step("float32", 30, 10, "the pure read, and the pass over float32 rows of nine widths"),
    Step("fit", 30, 12, "the fit of 50,000,000 x 100"),
    Step("streams", 40, 15, "rows of three times a budget, streamed from the host"),
    Step("storages", 50, 12, "16- and 8-bit rows, many classes, float64"),
    Step("ladder", 40, 10, "members of the kernel family, for bench/gpu/tune.py"),
    Step("tests", 90, 20, "the tests marked gpu, a process a file"),
    Step("counters", 45, 15, "ncu: bytes from memory, use of the issue slots"),
    Step("sanitizers", 60, 20, "memcheck and racecheck, side by side"),
    Step("networks", 50, 15, "networks against PyTorch"),
    Step("peers", 50, 15, "other libraries on the same rows"),
    Step("start", 40, 15, "the first fit, cold and cached; from the CPU to the GPU"),
)


class Check:
    """One run over some of the steps.

    Parameters
    ----------
    folder : Path
        Where the results are.
    seconds : float
        For everything.
    options : sequence of str
        For every step.
    """

    def __init__(self, folder: Path, seconds: float, options: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.options = folder.resolve(), list(options)
        self.run = next_run(self.folder)
        self._end = time.monotonic() + seconds
        self._known: set[str] = set()
        path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1"}
        self.environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    def left(self) -> float:
        """Seconds until everything has to have ended."""
        return self._end - time.monotonic()

    def step(self, step: Step) -> dict[str, Any]:
        """Run a step, and note what became of it."""
        journal = Journal(self.folder, self.run, step.name)
        limit = min(step.seconds, self.left() - LAST_S)
        journal.add("begin", limit=round(limit, 1))
        if limit < step.least:
            end: dict[str, Any] = {"outcome": f"left out: {max(0.0, self.left()):.0f} s left", "seconds": 0.0}
        else:
            end = self._ran(step, limit)
        journal.add("end", limit=round(limit, 1), **end)
        self.write_table()
        compiled = end.get("compiled", {})
        counts = f"; compiled {compiled.get('ours')} kernels of ours and {compiled.get('cupy')} of CuPy"
        kernels = counts if any(compiled.values()) else ""
        print(f"{step.name}: {end['outcome']}, {end['seconds']} of {limit:.0f} s{kernels}", flush=True)
        return end

    def _ran(self, step: Step, limit: float) -> dict[str, Any]:
        # A step is told to begin nothing in its last two seconds.
        own = ["--folder", str(self.folder), "--run", str(self.run), "--seconds", f"{limit - 2:.1f}", *self.options]
        command = [sys.executable, str(PROGRAM), step.name, *own]
        cache = Path(self.environment["CUPY_CACHE_DIR"]) if "CUPY_CACHE_DIR" in self.environment else None
        environment = dict(self.environment)
        if step.name == "peers":
            environment["SCIPY_ARRAY_API"] = "1"  # read when SciPy is imported
        with new_kernels(cache) as compiled:
            child = Child(command, limit, self.folder / LOG, environment, ROOT)
            wait([child])
        if cache is not None:
            if step.name == FACTS:  # what was prepared is there now, under its keys
                self._known = {path.name for path in cache.glob("*.cubin")}
            pack(cache, self._known, self.folder / PACKED)
        lines = [line for line in read(self.folder) if line["run"] == self.run and line["step"] == step.name]
        wrong = wrong_of(lines)
        if child.why:
            outcome = child.why
        elif wrong:
            outcome = "wrong"
        elif child.returncode:
            outcome = f"failed (exit code {child.returncode})"
        else:
            newest = {(line["section"], line["key"]): line["row"] for line in lines if line["kind"] == "row"}
            problems = [row["problem"] for row in newest.values() if "problem" in row]
            outcome = problems[0] if problems and len(problems) == len(newest) else "ok"
        return {
            "outcome": outcome,
            "failed": bool(wrong) or bool(child.returncode),
            "seconds": round(child.spent, 1),
            "tail": "" if outcome == "ok" else child.tail(1500),
            "compiled": compiled,
        }

    def write_table(self) -> None:
        """The table of all results so far, whole or as it was."""
        unfinished = self.folder / f".{TABLE}"
        unfinished.write_text(readable(read(self.folder)), encoding="utf-8")
        unfinished.replace(self.folder / TABLE)


def keep(folder: Path, to: Path = RESULTS) -> list[Path]:
    """Put the results of a folder that came back among those that are committed; nothing is rewritten."""
    lines = read(folder)
    facts = rows_of(lines, "facts")
    if not facts:
        raise SystemExit(f"{folder / FILE} has no facts about a device; is it the folder that came back?")
    name = "".join(letter if letter.isalnum() else "-" for letter in facts[-1]["name"].lower().replace("nvidia", ""))
    first = f"gpu-{'-'.join(filter(None, name.split('-'))) or 'unknown'}-{facts[-1]['date']}"
    stem, number = first, 1
    to.mkdir(exist_ok=True)
    while (to / f"{stem}.json").exists():
        number += 1
        stem = f"{first}-{number}"
    import json

    files = [to / f"{stem}.json", to / f"{stem}.md"]
    files[0].write_text("[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n", encoding="utf-8")
    files[1].write_text(readable(lines), encoding="utf-8")
    return files


def run(check: Check, steps: Sequence[Step], prepared: Path) -> int:
    """All steps in order; the exit code."""
    journal = Journal(check.folder, check.run, FACTS)
    # In the same place for all runs on this machine, so that a rerun finds what the first has compiled.
    cache = Path(tempfile.gettempdir(), f"gpu-logreg-check-{os.getuid()}")
    check.environment |= use_prepared(prepared, cache)
    facts = check.step(Step(FACTS, FACTS_S, 1, "the device"))
    if facts.get("failed", True) or not [row for row in journal.found("facts") if row]:
        print(f"nothing is known about the device: {facts['outcome']}\n{facts.get('tail', '')}")
        return 1
    failed = [step.name for step in steps if check.step(step).get("failed")]
    print("\n" + (check.folder / TABLE).read_text(encoding="utf-8")[:9000])
    print(f"kept in {check.folder}" + (f"; wrong: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def chosen_steps(only: str) -> list[Step]:
    """The steps that ``--only`` names, in the order of their worth; all where it names none."""
    names = [name for name in only.split(",") if name]
    unknown = set(names) - {step.name for step in STEPS}
    if unknown:
        raise SystemExit(f"--only: there is no step {', '.join(sorted(unknown))}; there are {_named()}")
    return [step for step in STEPS if not names or step.name in names]


def _named() -> str:
    return ", ".join(step.name for step in STEPS)


def _end(number: int, _: Any) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run everything that wants a GPU.")
    parser.add_argument("--only", default="", metavar="A,B", help=f"these steps alone: {_named()}")
    parser.add_argument("--list", action="store_true", help="the steps and their limits")
    parser.add_argument("--seconds", type=float, default=TOTAL_S, help="for everything")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, for a rehearsal")
    parser.add_argument("--prepared", type=Path, default=ROOT / PREPARED, help="what make gpu-prepare has gathered")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="put the results that came back in bench/results")
    options = parser.parse_args()
    if options.list:
        for step in STEPS:
            print(f"{step.name:12}{step.seconds:4.0f} s  {step.what}")
        print(f"{'all':12}{sum(step.seconds for step in STEPS):4.0f} s")
        return 0
    if options.keep is not None:
        print(*keep(options.keep), sep="\n")
        return 0
    steps = chosen_steps(options.only)
    import gpu.stand_in

    if not gpu.stand_in.asked():
        from gpu_logreg.arrays.device import cuda_problem

        problem = cuda_problem()
        if problem is not None:
            print(f"gpu-check needs a GPU: {problem}")
            return 1
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end)
    check = Check(
        Path(os.environ.get("OUT") or ROOT / "build" / "gpu-check"), options.seconds, ["--tiny"] * options.tiny
    )
    with contextlib.suppress(KeyboardInterrupt):
        return run(check, steps, options.prepared)
    check.write_table()
    return 130


if __name__ == "__main__":
    sys.exit(main())

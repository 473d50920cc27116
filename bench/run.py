"""gpu-logreg beside everything that minimises the same objective, on named problems: ratios of one run.

Run with ``make bench`` (two cores, under 15 minutes), ``make bench FULL=1`` (all problems and the programs that measure
one thing each; hours), or ``python bench/run.py [options]``:

--problems PATTERN, --peers PATTERN
    Only those in whose name the regular expression is found, in small or capital letters.
--minutes M
    The time in which it ends; problems that it has no time for are listed. Default 12.5, with ``--full`` none.
--python NAME=PATH
    Peers that this environment lacks, taken from another Python; may be given several times. ``NAME`` is a word of the
    peer's name, such as torch; ``any`` asks that Python for every peer that is missing. It needs NumPy and SciPy beside
    the peer. ``PATH`` may be a folder of packages instead, which is put before those of this Python. The variable
    ``GPU_LOGREG_BENCH_PYTHON`` holds the same, separated by ``:``.
--peers-file FILE
    A file of Python with more peers, a dictionary ``PEERS`` of names and `harness.peers.peer.Peer` objects.
--threads T, --limit SECONDS, --repeats R, --no-record, --list

Every peer minimises the objective of `harness.training` on the same rows, each in a process of its own with the same
number of threads. It begins with loose settings and goes on to tighter ones until it is within 1e-8 of the least value
that anyone found, relatively. The loosest settings that came within 1e-4, 1e-6 and 1e-8 are then repeated, all peers in
turns where their rows fit into memory together. Conversions of the rows into what a peer likes are not timed.
A peer that crashes, that does not answer within the limit, or that ends elsewhere has that for its result. Rows go to
``bench/results/peers.csv`` (a row for each peer) and ``levels.csv`` (for each of its settings) after every problem;
Ctrl-C keeps what was measured, and the exit code is 130.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness.peers import PEERS
from harness.peers.peer import Peer
from harness.problems import NAMED, Named
from harness.process import ChildError, Contender, probe
from harness.rows import level_rows, missing_rows, peer_rows
from harness.runner import Limits, Measurement
from record import append

ROOT = Path(__file__).resolve().parent.parent
RESERVE = 20.0
"""Seconds of a run that are kept for what is not timed: rows that are drawn, values that are taken."""

LEAST_SHARE = 10.0
"""Seconds below which a problem is not begun: the start of its processes takes most of them."""

PROGRAMS = (
    "bench_fit.py",
    "bench_multinomial.py",
    "bench_sparse.py",
    "bench_l1.py",
    "bench_l1_columns.py",
    "bench_summary.py",
    "bench_network.py",
    "bench_cv.py",
    "bench_dask.py",
    "bench_stream.py",
    "first_fit.py",
    "real_data.py",
    "torture.py",
    "second_torture.py",
)
"""What ``FULL=1`` runs after the problems: each measures one thing that is no race of solvers."""


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="More in the text of bench/run.py.")
    parser.add_argument("--problems", default="")
    parser.add_argument("--peers", default="")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--peers-file", metavar="FILE")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=float, help="seconds of a fit; default 10, with --full 300")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="large problems, and all programs of bench/")
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--list", action="store_true", help="problems and peers, and what is missing")
    return parser.parse_args(arguments)


def find_contenders(options: argparse.Namespace) -> tuple[list[Contender], dict[str, str], dict[str, Peer]]:
    """Peers that can run, those that cannot with the reason, and the adapters of all."""
    peers, file = dict(PEERS), options.peers_file
    if file:
        from harness.child import peers_of

        peers |= {name: peer for name, peer in peers_of(file).items() if name not in peers}
    here = probe(sys.executable)
    if file:
        here |= {name: found for name, found in probe(sys.executable, file).items() if name not in PEERS}
    given = [*filter(None, os.environ.get("GPU_LOGREG_BENCH_PYTHON", "").split(":")), *options.python]
    others = []
    for text in given:
        word, _, python = text.partition("=")
        if not python:
            raise SystemExit(f"--python {text}: give NAME=PATH, such as torch=/opt/torch/bin/python")
        try:
            place = (sys.executable, (("PYTHONPATH", python),)) if Path(python).is_dir() else (python, ())
            others.append((word.lower(), *place, probe(place[0], variables=place[1])))
        except ChildError as failure:
            raise SystemExit(f"--python {text}: {failure}") from None
    contenders, missing = [], {}
    for name, peer in peers.items():
        if not chosen(name, options.peers):
            continue
        python, found, variables = sys.executable, here[name], peer.variables
        for word, other, more, there in others:
            if found["missing"] and word in ("any", *name_words(name)) and not there.get(name, found)["missing"]:
                python, found, variables = other, there[name], peer.variables + more
        if found["missing"]:
            missing[name] = found["missing"]
        else:
            own = file if name not in PEERS else None
            contenders.append(Contender(name, python, own, found["version"], variables))
    return contenders, missing, peers


def name_words(name: str) -> list[str]:
    """Each word of a name and all together, in small letters: what ``--python`` calls it."""
    return [name.lower(), *name.lower().replace(",", " ").split()]


def chosen(name: str, pattern: str) -> bool:
    return re.search(pattern, name, re.IGNORECASE) is not None


def show(name: str, named: Named, rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    penalty = "no penalty" if math.isinf(named.C) else f"{'L1' if named.l1_ratio else 'ridge'}, C = {named.C:g}"
    print(
        f"\n{name}: {first['n']:,} x {first['d']:,}, {first['classes']} classes, {penalty}, {first['threads']} threads"
    )
    print(f"{'':38}{'to 1e-4':>10}{'to 1e-6':>10}{'to 1e-8':>10}{'quartiles':>20}{'first':>9}{'MB':>8}  outcome")
    for row in rows:
        figures = [row[f"s_to_1e-{k}"] for k in (4, 6, 8)]
        shown = "".join(f"{figure:10.4g}" if figure != "" else f"{'':>10}" for figure in figures)
        spread = f"{row['s_to_1e-8_low']:.4g} to {row['s_to_1e-8_high']:.4g}" if figures[2] != "" else ""
        first_fit = f"{row['first_fit_s']:9.3g}" if row["first_fit_s"] != "" else f"{'':9}"
        peak = f"{row['peak_mb']:8.0f}" if row["peak_mb"] != "" else f"{'':8}"
        print(f"{row['peer']:38}{shown}{spread:>20}{first_fit}{peak}  {row['outcome']}", flush=True)


def available_memory() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 4e9
    return 1024.0 * next(float(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def measure_all(options: argparse.Namespace, wanted: dict[str, Named]) -> bool:
    """Whether it was not interrupted."""
    contenders, missing, peers = find_contenders(options)
    for name, reason in missing.items():
        print(f"{name}: left out: {reason}")
    minutes = options.minutes or (math.inf if options.full else 12.5)
    end, no_time = time.monotonic() + 60.0 * minutes - RESERVE, []
    fit_s = options.limit or (300.0 if options.full else 10.0)
    here = {name: named for name, named in wanted.items() if not named.missing()}
    for name, named in wanted.items():
        if named.missing():
            print(f"\n{name}: left out: {named.missing()}")
            continue
        share = (end - time.monotonic()) * here[name].share / sum(other.share for other in here.values())
        here.pop(name)
        if share < LEAST_SHARE:
            no_time.append(name)
            continue
        begin = time.monotonic()
        training = named.training()
        share = min(share - (time.monotonic() - begin), fit_s * 30.0)
        limits = Limits(fit_s, share, options.repeats, 0.5 * available_memory())
        print(f"\n{name}: {training.X.shape[0]:,} x {training.X.shape[1]:,}, for {share:.0f} s at most", flush=True)
        measurement = Measurement(training, options.threads, limits)
        del training  # the measurement has it until it lies in files
        interrupted = False
        try:
            measurement.run([one for one in contenders if not named.only or one.name in named.only], peers)
        except KeyboardInterrupt:
            interrupted = True
        if measurement.courses:
            keep(options, name, named, measurement, missing)
        if interrupted:
            print("\ninterrupted: what was measured is kept")
            return False
    if no_time:
        print("\nno time was left for:", "; ".join(no_time))
    return True


def keep(options: argparse.Namespace, name: str, named: Named, measurement: Measurement, missing: dict) -> None:
    """Print the table and append the rows."""
    of_problem = {peer: reason for peer, reason in missing.items() if not named.only or peer in named.only}
    rows, levels = peer_rows(name, measurement), level_rows(name, measurement)
    show(name, named, rows)
    if not options.no_record:
        append("peers", rows + missing_rows(name, measurement, of_problem))
        if levels:
            append("levels", levels)


def run_programs(record: bool) -> None:
    """Each in a process of its own; one that fails is named and stops nothing."""
    for program in PROGRAMS:
        print(f"\n{program}", flush=True)
        command = [sys.executable, program, *(["--record"] if record else [])]
        code = subprocess.run(command, cwd=ROOT / "bench", check=False).returncode
        if code:
            print(f"{program} ended with exit code {code}")


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    wanted = {
        name: named
        for name, named in NAMED.items()
        if chosen(name, options.problems) and (options.full or options.problems or not named.full)
    }
    if options.list:
        contenders, missing, _ = find_contenders(options)
        for name, named in wanted.items():
            print(f"{name:36}{named.missing() or ''}")
        for contender in contenders:
            print(f"{contender.name:38}{contender.version:12}{contender.python}")
        for name, reason in missing.items():
            print(f"{name:38}{reason}")
        return 0
    try:
        if not measure_all(options, wanted):
            return 130
        if options.full and not options.problems:
            run_programs(not options.no_record)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

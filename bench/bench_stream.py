"""Rows beyond memory: reads against a plain read of the file, a whole fit in plain reads, its peak of memory, others.

    python bench/bench_stream.py --gigabytes 20 --budget 1GB --formats npy parquet --record
    python bench/bench_stream.py --gigabytes 10 --budget 1GB --formats csv --record
    python bench/bench_stream.py --gigabytes 20 --budget 1GB --formats npy --against sgd --record
    PYTHONPATH=folder/of/vowpalwabbit python bench/bench_stream.py --formats npy --against vw --other-rows 5000000

A file is made in ``--folder``, measured, and removed before the next is made; the space for it is checked first. With
``--keep`` it stays there, and is taken by the next run that asks for the same. Every figure is a ratio of times of one
run, or bytes. A plain read is of all bytes into one buffer; that of Parquet is pyarrow's own scan of the columns. Fits
run in processes of their own, of which the peak is taken, with the folder for their temporary files. The log loss is
that of other rows of the same distribution. Another program may read the first ``--other-rows`` alone, where its text
of all would be too long; the row says how many. ``--cold`` has the system forget the file before every read, so that
none comes from its page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import append
from stream_files import (
    HELD_OUT,
    NAMES,
    ROW_BYTES,
    STEP,
    D,
    blocks,
    labels_of,
    make,
    refuse_full,
    rows_of,
    vw_features,
    vw_text,
)

from gpu_logreg import LogisticRegression, Stream
from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.memory import memory_budget
from gpu_logreg.estimators.streamed import prepare_stream, streams_on
from gpu_logreg.passes.by_blocks import choose_for


def stream_of(path: Path, budget: str) -> Stream:
    if path.suffix == ".npy":
        return Stream(path, labels_of(path), memory_budget=budget)
    return Stream(path, target="y", memory_budget=budget)


def forget(path: Path) -> None:
    """Have the system forget what it has kept of a file."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def plain_read(path: Path) -> None:
    if path.suffix == ".parquet":
        import pyarrow.dataset as ds

        for _ in ds.dataset(path).to_batches(columns=NAMES, batch_readahead=1, fragment_readahead=1):
            pass
        return
    buffer = bytearray(2**24)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def timed(function: Callable[[], object], path: Path, cold: bool) -> float:
    if cold:
        forget(path)
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rates(path: Path, budget: str, cold: bool, repeats: int) -> dict[str, object]:
    """Plain reads, and walks and gradients against them."""
    if path.suffix == ".csv":
        plain = min(timed(lambda: plain_read(path), path, cold) for _ in range(repeats))
        return {"plain_read_seconds": round(plain, 2), "read_share": "", "walk_rate": "", "gradient_rate": ""}
    stream, device = stream_of(path, budget), streams_on("cpu")
    prepared = prepare_stream(stream, device, class_weight=None, storage="auto")
    data, engine = prepared.data, choose_for("auto", prepared.data, device, prepared.target.loss)

    def walk() -> None:
        for _ in data.blocks():
            pass

    def gradient() -> None:
        with blas_on_one_thread():
            engine.gradient(data, np.zeros(D), 0.0)

    gradient()
    times = [[timed(f, path, cold) for f in (lambda: plain_read(path), walk, gradient)] for _ in range(repeats)]
    plain, walked, summed = np.min(times, axis=0).tolist()
    rest = max(0.0, 1.0 - len(data.store.kept) / len(data.store.parts))
    return {
        "plain_read_seconds": round(plain, 2),
        "read_share": round(rest, 3),
        "walk_rate": round(rest * plain / walked, 3),
        "gradient_rate": round(rest * plain / summed, 3),
    }


def held_out_loss(coef: np.ndarray, intercept: float) -> float:
    """Mean log loss on other rows."""
    total = 0.0
    for X, y in blocks(HELD_OUT, seed=2):
        z = X @ coef + intercept
        total += float(np.logaddexp(0.0, np.where(y, -z, z)).sum())
    return total / HELD_OUT


def peak_mb() -> int:
    """Peak of the resident memory of this process; ru_maxrss would begin with that of the parent."""
    return round(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3)


def fit(path: Path, budget: str) -> dict[str, object]:
    start = time.perf_counter()
    model = LogisticRegression().fit(stream_of(path, budget))
    seconds = time.perf_counter() - start
    peak = peak_mb()
    loss = held_out_loss(model.coef_[0], float(model.intercept_[0]))
    return {"seconds": seconds, "reads": round(model.n_reads_, 2), "peak_mb": peak, "log_loss": loss}


def sgd(path: Path, n: int) -> dict[str, object]:
    """One pass of scikit-learn's stochastic gradient descent, averaged, over blocks of a ``.npy`` file."""
    from sklearn.linear_model import SGDClassifier

    start = time.perf_counter()
    y = np.load(labels_of(path))
    model = SGDClassifier(loss="log_loss", average=True, random_state=0)
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for first in range(0, n, STEP):
            X = np.fromfile(file, np.float32, min(STEP, n - first) * D).reshape(-1, D)
            model.partial_fit(X, y[first : first + len(X)], classes=[False, True])
    seconds = time.perf_counter() - start
    loss = held_out_loss(model.coef_[0], float(model.intercept_[0]))
    return {"seconds": seconds, "peak_mb": peak_mb(), "log_loss": loss}


def vw(path: Path, n: int) -> dict[str, object]:
    """One pass of Vowpal Wabbit over its own text of the same rows, which is written before, and is not timed."""
    import vowpalwabbit

    text = path.with_suffix(".vw")
    refuse_full(path.parent, 540.0 * n, "Vowpal Wabbit's text")
    try:
        vw_text(text, n)
        before = peak_mb()
        start = time.perf_counter()
        workspace = vowpalwabbit.Workspace(f"-d {text} --loss_function logistic --quiet")
        workspace.run_parser()
        seconds, peak = time.perf_counter() - start, peak_mb()
    finally:
        text.unlink(missing_ok=True)
    loss = 0.0
    for X, y in blocks(HELD_OUT, seed=2):
        for row, label in zip(X.tolist(), y.tolist(), strict=True):
            z = workspace.predict(vw_features(row))
            loss += float(np.logaddexp(0.0, -z if label else z))
    workspace.finish()
    return {"seconds": seconds, "peak_mb": peak if peak > before else "", "log_loss": loss / HELD_OUT}


def in_a_process(what: str, path: Path, n: int, budget: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", what, str(path), str(n), "--budget", budget]
    environment = os.environ | {"TMPDIR": str(path.parent)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def run(what: str, path: Path, n: int, budget: str) -> dict[str, object]:
    """What a process of its own finds."""
    if what == "fit":
        return fit(path, budget)
    return {"sgd": sgd, "vw": vw}[what](path, n)


def measure(path: Path, n: int, options: argparse.Namespace) -> dict[str, object]:
    """One row of figures."""
    about = {"format": path.suffix[1:], "gigabytes": options.gigabytes, "n": n, "budget": options.budget}
    found = rates(path, options.budget, options.cold, options.repeats)
    if path.suffix == ".csv":
        refuse_full(path.parent, 8.0 * D * n, "numbers that the text is decoded into")
    if options.cold:
        forget(path)
    ours = in_a_process("fit", path, n, options.budget)
    budget = memory_budget(int(options.budget) if options.budget.isdigit() else options.budget)
    others = dict.fromkeys(("other", "other_rows", "other_seconds", "other_peak_mb", "other_log_loss"), "")
    if options.against is not None and path.suffix == ".npy":
        of_other = min(n, options.other_rows or n)
        other = in_a_process(options.against, path, of_other, options.budget)
        others = {
            "other": options.against,
            "other_rows": of_other,
            "other_seconds": round(other["seconds"], 1),
            "other_peak_mb": other["peak_mb"],
            "other_log_loss": round(other["log_loss"], 6),
        }
    return {
        **about,
        "cold": options.cold,
        **found,
        "fit_seconds": round(ours["seconds"], 1),
        "fit_in_plain_reads": round(ours["seconds"] / float(str(found["plain_read_seconds"])), 2),
        "fit_reads": ours["reads"],
        "peak_mb": ours["peak_mb"],
        "peak_over_budget_mb": round(ours["peak_mb"] - budget / 1e6),
        "log_loss": round(ours["log_loss"], 6),
        **others,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--budget", default="200MB")
    parser.add_argument("--formats", nargs="+", default=["npy", "parquet"], choices=list(ROW_BYTES))
    parser.add_argument("--against", choices=["sgd", "vw"], help="another program, on the .npy file")
    parser.add_argument("--other-rows", type=int, help="rows that the other program reads (default all)")
    parser.add_argument("--folder", type=Path, help="where files are made (default a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the file in the folder for the next run")
    parser.add_argument("--cold", action="store_true", help="no read comes from the page cache")
    parser.add_argument("--repeats", type=int, default=3, help="of the reads, of which the fastest counts")
    parser.add_argument("--record", action="store_true", help="append to bench/results/stream.csv")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        what, path, n = options.run
        print(json.dumps(run(what, Path(path), int(n), options.budget)))
        return
    if options.keep and options.folder is None:
        raise SystemExit("--keep needs --folder")
    for kind in options.formats:
        with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
            folder = options.folder if options.keep else Path(temporary)
            path, n = folder / f"rows{options.gigabytes:g}.{kind}", rows_of(kind, options.gigabytes)
            start = time.perf_counter()
            make(path, n)
            print(f"{path.name}: {n:,} rows, made in {time.perf_counter() - start:.0f} s", flush=True)
            row = measure(path, n, options)
        for name, value in row.items():
            print(f"{name:24} {value}")
        print(flush=True)
        if options.record:
            append("stream", [row])


if __name__ == "__main__":
    main()

"""Rows beyond memory: reads against a plain read of the file, a whole fit in plain reads, its peak of memory, others.

    python bench/bench_stream.py --gigabytes 20 --budget 1GB --formats npy parquet --record
    python bench/bench_stream.py --gigabytes 10 --budget 1GB --formats csv --record
    python bench/bench_stream.py --gigabytes 20 --budget 1GB --formats npy --against sgd --record
    PYTHONPATH=folder/of/vowpalwabbit python bench/bench_stream.py --gigabytes 1 --against vw

A file is made in a temporary folder, measured, and removed before the next is made; the space for it is checked first.
Every figure is a ratio of times of one run, or bytes. A plain read is of all bytes into one buffer; that of Parquet is
pyarrow's own scan of the columns, that of CSV pyarrow's parse of its text. Fits run in processes of their own, of which
the peak is taken. The log loss is that of other rows of the same distribution. ``--cold`` has the system forget the
file before every read, so that none comes from its page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from record import append

from gpu_logreg import LogisticRegression, Stream
from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.memory import memory_budget
from gpu_logreg.estimators.streamed import prepare_stream, streams_on
from gpu_logreg.passes.by_blocks import choose_for

D = 50
STEP = 100_000
W = np.random.default_rng(1).standard_normal(D).astype(np.float32) / 5
NAMES = [f"x{k}" for k in range(D)]
TEXT_BYTES = 8.2
"""Bytes of a number of CSV, with its comma."""

ON_DISK = {"npy": 1.0, "parquet": 1.2, "csv": 2.0}
"""Bytes on the disk for a byte of the file: Parquet of random numbers is a little more, CSV is decoded beside it."""


def blocks(n: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Float32 rows of two classes, a few at a time."""
    rng = np.random.default_rng(seed)
    for first in range(0, n, STEP):
        X = rng.standard_normal((min(STEP, n - first), D), np.float32)
        yield X, X @ W + rng.logistic(size=len(X)) > 0


def make(path: Path, gigabytes: float) -> int:
    """A file of so many bytes, and of ``.npy`` its labels; the number of its rows."""
    kind = path.suffix[1:]
    if shutil.disk_usage(path.parent).free < ON_DISK[kind] * 1e9 * gigabytes + 2e9:
        raise SystemExit(f"{path.parent} has no room for {gigabytes:g} GB of {kind}; give another --folder")
    n = int(gigabytes * 1e9 / (D * (TEXT_BYTES if kind == "csv" else 4)))
    if kind == "npy":
        y = np.empty(n, bool)
        with open(path, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, D)}
            np.lib.format.write_array_header_1_0(file, header)
            for k, (X, labels) in enumerate(blocks(n)):
                file.write(X.data)
                y[k * STEP : k * STEP + len(X)] = labels
        np.save(path.with_name("labels.npy"), y)
        return n
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    schema = pa.schema([(name, pa.float32()) for name in NAMES] + [("y", pa.bool_())])
    if kind == "parquet":
        writer: Any = pa.parquet.ParquetWriter(path, schema, use_dictionary=False)
    else:
        writer = pa.csv.CSVWriter(path, schema)
    with writer:
        for X, labels in blocks(n):
            columns = (X.round(4) if kind == "csv" else X).T.copy()
            writer.write_table(pa.table([*columns, labels], schema=schema))
    return n


def stream_of(path: Path, budget: str) -> Stream:
    if path.suffix == ".npy":
        return Stream(path, path.with_name("labels.npy"), memory_budget=budget)
    return Stream(path, target="y", memory_budget=budget)


def forget(path: Path) -> None:
    """Have the system forget what it has kept of a file."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def plain_read(path: Path) -> None:
    if path.suffix == ".npy":
        buffer = bytearray(2**24)
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    elif path.suffix == ".parquet":
        import pyarrow.dataset as ds

        for _ in ds.dataset(path).to_batches(columns=NAMES, batch_readahead=1, fragment_readahead=1):
            pass
    else:
        import pyarrow.csv as pa_csv

        for _ in pa_csv.open_csv(path, read_options=pa_csv.ReadOptions(block_size=2**22)):
            pass


def timed(function: Callable[[], object], path: Path, cold: bool) -> float:
    if cold:
        forget(path)
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rates(path: Path, budget: str, cold: bool, repeats: int) -> dict[str, object]:
    """Plain reads, and walks and gradients against them."""
    plain = min(timed(lambda: plain_read(path), path, cold) for _ in range(repeats))
    found: dict[str, object] = {"plain_read_seconds": round(plain, 2)}
    if path.suffix == ".csv":
        return found | {"read_share": "", "walk_rate": "", "gradient_rate": ""}
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
    again, walked, summed = np.min(times, axis=0)
    plain = min(plain, float(again))
    rest = max(0.0, 1.0 - len(data.store.kept) / len(data.store.parts))
    return {
        "plain_read_seconds": round(plain, 2),
        "read_share": round(rest, 3),
        "walk_rate": round(rest * plain / walked, 3),
        "gradient_rate": round(rest * plain / summed, 3),
    }


def held_out_loss(coef: np.ndarray, intercept: float) -> float:
    """Mean log loss on 400,000 other rows."""
    total = 0.0
    for X, y in blocks(4 * STEP, seed=2):
        z = X @ coef + intercept
        total += float(np.logaddexp(0.0, np.where(y, -z, z)).sum())
    return total / (4 * STEP)


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


def sgd(path: Path) -> dict[str, object]:
    """One pass of scikit-learn's stochastic gradient descent, averaged, over blocks of a ``.npy`` file."""
    from sklearn.linear_model import SGDClassifier

    start = time.perf_counter()
    y = np.load(path.with_name("labels.npy"))
    model = SGDClassifier(loss="log_loss", average=True, random_state=0)
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for first in range(0, len(y), STEP):
            X = np.fromfile(file, np.float32, min(STEP, len(y) - first) * D).reshape(-1, D)
            model.partial_fit(X, y[first : first + STEP], classes=[False, True])
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "reads": 1, "peak_mb": peak_mb(), "log_loss": held_out_loss(*_plane(model))}


def _plane(model: Any) -> tuple[np.ndarray, float]:
    return model.coef_[0], float(model.intercept_[0])


def vw(path: Path) -> dict[str, object]:
    """One pass of Vowpal Wabbit over its own text of the same rows, which is written before, and is not timed."""
    import vowpalwabbit

    n = len(np.load(path.with_name("labels.npy"), mmap_mode="r"))
    text = path.with_suffix(".vw")
    if shutil.disk_usage(path.parent).free < 620 * n + 2e9:
        raise SystemExit(f"{path.parent} has no room for {620 * n / 1e9:.0f} GB of Vowpal Wabbit's text")
    with open(text, "w") as file:
        for X, y in blocks(n):
            for row, label in zip(X.tolist(), y.tolist(), strict=True):
                cells = " ".join([f"{k}:{value:.6g}" for k, value in enumerate(row)])
                file.write(f"{1 if label else -1} | {cells}\n")
    start = time.perf_counter()
    workspace = vowpalwabbit.Workspace(f"-d {text} --loss_function logistic --quiet")
    workspace.run_parser()
    seconds = time.perf_counter() - start
    peak = peak_mb()
    text.unlink()
    X, loss = None, 0.0
    for X, y in blocks(STEP, seed=2):
        for row, label in zip(X.tolist(), y.tolist(), strict=True):
            z = workspace.predict(f"| {' '.join([f'{k}:{value:.6g}' for k, value in enumerate(row)])}")
            loss += float(np.logaddexp(0.0, -z if label else z))
    workspace.finish()
    return {"seconds": seconds, "reads": 1, "peak_mb": peak, "log_loss": loss / STEP}


def in_a_process(what: str, path: Path, budget: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", what, str(path), "--budget", budget]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def measure(path: Path, n: int, options: argparse.Namespace) -> dict[str, object]:
    """One row of figures."""
    about = {"format": path.suffix[1:], "gigabytes": options.gigabytes, "n": n, "budget": options.budget}
    found = rates(path, options.budget, options.cold, options.repeats)
    if options.cold:
        forget(path)
    ours = in_a_process("fit", path, options.budget)
    budget = memory_budget(int(options.budget) if options.budget.isdigit() else options.budget)
    others = dict.fromkeys(("other", "other_seconds", "other_peak_mb", "other_log_loss"), "")
    if options.against is not None and path.suffix == ".npy":
        other = in_a_process(options.against, path, options.budget)
        others = {
            "other": options.against,
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
    parser.add_argument("--formats", nargs="+", default=["npy", "parquet"], choices=list(ON_DISK))
    parser.add_argument("--against", choices=["sgd", "vw"], help="another program, on the .npy file")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--cold", action="store_true", help="no read comes from the page cache")
    parser.add_argument("--repeats", type=int, default=3, help="of the reads, of which the fastest counts")
    parser.add_argument("--record", action="store_true", help="append to bench/results/stream.csv")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        what, path = options.run[0], Path(options.run[1])
        print(json.dumps(fit(path, options.budget) if what == "fit" else {"sgd": sgd, "vw": vw}[what](path)))
        return
    for kind in options.formats:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / f"rows.{kind}"
            row = measure(path, make(path, options.gigabytes), options)
        for name, value in row.items():
            print(f"{name:24} {value}")
        print(flush=True)
        if options.record:
            append("stream", [row])


if __name__ == "__main__":
    main()

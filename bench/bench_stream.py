"""Rows beyond memory: reads against a plain read of the file, and a whole fit in plain reads, with its peak of memory.

    python bench/bench_stream.py --gigabytes 2 --budget 200MB --formats npy parquet

The file is made in a temporary folder, which is removed. Every figure is a ratio of times of one run. A plain read is
of all bytes into one buffer; that of Parquet is pyarrow's own scan of the columns. Fits run in a process of their own,
of which the peak is taken.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gpu_logreg import LogisticRegression, Stream
from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.estimators.streamed import prepare_stream, streams_on
from gpu_logreg.passes.by_blocks import choose_for

D = 50
STEP = 200_000


def make(folder: Path, gigabytes: float, formats: list[str]) -> dict[str, Path]:
    """Float32 rows of two classes, once for each format, and their labels."""
    n = int(gigabytes * 1e9 / (4 * D))
    if shutil.disk_usage(folder).free < len(formats) * 1.3e9 * gigabytes + 1e9:
        raise SystemExit(f"{folder} has no room for {len(formats)} files of {gigabytes:g} GB")
    rng, w = np.random.default_rng(0), np.random.default_rng(1).standard_normal(D) / 5
    paths = {name: folder / f"rows.{name}" for name in formats}
    y = np.empty(n, bool)
    out = np.lib.format.open_memmap(paths["npy"], "w+", np.float32, (n, D)) if "npy" in paths else None
    writer = None
    for first in range(0, n, STEP):
        X = rng.standard_normal((min(STEP, n - first), D), np.float32)
        y[first : first + STEP] = X @ w + rng.logistic(size=len(X)) > 0
        if out is not None:
            out[first : first + STEP] = X
        if "parquet" in paths:
            import pyarrow as pa
            import pyarrow.parquet as pq

            table = pa.table({f"x{k}": X[:, k].copy() for k in range(D)} | {"y": y[first : first + STEP]})
            writer = writer or pq.ParquetWriter(paths["parquet"], table.schema, use_dictionary=False)
            writer.write_table(table)
    if writer is not None:
        writer.close()
    np.save(folder / "labels.npy", y)
    return paths


def stream_of(path: Path, budget: str) -> Stream:
    if path.suffix == ".npy":
        return Stream(path, path.with_name("labels.npy"), memory_budget=budget)
    return Stream(path, target="y", memory_budget=budget)


def plain_read(path: Path) -> None:
    if path.suffix == ".npy":
        buffer = bytearray(2**24)
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        return
    import pyarrow.dataset as ds

    for _ in ds.dataset(path).to_batches(columns=[f"x{k}" for k in range(D)]):
        pass


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(path: Path, budget: str) -> dict[str, object]:
    stream = stream_of(path, budget)
    device = streams_on("cpu")
    prepared = prepare_stream(stream, device, class_weight=None, storage="auto", solver="auto")
    data, engine = prepared.data, choose_for("auto", prepared.data, device, prepared.target.loss)

    def walk() -> None:
        for _ in data.blocks():
            pass

    def gradient() -> None:
        with blas_on_one_thread():
            engine.gradient(data, np.zeros(D), 0.0)

    gradient()
    times = [[timed(lambda: plain_read(path)), timed(walk), timed(gradient)] for _ in range(3)]
    plain, read, summed = np.min(times, axis=0)
    rest = max(0.0, 1.0 - len(data.store.kept) / len(data.store.parts))
    command = [sys.executable, __file__, "--fit", str(path), "--budget", budget]
    fit = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {
        "format": path.suffix[1:],
        "bytes": path.stat().st_size,
        "budget": budget,
        "read from the file": round(rest, 3),
        "walk, of the rate of a plain read": round(rest * plain / read, 3),
        "gradient, of the rate of a plain read": round(rest * plain / summed, 3),
        "fit in plain reads": round(fit["seconds"] / plain, 2),
        "reads of the fit": fit["reads"],
        "peak MB": fit["peak MB"],
    }


def fit(path: Path, budget: str) -> None:
    start = time.perf_counter()
    model = LogisticRegression().fit(stream_of(path, budget))
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()  # ru_maxrss begins with that of the parent
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1e3
    print(json.dumps({"seconds": seconds, "reads": round(model.n_reads_, 2), "peak MB": round(peak)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--budget", default="200MB")
    parser.add_argument("--formats", nargs="+", default=["npy", "parquet"], choices=["npy", "parquet"])
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit is not None:
        fit(options.fit, options.budget)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for path in make(Path(folder), options.gigabytes, options.formats).values():
            for name, value in measure(path, options.budget).items():
                print(f"{name:40} {value}")
            print()


if __name__ == "__main__":
    main()

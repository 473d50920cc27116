"""The files of `bench_stream`: float32 rows of two classes in each format, drawn by two threads and written by a third.

Each step of rows has a seed of its own, so that a file holds the same rows whatever the number of threads, and a short
file holds the first rows of a long one. Text is written by a compiled loop with four decimals: pyarrow's writer takes
minutes for 10 GB of it.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
from numba import njit

D = 50
STEP = 100_000
HELD_OUT = 4 * STEP
W = np.random.default_rng(1).standard_normal(D).astype(np.float32) / 5
NAMES = [f"x{k}" for k in range(D)]

ROW_BYTES = {"npy": 4.0 * D, "parquet": 4.0 * D, "csv": 7.5 * D + 2}
"""Bytes of a row of a file."""

DRAWN_AHEAD = 3
"""Steps of rows that are drawn while one is written."""


def blocks(n: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and labels, a few at a time."""
    with ThreadPoolExecutor(2) as pool:
        waiting: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
        for k in range(-(-n // STEP)):
            waiting.append(pool.submit(_drawn, [seed, k], min(STEP, n - k * STEP)))
            if len(waiting) > DRAWN_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _drawn(seed: list[int], n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D), np.float32)
    return X, X @ W + rng.logistic(size=n) > 0


def rows_of(kind: str, gigabytes: float) -> int:
    """Rows of a file of about so many bytes."""
    return int(gigabytes * 1e9 / ROW_BYTES[kind])


def labels_of(path: Path) -> Path:
    """The labels of a ``.npy`` file."""
    return path.with_suffix(".labels.npy")


def make(path: Path, n: int) -> None:
    """A file of so many rows, and of ``.npy`` its labels; one of that name is taken for it, and is not made again."""
    if path.exists():
        return
    kind = path.suffix[1:]
    refuse_full(path.parent, 1.01 * ROW_BYTES[kind] * n, kind)
    write: dict[str, Callable[[Path, int], None]] = {"npy": _npy, "parquet": _parquet, "csv": _csv}
    unfinished = path.with_suffix(f".unfinished.{kind}")
    try:
        write[kind](unfinished, n)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if kind == "npy":
        os.replace(labels_of(unfinished), labels_of(path))
    os.replace(unfinished, path)


def refuse_full(folder: Path, nbytes: float, what: str) -> None:
    """Exit if a folder does not hold so many bytes more, and two gigabytes for others."""
    if shutil.disk_usage(folder).free < nbytes + 2e9:
        raise SystemExit(f"{folder} has no room for {nbytes / 1e9:.1f} GB of {what}; give another --folder")


def _npy(path: Path, n: int) -> None:
    y = np.empty(n, bool)
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n, D)}
        np.lib.format.write_array_header_1_0(file, header)
        for k, (X, labels) in enumerate(blocks(n)):
            file.write(X.data)
            y[k * STEP : k * STEP + len(X)] = labels
    np.save(labels_of(path), y)


def _parquet(path: Path, n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.float32()) for name in NAMES] + [("y", pa.bool_())])
    # Random numbers are not made shorter by compression, and no dictionary of them is.
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="none", write_statistics=False) as writer:
        for X, labels in blocks(n):
            writer.write_table(pa.table([*X.T.copy(), labels], schema=schema))


def _csv(path: Path, n: int) -> None:
    with open(path, "wb") as file:
        file.write(",".join(["y", *NAMES]).encode() + b"\n")
        write_lines(file, n, ["0", "1"], [","] * D)


def vw_text(path: Path, n: int) -> None:
    """The first rows in Vowpal Wabbit's text."""
    with open(path, "wb") as file:
        write_lines(file, n, ["-1 |", "1 |"], [f" {k}:" for k in range(D)])


def vw_features(row: list[float]) -> str:
    """Features of a row in Vowpal Wabbit's text."""
    return "| " + " ".join([f"{k}:{value:.4f}" for k, value in enumerate(row)])


def write_lines(file: IO[bytes], n: int, labels: list[str], before: list[str]) -> None:
    """The first rows as lines of text: the text of the label, and each number behind the text ``before`` it."""
    ends, texts = np.cumsum([len(text) for text in [*labels, *before]]), "".join([*labels, *before]).encode()
    room = max(map(len, labels)) + 8 * D + len("".join(before)) + 1
    with ThreadPoolExecutor(1) as pool:
        written: Future[int] | None = None
        for X, y in blocks(n):
            out = np.empty(len(X) * room, np.uint8)
            used = _lines(np.rint(X * 1e4).astype(np.int32), y, np.frombuffer(texts, np.uint8), np.append(0, ends), out)
            if written is not None:
                written.result()
            written = pool.submit(file.write, out[:used].data)
        if written is not None:
            written.result()


@njit(nogil=True)
def _lines(numbers: Any, labels: Any, texts: Any, starts: Any, out: Any) -> int:
    """Write numbers, which are below 10 and given in ten-thousandths, with four decimals; the bytes that they take."""
    at = 0
    for i in range(numbers.shape[0]):
        which = int(labels[i])
        for k in range(starts[which], starts[which + 1]):
            out[at], at = texts[k], at + 1
        for j in range(numbers.shape[1]):
            for k in range(starts[j + 2], starts[j + 3]):
                out[at], at = texts[k], at + 1
            value = numbers[i, j]
            if value < 0:
                out[at], at, value = 45, at + 1, -value
            out[at], out[at + 1] = 48 + value // 10000, 46
            out[at + 2], out[at + 3] = 48 + value // 1000 % 10, 48 + value // 100 % 10
            out[at + 4], out[at + 5] = 48 + value // 10 % 10, 48 + value % 10
            at += 6
        out[at], at = 10, at + 1
    return at

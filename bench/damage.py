"""Damaged model files: each is refused in one line, or is a model that predicts finite numbers; none takes memory.

Run with ``python bench/damage.py N SEED``. Every damage of what a file says is tried, with the checksum written anew as
an attacker would, and N of its bytes: flips, cuts, insertions, other headers. Each file is loaded and, where it is not
refused, described and made to predict from a table, as the command line does. What is not as it should be is printed;
the last line sums up, with the largest memory of the process and the longest time that one file took.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.command.cli import main as command_line
from gpu_logreg.errors import GpuLogregError
from gpu_logreg.files.load import load_training_data
from gpu_logreg.files.schema import Schema
from gpu_logreg.saved.model_file import _checksum, load_model_file, save_model

LIMIT_MIB = 300
LIMIT_SECONDS = 2.0
TABLE = "age,city,hours\n40,Rome,38\n,Lima,12.5\n"
BOMB = "[" * 100_000

Content = tuple[dict[str, np.ndarray], dict[str, str]]


# ------------------------------------------------------------------------------------------------------------- models


def write_models(folder: Path) -> dict[str, Path]:
    """Good model files of every kind; those named after a table have its columns."""
    random = np.random.default_rng(0)
    lines = ["age,city,hours,y"]
    for at in range(120):
        age, city = random.integers(18, 80), random.choice(["Rome", "Lima", "Oslo"])
        label = "high" if age + random.normal(0, 20) > 45 else "low"
        lines.append(f"{'' if at % 9 == 0 else age},{city},{random.normal(38, 9):.2f},{label}")
    table = folder / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    rows, labels = load_training_data(table, "y")
    schema = Schema.fit(rows)
    X, three = schema.transform(rows), np.arange(120) % 3
    notes = {"target": "y", "positive": None, "header": True}
    paths = {name: folder / name for name in ("table", "classes", "network", "labels")}
    save_model(LogisticRegression().fit(X, labels), paths["table"], schema=schema.to_json(), notes=notes)
    numbered = json.dumps({"schema_version": 2, "first_index": 0, "columns": X.shape[1]})
    model = LogisticRegression().fit(X, three)
    model.feature_names_in_ = np.array([f"column {j}" for j in range(X.shape[1])], dtype=object)
    save_model(model, paths["classes"], schema=numbered, notes=notes)
    network = MLPClassifier((4, 3), max_iter=200, solver="lbfgs", tol=0.1).fit(X / 50, labels)
    save_model(network, paths["network"], schema=schema.to_json(), notes=notes)
    several = np.column_stack([three == 0, three > 0]).astype(int)
    save_model(MLPClassifier((4,), max_iter=200, solver="lbfgs", tol=0.1).fit(X / 50, several), paths["labels"])
    return paths


def read(path: Path) -> Content:
    with safe_open(path, framework="numpy") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118


def signed(content: Content) -> bytes:
    tensors, metadata = content
    metadata["sha256"] = _checksum(tensors, metadata)
    return save(tensors, metadata)


# --------------------------------------------------------------------------------------------- damages of what it says

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "minus one": -1,
    "a half": 0.5,
    "huge": 10**400,
    "text": "x\x1b[31m\u202e",
    "list": [],
    "lists": [[1, 2], [3]],
    "empty": {},
    "another tag": {"pickle": "gASVAAAA"},
    "nan": {"float": "nan"},
    "wrong float": {"float": "1"},
    "wide texts": {"array": ["a", "b"], "dtype": "<U900000000"},
    "cut texts": {"array": ["ab", "ac"], "dtype": "<U1"},
    "wrapped": {"array": [1, 300], "dtype": "|i1"},
    "structured": {"array": [1, 2], "dtype": "i4,i4"},
    "of objects": {"array": [1, {"pairs": []}], "dtype": "object"},
    "twice": {"array": ["a", "a"], "dtype": "<U1"},
    "one class": {"array": ["a"], "dtype": "<U1"},
    "many": {"array": list(range(1000)), "dtype": "<i8"},
    "pairs": {"pairs": [[[1], 2]]},
    "wrong pairs": {"pairs": [[1]]},
}
SCHEMAS: dict[str, Any] = {
    "many columns": {"schema_version": 2, "first_index": 0, "columns": 10**12},
    "negative": {"schema_version": 2, "first_index": 0, "columns": -1},
    "yes columns": {"schema_version": 2, "first_index": 0, "columns": True},
    "no columns": {"schema_version": 2, "first_index": 0, "columns": []},
    "no keys": {},
    "newer": {"schema_version": 99, "first_index": 0, "columns": []},
    "a half version": {"schema_version": 1.5, "first_index": 0, "columns": 6},
    "first index": {"schema_version": 2, "first_index": 10**30, "columns": 6},
}


def semantic_damages(paths: dict[str, Path]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file that says something wrong under a right checksum."""
    for model, path in paths.items():
        for name, change in _changes(read(path)):
            content = read(path)
            change(content)
            yield f"{model}: {name}", signed(content)


def _changes(content: Content) -> Iterator[tuple[str, Callable[[Content], None]]]:
    tensors, metadata = content
    for name in metadata.keys() - {"sha256"}:
        yield f"no {name}", lambda held, name=name: held[1].pop(name)
        for text in ("", "x", "null", "[]", "1", "{", '{"a": NaN}', BOMB, "-1", "1.5", "\x1b]0;title\x07", "\u0661"):
            yield f"{name} is {text[:9]!r}", lambda held, name=name, text=text: held[1].update({name: text})
    for part in ("fitted", "params", "notes"):
        for name in json.loads(metadata[part]):
            yield f"{part} without {name}", _inside(part, name, None, remove=True)
            for label, value in VALUES.items():
                yield f"{part}, {name}: {label}", _inside(part, name, value)
        yield f"{part} with more", _inside(part, "coefs_/7" if part == "fitted" else "strange", 1)
    yield "a method replaced", _inside("fitted", "predict", 1)
    yield "a private attribute", _inside("fitted", "__class__", 1)
    for name in tensors:
        yield f"no {name}", lambda held, name=name: held[0].pop(name)
        for label, change in _ARRAYS.items():
            yield (
                f"{name} {label}",
                lambda held, name=name, change=change: held[0].update({name: change(held[0][name])}),
            )
        yield f"{name} in JSON too", _inside("fitted", name, [[0.0]])
        yield f"{name} again", lambda held, name=name: held[0].update({f"{name}/0": held[0][name]})
    for label, schema in SCHEMAS.items():
        yield f"schema {label}", lambda held, schema=schema: held[1].update({"schema": json.dumps(schema)})
    schema = json.loads(metadata["schema"] or "{}")
    if isinstance(schema.get("columns"), list):
        yield from _changes_of_columns(schema)


_ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "not a number": lambda array: np.full_like(array, np.nan),
    "infinite": lambda array: np.where(np.arange(array.size).reshape(array.shape) == 0, np.inf, array),
    "of half the digits": lambda array: array.astype(np.float16),
    "of float32": lambda array: array.astype(np.float32),
    "longer": lambda array: np.concatenate([array, array]),
    "shorter": lambda array: array[:-1].copy() if len(array) > 1 else np.concatenate([array] * 3),
    "turned": lambda array: np.ascontiguousarray(array.T) if array.shape != array.T.shape else array[None].copy(),
    "flat": lambda array: array.ravel() if array.ndim > 1 else array[:, None].copy(),
}


def _changes_of_columns(schema: dict[str, Any]) -> Iterator[tuple[str, Callable[[Content], None]]]:
    for at, column in enumerate(schema["columns"]):
        for key in column:
            for label, value in VALUES.items():
                changed = [{**other, key: value} if k == at else other for k, other in enumerate(schema["columns"])]
                text = json.dumps({**schema, "columns": changed})
                yield f"column {at}, {key}: {label}", lambda held, text=text: held[1].update({"schema": text})
    for label, columns in {
        "twice": schema["columns"] * 2,
        "the first twice": [schema["columns"][0], *schema["columns"]],
        "without the last": schema["columns"][:-1],
        "texts": ["a", "b"],
    }.items():
        text = json.dumps({**schema, "columns": columns})
        yield f"columns {label}", lambda held, text=text: held[1].update({"schema": text})


def _inside(part: str, name: str, value: Any, *, remove: bool = False) -> Callable[[Content], None]:
    """A change of one value within the JSON of a metadatum."""

    def change(held: Content) -> None:
        values = json.loads(held[1][part])
        if remove:
            del values[name]
        else:
            values[name] = value
        held[1][part] = json.dumps(values)

    return change


# ------------------------------------------------------------------------------------------------- damages of its bytes


def raw_damages(data: bytes, count: int, random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of ``count`` files that differ from ``data``."""
    kinds = (_flip, _flip_header, _cut, _insert, _overwrite, _repeat, _length, _swap, _other)
    for at in range(count):
        kind = kinds[at % len(kinds)]
        damaged = kind(data, random)
        if damaged != data:
            yield f"{kind.__name__[1:]} {at}", damaged


def _flip(data: bytes, random: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for place in random.integers(0, len(data), random.integers(1, 4)).tolist():
        damaged[place] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def _flip_header(data: bytes, random: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    damaged[int(random.integers(0, 200))] = int(random.integers(256))
    return bytes(damaged)


def _cut(data: bytes, random: np.random.Generator) -> bytes:
    return data[: int(random.integers(len(data)))]


def _insert(data: bytes, random: np.random.Generator) -> bytes:
    at = int(random.integers(len(data) + 1))
    return data[:at] + random.bytes(int(random.integers(1, 100))) + data[at:]


def _overwrite(data: bytes, random: np.random.Generator) -> bytes:
    at, length = int(random.integers(len(data))), int(random.integers(1, 64))
    return data[:at] + random.bytes(length) + data[at + length :]


def _repeat(data: bytes, random: np.random.Generator) -> bytes:
    first, second = sorted(random.integers(0, len(data), 2).tolist())
    return data[:second] + data[first:]


def _length(data: bytes, random: np.random.Generator) -> bytes:
    length = int(random.integers(0, 2 ** int(random.integers(1, 63))))
    return length.to_bytes(8, "little") + data[8:]


def _swap(data: bytes, random: np.random.Generator) -> bytes:
    """Digits of the header changed: shapes, places and versions."""
    end = 8 + int.from_bytes(data[:8], "little")
    places = [at for at in range(8, end) if data[at : at + 1].isdigit()]
    damaged = bytearray(data)
    damaged[places[int(random.integers(len(places)))]] = ord(str(int(random.integers(10))))
    return bytes(damaged)


def _other(data: bytes, random: np.random.Generator) -> bytes:
    heads = (b"", data[:8], data[:9], (2**40).to_bytes(8, "little") + b"{", (10**7).to_bytes(8, "little") + b"{")
    return heads[int(random.integers(len(heads)))] + random.bytes(int(random.integers(1, 3000)))


# ------------------------------------------------------------------------------------------------------------- judging


def faults(path: Path, table: Path) -> Iterator[str]:
    """What is wrong with how the file at ``path`` is answered; nothing if it is refused in one line, or predicts."""
    try:
        stored = load_model_file(path)
    except GpuLogregError as error:
        stored = None
        if "\n" in str(error) or len(str(error)) > 700:
            yield f"not one line: {error}"
    except Exception as error:
        stored = None
        yield f"raw {type(error).__name__}: {str(error)[:200]}"
    if stored is not None:
        model = stored.estimator
        rows = np.ones((2, model.n_features_in_))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of rows without the names of columns
            proba, predicted = model.predict_proba(rows), model.predict(rows)
        if not np.isfinite(proba).all() or len(predicted) != 2:
            yield f"predicts {proba}"
    commands = [["info", str(path)], ["predict", str(path), str(table)]]
    for arguments in commands if stored is not None else ():
        code, out, err = run(arguments)
        *_, last = err.splitlines() or [""]
        if code not in (0, 2) or (code == 2 and not last.startswith("error: ")) or err.count("error: ") > 1:
            yield f"{arguments[0]}: code {code}, {err[:200]!r}"
        shown = out + err if arguments[0] == "info" else err  # what is predicted is data, escaped on a terminal alone
        if any(ord(letter) < 32 and letter != "\n" for letter in shown) or "\u202e" in shown:
            yield f"{arguments[0]} prints control characters: {shown[:200]!r}"


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code and output of the command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command_line(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


def main(count: int, seed: int) -> int:
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_models(Path(folder))
        table, path = Path(folder) / "new.csv", Path(folder) / "damaged"
        table.write_text(TABLE)
        for good in paths.values():
            assert not list(faults(good, table)), good
        semantic = list(semantic_damages(paths))
        each = -(-count // len(paths))
        raw = [damage for good in paths.values() for damage in raw_damages(good.read_bytes(), each, random)]
        wrong, slowest = 0, 0.0
        for name, data in semantic + raw:
            path.write_bytes(data)
            begin = time.process_time()  # other programs may take turns
            found = list(faults(path, table))
            took = time.process_time() - begin
            slowest = max(slowest, took)
            if took > LIMIT_SECONDS:
                found.append(f"took {took:.1f} s")
            for fault in found:
                wrong += 1
                print(f"{name}: {fault}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(semantic)} damages of what a file says, {len(raw)} of its bytes: {wrong} faults, "
        f"at most {peak:.0f} MiB and {slowest:.2f} s"
    )
    return int(wrong > 0 or peak > LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000, int(sys.argv[2]) if len(sys.argv) > 2 else 0))

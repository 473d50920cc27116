"""Writes ``cupy_signatures.json``: what CuPy says of the names that its stand-in offers.

No driver is needed. ``python tests/stand_in/record_cupy.py`` reads the CuPy that is installed; the other wheel is
read from a folder, without installing it::

    pip download --no-deps --dest wheels cupy-cuda13x && python -m zipfile -e wheels/cupy_cuda13x-*.whl unpacked
    PYTHONPATH=unpacked python tests/stand_in/record_cupy.py
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

from cupy_signatures import ATTRIBUTE, RECORD, UFUNC, WHEELS

BY_HAND = {
    # Built from Python objects at import time, or forwarded by **kwargs: from CuPy's documentation.
    "cupy.matmul": "x1, x2, /, out=, *, axes=, axis=, keepdims=, casting=, dtype=, order=, subok=",
    "cupy.RawKernel.__call__": "grid, block, args, *, shared_mem=",
}
"""Where CuPy says less than it takes."""


def wheel_of(cupy: Any) -> tuple[str, str]:
    """Name and version of the wheel that a module came from."""
    site = Path(cupy.__file__).parents[1]
    for name in WHEELS:
        for folder in site.glob(f"{name.replace('-', '_')}-*.dist-info"):
            return name, folder.name.removesuffix(".dist-info").rpartition("-")[2]
    raise SystemExit(f"{site}: neither of {', '.join(WHEELS)}")


def found(name: str) -> str | None:
    """What the record is to say of a dotted name; None if CuPy has none of that name."""
    module, *path = name.split(".")
    value: Any = importlib.import_module(module)
    owner: Any = None
    for at, part in enumerate(path, start=1):
        owner = value
        try:
            value = getattr(value, part)
        except ImportError:  # of a library of the toolkit, which the module opens at once
            return _of_source(Path(owner.__file__).parent.joinpath(*path[at - 1 : -1]), path[-1])
        except AttributeError:
            try:
                value = importlib.import_module(".".join([module, *path[:at]]))
            except ImportError:
                return None
    if name in BY_HAND:
        return BY_HAND[name]
    if type(value).__name__ == "ufunc":
        return UFUNC + " ".join(map(_types, value.types))
    if not callable(value) or (inspect.isclass(value) and issubclass(value, BaseException | _generic())):
        return ATTRIBUTE
    text = _parameters(value)
    return _without_self(text) if inspect.isclass(owner) or inspect.isclass(value) else text


def _of_source(folder: Path, name: str) -> str | None:
    """Parameters of a function that is written in one of the files of a folder."""
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                node.body, node.decorator_list, node.returns = [ast.Pass()], [], None
                room: dict[str, Any] = {}
                exec(compile(ast.fix_missing_locations(ast.Module([node], [])), str(path), "exec"), room)
                return _parameters(room[name])
    return None


def _generic() -> type:
    import numpy as np

    return np.generic


def _types(types: Any) -> str:
    return str(types).replace("bfloat16", "E")


def _parameters(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return _of_docstring(value)
    texts, kinds = [], [parameter.kind for parameter in signature.parameters.values()]
    for at, parameter in enumerate(signature.parameters.values()):
        if parameter.kind is parameter.KEYWORD_ONLY and not {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL} & {
            *kinds[:at]
        }:
            texts.append("*")
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        texts.append(star + parameter.name + ("" if parameter.default is parameter.empty else "="))
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.POSITIONAL_ONLY not in kinds[at + 1 :]:
            texts.append("/")
    return ", ".join(texts)


def _of_docstring(value: Any) -> str:
    """From the line that Cython puts first: ``name(self, type axis=None, bool keepdims=False) -> type``."""
    lines = (value.__doc__ or "").strip().splitlines()
    name = value.__name__
    line = next((line for line in lines[:1] if re.match(rf"(\w+\.)*{re.escape(name)}\(", line)), None)
    if line is None and inspect.isclass(value):
        return _of_docstring(value.__init__) if value.__init__.__doc__ else ""
    if line is None:
        raise SystemExit(f"{name} of CuPy does not say what it takes: {lines[:1]}; enter it in BY_HAND")
    inside, texts = line[line.index("(") + 1 : line.rindex(")")], []
    for part in filter(None, map(str.strip, _split(inside))):
        before, equals, _ = part.partition("=")
        words = before.split(":")[0].split()
        texts.append(words[-1] + equals)
    return ", ".join(texts)


def _split(text: str) -> list[str]:
    """At the commas that lie in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        quote = "" if letter == quote else quote or (letter if letter in "'\"" else "")
        depth += 0 if quote else (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _without_self(text: str) -> str:
    first, _, rest = text.partition(",")
    return rest.strip() if first.strip() in ("self", "cls") else text


def main() -> None:
    """Read the CuPy at hand, and put what it says beside what is recorded of the other wheel."""
    import cupy
    from fake_cupy import offered

    wheel, version = wheel_of(cupy)
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {"wheels": {}, "names": {}}
    by_wheel = {name: kept["names"] | kept.get(f"of {name}", {}) for name in kept["wheels"]}
    by_wheel[wheel] = {name: text for name in offered() if (text := found(name)) is not None}
    both = {
        name: text
        for name, text in by_wheel[wheel].items()
        if all(other.get(name) == text for other in by_wheel.values())
    }
    made: dict[str, Any] = {"wheels": dict(sorted((kept["wheels"] | {wheel: version}).items())), "names": both}
    for name, texts in by_wheel.items():
        made[f"of {name}"] = {key: text for key, text in texts.items() if key not in both}
    RECORD.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    missing = [name for name in offered() if name not in by_wheel[wheel]]
    print(f"{wheel} {version}: {len(both)} names in both; not in CuPy: {', '.join(missing) or 'none'}", file=sys.stderr)


if __name__ == "__main__":
    main()

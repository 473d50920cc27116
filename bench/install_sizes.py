"""What an installation takes on the disk, by extra: each in an empty environment of its own, from the wheel.

Run with ``python bench/install_sizes.py [--record] [EXTRA ...]``; a network or a local index is needed. Megabytes are
those of the files in ``site-packages``, without pip itself; bytecode is not compiled.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from record import append

ROOT = Path(__file__).parent.parent
DEVELOPERS = ("test", "bench", "docs", "dev")


def extras() -> list[str]:
    """The extras for users, and none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return ["none", *(name for name in project["optional-dependencies"] if name not in DEVELOPERS)]


def wheel(folder: Path) -> Path:
    """The wheel, built in an environment of its own."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def size_of(what: Path, extra: str) -> dict[str, Any]:
    """Megabytes and packages of one extra."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "bin", "python")
        asked = str(what) if extra == "none" else f"{what}[{extra}]"
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", asked],
            check=True,
        )
        run = subprocess.run([python, "-c", TRY], check=True, capture_output=True, text=True, cwd=folder)
        site = Path(run.stdout.strip())
        own = [
            path for path in site.iterdir() if path.name.partition("-")[0] not in ("pip", "setuptools", "pkg_resources")
        ]
        size = sum(
            f.stat().st_size for path in own for f in (path.rglob("*") if path.is_dir() else [path]) if f.is_file()
        )
        packages = sum(path.name.endswith(".dist-info") for path in own)
    return {"extra": extra, "megabytes": round(size / 1e6, 1), "packages": packages}


TRY = """
import gpu_logreg, pathlib, sys
model = gpu_logreg.LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
assert model.converged_
print(pathlib.Path(gpu_logreg.__file__).parent.parent)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="append the rows to bench/results/install.csv")
    parser.add_argument("extras", nargs="*", default=extras(), help="those to measure; all for users as a rule")
    parser.add_argument(
        "--of", type=Path, metavar="FILE", help="a wheel or a source distribution, in place of a new wheel"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        what = (options.of or wheel(Path(folder))).resolve()
        for extra in options.extras:
            row = size_of(what, extra)
            print(f"{row['extra']:10}{row['megabytes']:10.1f} MB{row['packages']:6} packages", flush=True)
            if options.record:
                append("install", [row])


if __name__ == "__main__":
    main()

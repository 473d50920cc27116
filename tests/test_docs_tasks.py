"""Commands of the documents, typed as they stand, on the real files that they name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from real_data import real_data

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"<!-- on data:(?P<needs>.*?) -->\n```sh\n(?P<code>.*?)^```$", re.M | re.S)
SCRIPT = re.compile(r"`(\w+\.py)`:\n\n<!-- not run.*?-->\n```python\n(.*?)^```$", re.M | re.S)
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "docs").rglob("*.md")
    if "<!-- on data:" in path.read_text(encoding="utf-8")
)


class Task(NamedTuple):
    """Commands of a page, the files that they read, and the package that they need."""

    files: list[str]
    package: str | None
    commands: list[str]


def tasks(text: str) -> list[Task]:
    found = []
    for block in BLOCK.finditer(text):
        files, _, more = block["needs"].strip().partition(",")
        package = more.split()[-1] if more.strip().startswith("needs") else None
        found.append(Task(files.split(), package, block["code"].strip().splitlines()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_work_as_they_stand(page, tmp_path):
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, code in SCRIPT.findall(text):
        (tmp_path / name).write_text(code, encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for task in tasks(text):
        if task.package:
            pytest.importorskip(task.package)
        for name in task.files:
            if not (tmp_path / name).exists():
                (tmp_path / name).symlink_to(real_data(name))
        for command in task.commands:
            run = subprocess.run(
                command, shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
            )
            assert run.returncode == 0, f"{page}: {command}\n{run.stdout[-2000:]}{run.stderr[-2000:]}"
            for option, name in re.findall(r"--(model|output|report) (\S+)", command):
                assert (tmp_path / name).stat().st_size > 0, option


def test_there_are_ten_tasks():
    commands = [
        one for page in PAGES for task in tasks((ROOT / page).read_text(encoding="utf-8")) for one in task.commands
    ]
    assert len(commands) >= 10
    assert all(command.startswith(("gpu-logreg ", "python -m gpu_logreg.")) for command in commands)


def test_files_packages_and_commands_are_read():
    text = "<!-- on data: a.gz b.gz, needs json -->\n```sh\ngpu-logreg info\ngpu-logreg info a\n```\n"
    assert tasks(text) == [Task(["a.gz", "b.gz"], "json", ["gpu-logreg info", "gpu-logreg info a"])]
    assert tasks(text.replace(", needs json", ", with x.py"))[0].package is None

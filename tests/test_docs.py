"""The documents and docstrings: their Python runs and prints what they say; the names and links in them exist."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib.util
import io
import math
import re
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import gpu_logreg

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "docs/benchmarks.md",
    "docs/clusters.md",
    "docs/cross-validation.md",
    "docs/devices.md",
    "docs/features.md",
    "docs/files.md",
    "docs/gpu.md",
    "docs/gradients.md",
    "docs/how-to/clusters.md",
    "docs/how-to/continuous-integration.md",
    "docs/how-to/explain-and-track.md",
    "docs/how-to/gpu.md",
    "docs/how-to/imbalanced.md",
    "docs/how-to/large-files.md",
    "docs/how-to/many-classes.md",
    "docs/how-to/moving.md",
    "docs/how-to/sweeps.md",
    "docs/how-to/text.md",
    "docs/inference.md",
    "docs/install.md",
    "docs/knobs.md",
    "docs/reports.md",
    "docs/release.md",
    "docs/scikit-learn.md",
    "docs/solver.md",
    "docs/start.md",
    "docs/streams.md",
    "README.md",
    "CONTRIBUTING.md",
)

# A block after the line <!-- not run: reason --> is shown, not run.
FENCE = re.compile(r"(?P<skip><!-- not run: .+ -->\n+)?^```(?:python|pycon)\n(?P<code>.*?)^```$", re.M | re.S)
DOTTED_NAME = re.compile(r"`(gpu_logreg(?:\.\w+)+)(?:\(\))?`")
FILE = re.compile(r"`((?:gpu_logreg|kernels|tests|bench|docs)/[\w./]+\.\w+)`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
VALUE = re.compile(r"[-+.\d\[({'\"]|(?:True|False|None)\b")


class Statement(NamedTuple):
    """A statement of a document and what it prints; ``want`` is None where the document does not say."""

    line: int
    code: str
    want: str | None


def read(document: str) -> str:
    path = ROOT / document
    if not path.exists():
        pytest.skip(f"{document} is not here")
    return path.read_text(encoding="utf-8")


def statements(text: str) -> list[Statement]:
    """All statements of all Python blocks, in order; the wanted output stands in a comment or after ``>>>`` lines."""
    found = []
    for fence in FENCE.finditer(text):
        if not fence["skip"]:
            line, code = text.count("\n", 0, fence.start("code")) + 1, fence["code"]
            found += _interactive(line, code) if code.lstrip().startswith(">>>") else _plain(line, code)
    return found


def _interactive(first: int, code: str) -> list[Statement]:
    examples = doctest.DocTestParser().get_examples(textwrap.dedent(code))
    return [Statement(first + e.lineno, e.source, e.want if _prints(e.source) else None) for e in examples]


def _plain(first: int, code: str) -> list[Statement]:
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    found = []
    for node in ast.parse(code).body:
        source = ast.get_source_segment(code, node)
        comment = comments.get(node.end_lineno, "")
        want = comment if _prints(source) and VALUE.match(comment) else None
        found.append(Statement(first + node.lineno - 1, source, want))
    return found


def _prints(source: str) -> bool:
    """Whether a statement is an expression, so that it has something to show."""
    body = ast.parse(source).body
    return len(body) == 1 and isinstance(body[0], ast.Expr)


def run(statement: Statement, document: str, namespace: dict) -> list[str]:
    """Run a statement; what it shows: its output, with the value of an expression as `str` and as `repr`."""
    code = "\n" * (statement.line - 1) + statement.code  # line numbers of messages are those of the document
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        if not _prints(statement.code):
            exec(compile(code, document, "exec"), namespace)
            return [output.getvalue()]
        value = eval(compile(code.rstrip(), document, "eval"), namespace)
    if value is None:
        return [output.getvalue()]
    return [output.getvalue() + str(value), output.getvalue() + repr(value)]


def same(want: str, got: str) -> bool:
    """Whether two texts agree: numbers to the digits that ``want`` shows, the rest but for white space."""
    wanted, given = NUMBER.findall(want), NUMBER.findall(got)
    rest = [re.sub(r"\s+", "", NUMBER.sub("#", text)) for text in (want, got)]
    return rest[0] == rest[1] and len(wanted) == len(given) and all(map(_agree, wanted, given))


def _agree(want: str, got: str) -> bool:
    mantissa, _, exponent = want.lower().partition("e")
    shown = len(mantissa.partition(".")[2])
    # A whole number is meant exactly; otherwise half a unit of the last digit shown.
    slack = 0.5 * 10.0 ** (int(exponent or 0) - shown) if shown or exponent else 0.0
    return math.isclose(float(got), float(want), rel_tol=1e-9, abs_tol=slack)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_prints_what_the_document_says(document, tmp_path, monkeypatch):
    if document == "docs/clusters.md":
        pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")
    found = statements(read(document))
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for statement in found:
        shown = run(statement, document, namespace)
        assert statement.want is None or any(same(statement.want, text) for text in shown), (
            f"{document}:{statement.line}: {statement.code}\nsays   {statement.want}\nshows  {shown[0].strip()}"
        )


class Docstring(NamedTuple):
    """A docstring of the package that holds an example; ``name`` is that of its class or function."""

    module: str
    name: str
    line: int
    text: str


def docstrings(module: str, source: str) -> Iterator[Docstring]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node, clean=False) or ""
            if ">>> " in text:
                yield Docstring(module, getattr(node, "name", ""), node.body[0].lineno, text)


def docstrings_of_the_package() -> Iterator[Docstring]:
    for path in sorted((ROOT / "gpu_logreg").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield from docstrings(module, path.read_text(encoding="utf-8"))


def first_wrong_example(docstring: Docstring, namespace: dict) -> str | None:
    """Where an example first prints something else than its docstring says, and what; None if none does."""
    for example in doctest.DocTestParser().get_examples(textwrap.dedent(docstring.text)):
        statement = Statement(docstring.line + example.lineno, example.source, example.want)
        shown = run(statement, docstring.module, namespace)
        if not any(same(example.want, text) for text in shown):
            return f"line {statement.line}: {example.source}says   {example.want}shows  {shown[-1]}"
    return None


@pytest.mark.parametrize("docstring", list(docstrings_of_the_package()), ids=lambda one: f"{one.module}.{one.name}")
def test_examples_of_a_docstring_print_what_it_says(docstring, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if ".distributed." in docstring.module:
        pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")
    namespace = dict(vars(importlib.import_module(docstring.module)))  # as doctest does
    assert first_wrong_example(docstring, namespace) is None


@pytest.mark.parametrize("name", [name for name in gpu_logreg.__all__ if not name.startswith("__")])
def test_every_door_has_an_example(name):
    assert ">>> " in getattr(gpu_logreg, name).__doc__


def test_a_wrong_example_is_noticed():
    source = 'def f():\n    """Title.\n\n    >>> x = 2\n    >>> x + 1\n    %s\n    """\n'
    wrong, right = (next(docstrings("m", source % value)) for value in ("4", "3"))
    assert (right.name, right.line) == ("f", 2)
    assert first_wrong_example(right, {}) is None
    assert first_wrong_example(wrong, {}) == "line 5: x + 1\nsays   4\nshows  3"


@pytest.mark.parametrize("document", ["docs/gradients.md", "docs/solver.md"])
def test_every_print_is_checked(document):
    printed = [one for one in statements(read(document)) if one.code.startswith("print(")]
    assert printed
    assert [one for one in printed if one.want is None] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_exist(document):
    names = sorted(set(DOTTED_NAME.findall(read(document))))
    if any(name.startswith("gpu_logreg.dask") for name in names):
        pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")
    assert [name for name in names if not exists(name)] == []


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or leads to an attribute from the longest module that it starts with."""
    module, rest = importlib.import_module("gpu_logreg"), name.split(".")[1:]
    while rest and importlib.util.find_spec(f"{module.__name__}.{rest[0]}"):
        module = importlib.import_module(f"{module.__name__}.{rest.pop(0)}")
        if not hasattr(module, "__path__"):
            break
    value = module
    for part in rest:
        value = getattr(value, part, None)
    return value is not None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_and_links_exist(document):
    text = read(document)
    missing = [path for path in FILE.findall(text) if not (ROOT / path).exists()]
    missing += [link for link in LINK.findall(text) if not (ROOT / document).parent.joinpath(link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", ["docs/gradients.md", "docs/solver.md"])
def test_sections_that_are_linked_to_exist(document):
    text = read(document)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


@pytest.mark.parametrize(
    ("want", "got", "agree"),
    [
        ("0.693", "0.6931471805599453", True),
        ("0.694", "0.6931471805599453", False),
        ("[ 0.875 -0.125] 0.25", "[ 0.875 -0.125] 0.25", True),
        ("[1. 2.]", "[1.0,  2.0]", False),
        ("[800. 800.]", "[800.4 800. ]", False),
        ("8", "8", True),
        ("8", "9", False),
        ("1.2e-05", "1.23e-05", True),
        ("1.2e-05", "1.3e-05", False),
        ("True", "False", False),
        ("'cpu'", "'cuda'", False),
        ("0.5", "0.5 0.5", False),
        ("0.5", "nan", False),
    ],
)
def test_the_comparison_of_texts(want, got, agree):
    assert same(want, got) is agree


def test_a_wrong_value_is_noticed():
    text = "```python\nx = 2\nprint(x + 1)  # 3\nx  # 3\n```\n<!-- not run: no file -->\n```python\n1 / 0\n```\n"
    found = statements(text)
    assert [(one.line, one.want) for one in found] == [(2, None), (3, "3"), (4, "3")]
    namespace: dict = {}
    shown = [run(one, "text", namespace)[0] for one in found]
    assert [same(one.want or "", text) for one, text in zip(found, shown, strict=True)] == [True, True, False]


def test_interactive_blocks_are_read_too():
    found = statements("```python\n>>> x = 2\n>>> x + 1\n3\n```\n")
    namespace: dict = {}
    assert [(one.line, one.want, run(one, "text", namespace)[-1]) for one in found] == [(2, None, ""), (3, "3\n", "3")]


@pytest.mark.parametrize(
    "name",
    ["gpu_logreg.no_such", "gpu_logreg.mathematics.logistic.no_such", "gpu_logreg.mathematics.logistic.sigmoid.x"],
)
def test_names_that_do_not_exist_are_noticed(name):
    assert not exists(name)


def test_every_module_stands_in_the_table_of_rooms():
    table = re.search(r"^## Rooms\n.*?^```\n(.*?)^```$", read("CONTRIBUTING.md"), re.M | re.S)[1]
    rooms: dict[str, set[str]] = {}
    folders: list[str] = []
    for line in table.splitlines():
        room = re.match(r"([\d ]) ( *)([a-z_]+)/( |$)", line)
        if room and room[3] != "kernels":
            folders[len(room[2]) // 2 :] = [room[3]]
        elif re.match(r"\d? +[a-z]+\.py|  kernels/|  the door", line):
            folders = []
        words = rooms.setdefault("/".join(folders), set())
        words.update(re.findall(r"\w+", line[room.end() :] if room else line))
    package = ROOT / "gpu_logreg"
    modules = [path.relative_to(package) for path in package.rglob("*.py") if path.stem != "__init__"]
    assert len(modules) > 150
    missing = [str(path) for path in modules if path.parts[1:] and path.stem not in rooms.get(str(path.parent), set())]
    assert missing == []
    doors = {path.stem for path in modules if not path.parts[1:]}
    assert doors <= rooms[""] | {"errors"}

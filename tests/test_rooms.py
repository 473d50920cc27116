"""What is asked in some rooms only: read from the syntax of every module, whatever its comments say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gpu_logreg"
ROOMS = ("arrays", "rows", "passes")
QUESTIONS = {"is_sparse", "issparse", "isspmatrix", "isspmatrix_csr"}
KINDS = {"DENSE_ROWS", "SPARSE_ROWS"}
"""Kinds of rows are handed on anywhere; to compare with one is to ask."""


def asks_whether_sparse(tree: ast.AST) -> Iterator[int]:
    """Lines that ask whether rows are sparse: by a function, an attribute, or a comparison with a kind of rows."""
    for node in ast.walk(tree):
        named = isinstance(node, ast.Attribute | ast.Name | ast.alias) and name_of(node) in QUESTIONS
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        if named or KINDS.intersection(map(name_of, compared)):
            yield node.lineno


def name_of(node: ast.AST) -> str:
    """The last name of an expression or of what is imported; empty for any other syntax."""
    name = getattr(node, "attr", getattr(node, "id", getattr(node, "name", "")))
    return str(name).rsplit(".", 1)[-1]


def test_whether_rows_are_sparse_is_asked_where_rows_live():
    modules = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ROOMS]
    assert len(modules) > 100
    asked = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in modules
        for line in asks_whether_sparse(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert asked == []


@pytest.mark.parametrize(
    "text",
    [
        "if data.is_sparse: pass",
        "from gpu_logreg.arrays.device import is_sparse",
        "from scipy.sparse import issparse as question",
        "answer = sparse.issparse(X)",
        "if kind_of(X) is SPARSE_ROWS: pass",
        "if kinds.DENSE_ROWS == kind: pass",
        "class Source:\n    is_sparse = False",
    ],
)
def test_every_form_of_the_question_is_found(text):
    assert list(asks_whether_sparse(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    ["'''Whether data.is_sparse.'''", "store = BlockStore(source, kind=DENSE_ROWS)", "is_sparse_archive(path)"],
)
def test_what_is_no_question_is_not_found(text):
    assert not list(asks_whether_sparse(ast.parse(text)))

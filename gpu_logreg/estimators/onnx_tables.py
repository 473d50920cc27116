"""A model of a table as an ONNX graph: an input for each column, of numbers or of texts, encoded as by its schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.estimators.onnx_conversion import import_skl2onnx
from gpu_logreg.files.columns import NumberedColumns, NumericColumn, TextColumn
from gpu_logreg.files.schema import Schema

__all__ = ["table_to_onnx"]

_ML = "ai.onnx.ml"


def table_to_onnx(model: Any, schema: Schema) -> Any:
    """The graph of a fitted model and the schema of its table; in float64.

    Every column is an input of its name, of shape (n, 1): float64 with NaN for a missing number, or texts with ``""``
    for a missing one. Rows without names of columns, as of arrays, are one input ``X`` of shape (n, d).

    Raises
    ------
    DataError
        A column that ONNX cannot read, or whose name the graph has for something else.
    MissingDependencyError
    """
    import_skl2onnx()
    if isinstance(schema.columns, NumberedColumns):
        return model.to_onnx()
    for column in schema.numeric:
        if column.form is not None:
            raise DataError(
                f"column {column.name!r} was read as {column.form}, a form of text that ONNX does not read as numbers; "
                "train on a file that holds plain numbers there"
            )
    proto = model.to_onnx()
    taken = {name for node in proto.graph.node for name in (*node.input, *node.output)}
    for name in schema.names:
        if name in taken or name.startswith("table/"):
            raise DataError(f"column {name!r} has a name that the graph has for something else; rename it")
    _prepend(proto, schema)
    return proto


def _prepend(proto: Any, schema: Schema) -> None:
    """Put the encoding of the columns before a graph whose input is ``X``."""
    from onnx import checker, helper

    found = _Nodes()
    parts = [*_numbers(found, schema.numeric), *(_categories(found, column) for column in schema.text)]
    found.add("Concat", parts, "X", axis=1)
    nodes = [*found.nodes, *proto.graph.node]
    del proto.graph.node[:], proto.graph.input[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(found.constants)
    kinds = {column.name: found.kinds.STRING for column in schema.text}
    proto.graph.input.extend(
        helper.make_tensor_value_info(name, kinds.get(name, found.kinds.DOUBLE), [None, 1]) for name in schema.names
    )
    if _ML not in {opset.domain for opset in proto.opset_import}:
        proto.opset_import.append(helper.make_opsetid(_ML, 1))
    checker.check_model(proto)


class _Nodes:
    """Nodes of a graph and their constants, in the order in which they are computed."""

    def __init__(self) -> None:
        from onnx import TensorProto

        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.kinds = TensorProto

    def add(self, operator: str, inputs: list[str], output: str = "", domain: str = "", **attributes: Any) -> str:
        """A node; the name of its output."""
        from onnx import helper

        output = output or f"table/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def constant(self, value: Any) -> str:
        """An array of constants; its name."""
        from onnx import numpy_helper

        name = f"table/constant {len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _numbers(found: _Nodes, columns: Sequence[NumericColumn]) -> list[str]:
    """The numeric columns with means in place of missing cells, and their indicators."""
    if not len(columns):
        return []
    values = found.add("Concat", [column.name for column in columns], axis=1)
    missing = found.add("IsNaN", [values])
    means = [np.nan if column.mean is None else column.mean for column in columns]
    parts = [found.add("Where", [missing, found.constant(np.array([means])), values])]
    flagged = np.flatnonzero([column.had_missing for column in columns])
    if len(flagged):
        of_flagged = found.add("Gather", [missing, found.constant(flagged.astype(np.int64))], axis=1)
        parts.append(found.add("Cast", [of_flagged], to=found.kinds.DOUBLE))
    return parts


def _categories(found: _Nodes, column: TextColumn) -> str:
    """A column for each category, all zero for one that the model does not know."""
    categories = [*column.categories, *([""] if column.had_missing else [])]
    encoded = found.add("OneHotEncoder", [column.name], domain=_ML, cats_strings=categories, zeros=1)
    flat = found.add("Reshape", [encoded, found.constant(np.array([-1, len(categories)]))])
    return found.add("Cast", [flat], to=found.kinds.DOUBLE)

"""``gpu-logreg export``: a model file as an ONNX graph that takes the raw columns of its table."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from gpu_logreg.command.report import class_names
from gpu_logreg.command.stored_columns import positive_of, schema_of
from gpu_logreg.estimators.onnx_tables import table_to_onnx
from gpu_logreg.saved.model_file import load_model_file
from gpu_logreg.saved.whole_files import check_destination, write_whole

__all__ = ["export_model"]


def export_model(path: Path, output: Path) -> None:
    """Write the graph of the model in ``path``, whole or not at all.

    Raises
    ------
    DataError, ModelFileError, MissingDependencyError
        The message is one line, and no file was written.
    """
    check_destination(output)
    model_file = load_model_file(path)
    schema, positive, model = (
        schema_of(model_file, path),
        positive_of(model_file, path),
        copy.copy(model_file.estimator),
    )
    if positive is not None:
        model.classes_ = np.array(class_names(model.classes_, positive))
    proto = model.to_onnx() if schema is None else table_to_onnx(model, schema)
    write_whole(output, proto.SerializeToString())
    inputs, outputs = ([value.name for value in values] for values in (proto.graph.input, proto.graph.output))
    shown = ", ".join(inputs[:8]) + (f" and {len(inputs) - 8:,} more" if len(inputs) > 8 else "")
    print(f"{output}: inputs {shown}; outputs {', '.join(outputs)}")

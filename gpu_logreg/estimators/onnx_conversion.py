"""Estimators as ONNX graphs, by skl2onnx's converters of scikit-learn's estimators of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.errors import DataError, MissingDependencyError
from gpu_logreg.estimators.label_types import of_one_type

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OnnxConversion", "import_skl2onnx"]

_LARGEST_LABEL = 2**31 - 1
"""Largest whole number that skl2onnx keeps as a label: it writes labels as int32, and longer ones wrongly."""


class OnnxConversion:
    """`to_onnx`, and the methods by which skl2onnx converts a model that is a step of a Pipeline."""

    def to_onnx(self: Any, dtype: Any = np.float64) -> Any:
        """The fitted model as an ONNX graph, which onnxruntime runs without this package.

        Its input ``X`` is of shape (n, d); its outputs are ``label`` and ``probabilities``, as `predict` and
        `predict_proba` give them. Needs ``pip install 'gpu-logreg[onnx]'``.

        Parameters
        ----------
        dtype : dtype, default=float64
            Of ``X`` and of all arithmetic: float64 or float32.

        Returns
        -------
        onnx.ModelProto
            ``path.write_bytes(proto.SerializeToString())`` keeps it.

        Raises
        ------
        DataError
            A model that is not fitted, or labels that ONNX does not have.
        MissingDependencyError
            Where skl2onnx is not installed.
        """
        skl2onnx = import_skl2onnx()
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

        if not self.__sklearn_is_fitted__():
            raise DataError(f"this {type(self).__name__} is not fitted; call fit before to_onnx")
        kinds = {"float64": DoubleTensorType, "float32": FloatTensorType}
        kind = kinds.get(np.dtype(dtype).name)
        if kind is None:
            raise DataError(f"to_onnx computes in float64 or float32, and dtype is {np.dtype(dtype)}")
        options = {id(self): {"zipmap": False}} if _is_registered(type(self)) else None
        return skl2onnx.to_onnx(self, initial_types=[("X", kind([None, self.n_features_in_]))], options=options)

    def onnx_converter(self) -> Callable[[Any, Any, Any], None]:
        """What writes the model into a graph; skl2onnx asks for it."""
        from skl2onnx.common._registration import get_converter

        write = get_converter(_alias(self))

        def convert(scope: Any, operator: Any, container: Any) -> None:
            operator.raw_operator = _for_skl2onnx(self)
            try:
                write(scope, operator, container)
            finally:
                operator.raw_operator = self
            _compare_in_place_of_binarizers(scope, operator, container)

        return convert

    def onnx_shape_calculator(self) -> Callable[[Any], None]:
        """What sets types and shapes of the outputs; skl2onnx asks for it."""
        from skl2onnx.common._registration import get_shape_calculator

        shapes = get_shape_calculator(_alias(self))

        def calculate(operator: Any) -> None:
            operator.raw_operator = _for_skl2onnx(self)
            try:
                shapes(operator)
            finally:
                operator.raw_operator = self

        return calculate


def import_skl2onnx() -> Any:
    """skl2onnx, or a `MissingDependencyError` that says how to install it."""
    try:
        import skl2onnx
    except ImportError as error:
        raise MissingDependencyError("ONNX needs skl2onnx; pip install 'gpu-logreg[onnx]'") from error
    return skl2onnx


def _is_registered(cls: type) -> bool:
    from skl2onnx._supported_operators import sklearn_operator_name_map

    return cls in sklearn_operator_name_map


def _alias(model: Any) -> str:
    """skl2onnx's name for scikit-learn's estimator of that kind."""
    return "SklearnLinearClassifier" if hasattr(model, "coef_") else "SklearnMLPClassifier"


def _for_skl2onnx(model: Any) -> Any:
    """scikit-learn's estimator for a model, with what skl2onnx reads in the form that it knows.

    Raises
    ------
    DataError
        Labels that are neither texts nor whole numbers, or too large ones; a fit with an offset.
    """
    if hasattr(model, "has_offset_"):
        raise DataError("to_onnx: the fit had an offset, which is no input of the graph; keep this model")
    classes = of_one_type(model.classes_)
    labels = classes.tolist()
    is_whole = all(isinstance(label, int) or (isinstance(label, float) and label.is_integer()) for label in labels)
    if not (is_whole or all(isinstance(label, str) for label in labels)):
        raise DataError(f"ONNX has texts and whole numbers for labels, and classes_ are of {classes.dtype}")
    if is_whole and max(abs(label) for label in labels) > _LARGEST_LABEL:
        raise DataError(f"skl2onnx writes no labels beyond {_LARGEST_LABEL}, and classes_ has; fit the model on texts")
    theirs = model.to_sklearn()
    theirs.classes_ = np.asarray(labels)
    if hasattr(theirs, "coef_"):
        theirs.coef_ = np.asarray(dense_coef(theirs.coef_))
        theirs.solver = "lbfgs"  # of which skl2onnx takes many classes for one model, as ours are
    return theirs


def _compare_in_place_of_binarizers(scope: Any, operator: Any, container: Any) -> None:
    """Give a network of several labels comparisons with a half: onnxruntime has no Binarizer of float64."""
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.proto import onnx_proto

    kinds = onnx_proto.TensorProto
    kind = kinds.DOUBLE if isinstance(operator.inputs[0].type, DoubleTensorType) else kinds.FLOAT
    for node in container.nodes:
        if node.op_type == "Binarizer":
            half = scope.get_unique_variable_name("half")
            container.add_initializer(half, kind, [], [0.5])
            node.op_type, node.domain = "Greater", ""
            node.ClearField("attribute")
            node.input.append(half)

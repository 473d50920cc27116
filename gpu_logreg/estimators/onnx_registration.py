"""Puts the estimators among those that skl2onnx knows; `onnx_conversion` is what the estimators themselves need."""

from __future__ import annotations

from typing import Any

from gpu_logreg.estimators.accelerate.replacements import REPLACEMENTS
from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.estimators.onnx_conversion import import_skl2onnx

__all__ = ["register_converters"]


def register_converters() -> None:
    """Register the estimators with skl2onnx, so that its options for scikit-learn's hold for them in Pipelines as well.

    From then on skl2onnx's own default holds for a Pipeline, too: probabilities as a list of dictionaries, which ONNX
    has of float32 alone, unless ``options={id(pipeline): {"zipmap": False}}`` is given. The estimators of
    `gpu_logreg.accelerate` are registered as well.

    Raises
    ------
    MissingDependencyError
        Where skl2onnx is not installed.
    """
    skl2onnx = import_skl2onnx()
    from skl2onnx._parse import _parse_sklearn_classifier, update_registered_parser
    from skl2onnx._supported_operators import sklearn_operator_name_map

    options = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [True, False]}
    for cls in (LogisticRegression, LogisticRegressionCV, MLPClassifier):
        calls = _calculate_shapes, _convert
        skl2onnx.update_registered_converter(cls, f"GpuLogreg{cls.__name__}", *calls, options=options)
    for cls in REPLACEMENTS:  # whose attributes are scikit-learn's
        alias = "SklearnMLPClassifier" if cls.__name__ == "MLPClassifier" else "SklearnLinearClassifier"
        sklearn_operator_name_map[cls] = alias
        update_registered_parser(cls, _parse_sklearn_classifier)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    operator.raw_operator.onnx_converter()(scope, operator, container)


def _calculate_shapes(operator: Any) -> None:
    operator.raw_operator.onnx_shape_calculator()(operator)

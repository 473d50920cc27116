"""skl2onnx's options, such as ``zipmap``, for models of this package: `register_converters`.

Without it `to_onnx` of a model and of a Pipeline that holds one work as well, and give probabilities as one array.
"""

from __future__ import annotations

from gpu_logreg.estimators.onnx_registration import register_converters

__all__ = ["register_converters"]
